import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import { findMail } from "./content.ts";
import type { Account } from "./account.ts";

/**
 * Where mail goes: over SMTP, with STARTTLS and without, and over LMTP. It keeps nothing. What it does to a mail stands in
 * the recipient: `later-N` gets 451 the first time, `never-N` 550; now and then it hangs up behind a 250, with TLS without close_notify.
 */
export interface NextHost extends AsyncDisposable {
  readonly smtpPort: number;
  readonly lmtpPort: number;
  readonly sessions: number;
}

/** One session in so many ends without a word. */
const RUDE_EVERY = 17;

export async function startNextHost(
  account: Account,
  pair: { readonly certificatePem: string; readonly keyPem: string },
): Promise<NextHost> {
  const secureContext = createSecureContext({ cert: pair.certificatePem, key: pair.keyPem });
  const open = new Set<Socket>();
  const deferred = new Set<string>();
  let sessions = 0;
  const listen = async (isLmtp: boolean): Promise<Server> => {
    const server = createServer({ noDelay: true }, (socket) => {
      sessions++;
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      socket.on("error", () => socket.destroy());
      new Session({ account, secureContext, deferred, isLmtp, isRude: sessions % RUDE_EVERY === 0 }, socket).start();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
  };
  const servers = [await listen(false), await listen(true)] as const;
  return {
    smtpPort: portOf(servers[0]),
    lmtpPort: portOf(servers[1]),
    get sessions() {
      return sessions;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await Promise.all(
        servers.map(async (server) => {
          server.close();
          await once(server, "close");
        }),
      );
    },
  };
}

interface Parts {
  readonly account: Account;
  readonly secureContext: ReturnType<typeof createSecureContext>;
  readonly deferred: Set<string>;
  readonly isLmtp: boolean;
  readonly isRude: boolean;
}

class Session {
  readonly #parts: Parts;
  readonly #raw: Socket;
  #socket: Socket;
  #held = "";
  #recipients: string[] = [];
  #isData = false;

  constructor(parts: Parts, socket: Socket) {
    this.#parts = parts;
    this.#raw = socket;
    this.#socket = socket;
  }

  start(): void {
    this.#listen();
    this.#say("220 next.test ESMTP");
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("data", (bytes: Buffer) => {
      this.#held += bytes.toString("latin1");
      while (socket === this.#socket && (this.#isData ? this.#takeContent() : this.#takeLine()));
    });
  }

  #takeContent(): boolean {
    const end = this.#held.indexOf("\r\n.\r\n");
    if (end < 0) return false;
    const content = this.#held.slice(0, end).replace(/^\.\./gm, ".");
    this.#held = this.#held.slice(end + 5);
    this.#isData = false;
    const found = findMail(content);
    for (const recipient of this.#recipients) {
      if (found !== undefined) this.#parts.account.arrive(found.number, whereOf(recipient), found.isWhole);
      if (this.#parts.isLmtp) this.#say("250 2.0.0 taken");
    }
    if (!this.#parts.isLmtp) this.#say("250 2.0.0 taken");
    this.#recipients = [];
    // Behind what was said, so that the 250 is heard: a reset may take bytes with it that nobody has read.
    if (this.#parts.isRude) setTimeout(() => this.#raw.destroy(), 200).unref();
    return true;
  }

  #takeLine(): boolean {
    const end = this.#held.indexOf("\r\n");
    if (end < 0) return false;
    const line = this.#held.slice(0, end);
    this.#held = this.#held.slice(end + 2);
    const verb = line.slice(0, 4).toUpperCase();
    switch (verb) {
      case "EHLO":
      case "LHLO": {
        const offersTls = !this.#parts.isLmtp && this.#socket === this.#raw;
        this.#say(
          ["next.test", "PIPELINING", ...(offersTls ? ["STARTTLS"] : []), "8BITMIME"]
            .map((word) => `250-${word}`)
            .join("\r\n"),
        );
        this.#say("250 ENHANCEDSTATUSCODES");
        return true;
      }
      case "STAR":
        this.#say("220 2.0.0 go on");
        this.#startTls();
        return false;
      case "RCPT":
        this.#say(this.#answerTo(/<([^>]*)>/.exec(line)?.[1] ?? ""));
        return true;
      case "DATA":
        this.#isData = this.#recipients.length > 0;
        this.#say(this.#isData ? "354 go on" : "503 5.5.1 no recipients");
        return true;
      case "QUIT":
        this.#say("221 2.0.0 bye");
        this.#socket.end();
        return true;
      case "MAIL":
      case "RSET":
        this.#recipients = [];
    }
    this.#say("250 2.0.0 ok");
    return true;
  }

  #answerTo(recipient: string): string {
    const { deferred } = this.#parts;
    if (recipient.startsWith("never-")) return "550 5.1.1 nobody of that name";
    if (recipient.startsWith("later-") && !deferred.delete(recipient)) {
      deferred.add(recipient);
      return "451 4.3.0 not yet";
    }
    this.#recipients.push(recipient);
    return "250 2.0.0 ok";
  }

  #startTls(): void {
    this.#raw.removeAllListeners("data");
    const tls = new TLSSocket(this.#raw, { isServer: true, secureContext: this.#parts.secureContext });
    tls.on("error", () => this.#raw.destroy());
    this.#socket = tls;
    this.#held = "";
    this.#listen();
  }

  #say(line: string): void {
    if (this.#socket.writable) this.#socket.write(`${line}\r\n`);
  }
}

/** `later-17@far.test` is `later`: the number is the mail's. */
export function whereOf(recipient: string): string {
  return recipient.replace(/@.*/, "").replace(/-\d+$/, "");
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a numeric address");
  return address.port;
}
