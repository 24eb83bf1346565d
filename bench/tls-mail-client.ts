import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";

/** The clients of `tls.ts`: the same whichever server they meet. */
export interface Wish {
  readonly port: number;
  /** A session of an earlier connection. */
  readonly session?: Buffer | undefined;
}

/** A connection to its greeting. */
export async function open({ port, session }: Wish): Promise<Dialogue> {
  const socket = connect({
    port,
    host: "127.0.0.1",
    servername: "mx.bench.test",
    rejectUnauthorized: false,
    ...(session === undefined ? {} : { session }),
  });
  const dialogue = new Dialogue(socket);
  await dialogue.reply();
  return dialogue;
}

export class Dialogue {
  readonly socket: TLSSocket;
  readonly #session: Promise<Buffer>;
  #heard = "";
  #wake: (() => void) | undefined;
  #error: Error | undefined;

  constructor(socket: TLSSocket) {
    this.socket = socket;
    // Told in the middle of OpenSSL's work: whoever writes there and then is never heard.
    this.#session = new Promise((resolve) => socket.once("session", (session) => setImmediate(resolve, session)));
    socket.on("data", (bytes: Buffer) => {
      this.#heard += bytes.toString("latin1");
      this.#wake?.();
    });
    socket.on("error", (error) => {
      this.#error = error;
      this.#wake?.();
    });
    socket.on("end", () => {
      this.#error ??= new Error("the server ended the connection");
      this.#wake?.();
    });
  }

  /** For another connection; TLS 1.3 sends it behind the handshake. */
  session(): Promise<Buffer> {
    return this.#session;
  }

  /** The next whole reply, its last line. Throws when it is a refusal. */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^\d{3}(?: .*)?\r\n/m.exec(this.#heard);
      if (match !== null) {
        this.#heard = this.#heard.slice(match.index + match[0].length);
        if (/^[45]/.test(match[0])) throw new Error(match[0]);
        return match[0];
      }
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async say(line: string | Buffer): Promise<string> {
    this.socket.write(line);
    return await this.reply();
  }

  /** MAIL, RCPT, DATA, content: four round trips. */
  async mail(content: Buffer, recipient: string): Promise<void> {
    await this.say("MAIL FROM:<sender@bench.test>\r\n");
    await this.say(`RCPT TO:<${recipient}>\r\n`);
    await this.say("DATA\r\n");
    await this.say(content);
  }

  /** QUIT, and the end of the connection in good order. */
  async quit(): Promise<void> {
    const closed = once(this.socket, "close");
    await this.say("QUIT\r\n");
    this.socket.end();
    await closed;
  }
}

/** A message of so many octets as DATA takes it, the dot included. */
export function contentOf(bytes: number): Buffer {
  const head = "From: <sender@bench.test>\r\nTo: <recipient@bench.test>\r\nSubject: bench\r\n\r\n";
  const line = `${"x".repeat(76)}\r\n`;
  return Buffer.from(`${head}${line.repeat(Math.max(1, Math.round((bytes - head.length) / line.length)))}.\r\n`);
}

/** Does `count` things, so many at a time. */
export async function inParallel(count: number, most: number, work: (worker: number) => Promise<void>): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: most }, async (_, worker) => {
      while (left > 0) {
        left -= 1;
        await work(worker);
      }
    }),
  );
}
