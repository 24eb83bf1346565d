import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, TLSSocket } from "node:tls";

/** The least that a client of the soak needs; every wait has an end. */
export class Client {
  readonly #raw: Socket;
  #socket: Socket;
  #heard = "";
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  private constructor(raw: Socket, socket: Socket) {
    this.#raw = raw;
    this.#socket = socket;
    this.#listen();
  }

  /** Connects and waits for the greeting. */
  static async open(port: number, kind: "plain" | "tls"): Promise<Client> {
    const raw = connect(port, "127.0.0.1");
    const client = new Client(raw, kind === "tls" ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw);
    await client.reply(/^220/);
    return client;
  }

  async startTls(): Promise<void> {
    await this.say("STARTTLS", /^220/);
    this.#raw.removeAllListeners("data");
    const tls = connectTls({ socket: this.#raw, rejectUnauthorized: false });
    this.#socket = tls;
    this.#listen();
    await within(once(tls, "secureConnect"), "a handshake");
  }

  async say(line: string, expected: RegExp = /^[23]/): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return this.reply(expected);
  }

  write(bytes: string): void {
    this.#socket.write(bytes);
  }

  /** The next whole reply. Throws on another one than expected, and when the connection ends. */
  async reply(expected: RegExp): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/.exec(this.#heard);
      if (match !== null) {
        this.#heard = this.#heard.slice(match[0].length);
        if (!expected.test(match[0])) throw new Error(match[0].trim());
        return match[0];
      }
      if (this.#error !== undefined) throw this.#error;
      await within(new Promise<void>((resolve) => (this.#wake = resolve)), "a reply");
    }
  }

  /** MAIL to the end of data. */
  async mail(sender: string, recipients: readonly string[], content: string): Promise<void> {
    await this.say(`MAIL FROM:<${sender}>`);
    for (const recipient of recipients) await this.say(`RCPT TO:<${recipient}>`);
    await this.say("DATA", /^354/);
    this.write(`${content}\r\n.\r\n`);
    await this.reply(/^250/);
  }

  /** QUIT and a close in good order. */
  async quit(): Promise<void> {
    const closed = once(this.#raw, "close");
    await this.say("QUIT", /^221/);
    this.#socket.end();
    await within(closed, "the close").catch(() => {});
    this.drop();
  }

  /** No goodbye, no close_notify. */
  drop(): void {
    this.#raw.destroy();
  }

  get socket(): Socket {
    return this.#raw;
  }

  get isTls(): boolean {
    return this.#socket instanceof TLSSocket;
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("data", (bytes: Buffer) => {
      this.#heard += bytes.toString("latin1");
      this.#wake?.();
    });
    const end = (error: Error): void => {
      this.#error ??= error;
      this.#wake?.();
    };
    socket.on("error", end);
    socket.on("close", () => end(new Error("the server closed the connection")));
  }
}

const WITHIN_MS = 60_000;

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within a minute`)), WITHIN_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
