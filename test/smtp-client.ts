/** A plain SMTP client for tests: says what it is told, byte by byte, and gives back whole replies. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface TestClient {
  readonly socket: Socket;
  /** Sends the line (CRLF added) and gives the reply: all lines joined by `\n`. */
  say(line: string): Promise<string>;
  /** Sends bytes as they are. */
  send(bytes: string | Uint8Array): void;
  /** The next whole reply. Rejects when the connection ends first. */
  reply(): Promise<string>;
  /** Settles when the server has closed. */
  readonly closed: Promise<void>;
  close(): void;
}

export async function smtpConnect(to: number | string, withinMs = 60_000): Promise<TestClient> {
  const socket = typeof to === "number" ? connect(to, "127.0.0.1") : connect(to);
  await once(socket, "connect");
  let held = "";
  /** For whoever waits in vain: what the server does not answer. */
  let said = "the connection";
  let isOver = false;
  const replies: string[] = [];
  let waiting: { resolve: (text: string) => void; reject: (error: Error) => void }[] = [];
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
  socket.on("data", (bytes: Buffer) => {
    held += bytes.toString("latin1");
    for (;;) {
      const whole = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/.exec(held);
      if (whole === null) break;
      held = held.slice(whole[0].length);
      const reply = whole[0].trimEnd().replaceAll("\r", "");
      const next = waiting.shift();
      if (next === undefined) replies.push(reply);
      else next.resolve(reply);
    }
  });
  const end = (): void => {
    isOver = true;
    for (const { reject } of waiting) reject(new Error("the server closed the connection"));
    waiting = [];
    onClosed();
  };
  socket.on("close", end);
  socket.on("error", end);
  const client: TestClient = {
    socket,
    send: (bytes) => void socket.write(bytes),
    say(line) {
      said = JSON.stringify(line.slice(0, 100));
      socket.write(`${line}\r\n`);
      return client.reply();
    },
    reply() {
      const ready = replies.shift();
      if (ready !== undefined) return Promise.resolve(ready);
      if (isOver) return Promise.reject(new Error("the server closed the connection"));
      return new Promise((resolve, reject) => {
        const timer = setTimeout(
          () =>
            reject(new Error(`no reply from ${to} within ${withinMs} ms to ${said}; so far: ${JSON.stringify(held)}`)),
          withinMs,
        );
        waiting.push({
          resolve: (text) => {
            clearTimeout(timer);
            resolve(text);
          },
          reject: (error) => {
            clearTimeout(timer);
            reject(error);
          },
        });
      });
    },
    closed,
    close: () => socket.destroy(),
  };
  return client;
}

/** One whole transaction; gives the reply to the end of data. */
export async function sendMail(
  to: number | string,
  mail: { from: string; to: string | readonly string[]; content: string; hello?: string },
): Promise<string> {
  const client = await smtpConnect(to);
  try {
    await client.reply();
    await client.say(mail.hello ?? "EHLO client.test");
    const recipients = typeof mail.to === "string" ? [mail.to] : mail.to;
    for (const line of [
      `MAIL FROM:<${mail.from}>`,
      ...recipients.map((recipient) => `RCPT TO:<${recipient}>`),
      "DATA",
    ]) {
      const reply = await client.say(line);
      if (!/^[23]/.test(reply)) return reply;
    }
    client.send(`${mail.content.replace(/\r?\n/g, "\r\n").replace(/^\./gm, "..")}\r\n.\r\n`);
    const reply = await client.reply();
    client.send("QUIT\r\n");
    return reply;
  } finally {
    client.socket.end();
  }
}
