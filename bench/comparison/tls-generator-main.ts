/**
 * The load with STARTTLS, in a process of its own: takes its orders as JSON in its first argument, prints what it measured
 * as JSON, ends. Each session: greeting, EHLO, STARTTLS, handshake, EHLO, then MAIL, RCPT, DATA and content for each message, each waiting
 * for its reply. A message counts when its 250 is there; after QUIT nobody waits.
 *
 * X25519 alone is offered, because the servers' libraries are of different years: with what each likes best they would not
 * do the same work.
 */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { contentOf } from "../tls-mail-client.ts";
import type { TlsLoad, TlsLoadResult } from "./tls-generator.ts";

// Written by our parent.
const load = JSON.parse(process.argv[2] ?? "{}") as TlsLoad;
const content = contentOf(load.bytes);
const DEADLINE_MS = 60_000;

class Client {
  socket: Socket | TLSSocket;
  #heard = "";
  #wake: ((error?: Error) => void) | undefined;
  #error: Error | undefined;

  constructor(port: number) {
    this.socket = connectTcp({ port, host: "127.0.0.1", noDelay: true });
    this.#listen();
  }

  #listen(): void {
    this.socket.on("data", (bytes: Buffer) => {
      this.#heard += bytes.toString("latin1");
      this.#wake?.();
    });
    this.socket.on("error", (error) => {
      this.#error = error;
      this.#wake?.();
    });
    this.socket.on("close", () => {
      this.#error ??= new Error("the server closed the connection");
      this.#wake?.();
    });
  }

  async reply(): Promise<void> {
    for (;;) {
      const end = this.#heard.search(/^\d{3}(?: .*)?\r\n/m);
      if (end !== -1) {
        const last = this.#heard.slice(end);
        this.#heard = "";
        if (/^[45]/.test(last)) throw new Error(last.trim());
        return;
      }
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => (this.#wake = () => resolve()));
    }
  }

  async say(text: string | Buffer): Promise<void> {
    this.socket.write(text);
    await this.reply();
  }

  async startTls(session: Buffer | undefined): Promise<TLSSocket> {
    await this.reply();
    await this.say("EHLO client.bench.test\r\n");
    await this.say("STARTTLS\r\n");
    this.socket.removeAllListeners("data");
    const socket = connect({
      socket: this.socket,
      rejectUnauthorized: false,
      servername: "localhost",
      ecdhCurve: "X25519",
      ...(session === undefined ? {} : { session }),
    });
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(DEADLINE_MS) });
    this.socket = socket;
    this.#listen();
    await this.say("EHLO client.bench.test\r\n");
    return socket;
  }

  async mail(): Promise<void> {
    await this.say("MAIL FROM:<sender@bench.test>\r\n");
    await this.say(`RCPT TO:<${load.recipient}>\r\n`);
    await this.say("DATA\r\n");
    await this.say(content);
  }

  quit(): void {
    this.socket.end("QUIT\r\n");
  }
}

let resumed = 0;
let sessions = 0;
let facts = "";
async function open(session: Buffer | undefined): Promise<Client> {
  const client = new Client(load.port);
  const socket = await client.startTls(session);
  sessions += 1;
  if (socket.isSessionReused()) resumed += 1;
  if (facts === "") facts = `${socket.getProtocol() ?? "?"} ${socket.getCipher().standardName}`;
  return client;
}

async function ticket(): Promise<Buffer> {
  const client = new Client(load.port);
  const got = new Promise<Buffer>((resolve) => {
    void client.startTls(undefined).then((socket) => {
      const early = socket.getSession();
      socket.once("session", resolve);
      // TLS 1.2 has it by now; 1.3 sends it behind the handshake, and it may be here already.
      setTimeout(() => resolve(socket.getSession() ?? early ?? Buffer.alloc(0)), 500);
    });
  });
  const session = await got;
  client.quit();
  return session;
}

// In turns, so that servers of several processes, which may not share their keys, are met with tickets of all.
const tickets = load.handshake === "resumed" ? [await ticket(), await ticket(), await ticket()] : [];
let left = load.messages;
const startedAt = performance.now();
const cpuBefore = process.cpuUsage();
await Promise.all(
  Array.from({ length: load.sessions }, async (_, worker) => {
    if (load.keepsSession) {
      const client = await open(undefined);
      while (left-- > 0) await client.mail();
      client.quit();
      return;
    }
    while (left-- > 0) {
      const client = await open(tickets.length === 0 ? undefined : tickets[worker % tickets.length]);
      await client.mail();
      client.quit();
    }
  }),
);
const tookS = (performance.now() - startedAt) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const result: TlsLoadResult = { tookS, cpuS: (user + system) / 1e6, sessions, resumed, facts };
process.stdout.write(JSON.stringify(result));
process.exit(0);
