/** A next host for tests: takes every mail over SMTP and remembers which, and when. It outlives the server it gets mail from. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

export interface Taken {
  readonly recipient: string;
  readonly content: string;
  /** When its MAIL was read. */
  readonly begunAtMs: number;
  /** When the reply to the final dot left. */
  readonly atMs: number;
}

export interface Sink extends AsyncDisposable {
  readonly port: number;
  readonly taken: readonly Taken[];
  /** Mails that were begun: how often MAIL was said. */
  readonly begun: number;
  /** Most connections that were open at once. */
  readonly mostOpen: number;
}

/** How a sink behaves; whoever started it may change it while it runs. */
export interface SinkManner {
  /** Connections are cut as soon as they are made, and those that are open at their next word. */
  isDown: boolean;
  /** Between taking a mail and saying so. */
  replyAfterMs: number;
  /** Before each reply to RCPT; 0 if not given. */
  recipientAfterMs?: number;
  /** Recipients that it refuses for good. */
  readonly refuses: (recipient: string) => boolean;
}

const USUAL_MANNER: SinkManner = { isDown: false, replyAfterMs: 0, refuses: () => false };

export async function startSink(
  options: { onTaken?: (taken: Taken) => void; keeps?: boolean; manner?: SinkManner; address?: string } = {},
): Promise<Sink> {
  const manner = options.manner ?? USUAL_MANNER;
  const taken: Taken[] = [];
  const open = new Set<Socket>();
  let mostOpen = 0;
  let begun = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    mostOpen = Math.max(mostOpen, open.size);
    socket.on("close", () => open.delete(socket));
    // Those who come from here are killed in the middle of things.
    socket.on("error", () => socket.destroy());
    serve(socket, manner, {
      onBegun: () => begun++,
      onMail: (recipient, content, begunAtMs) => {
        const one = { recipient, content, begunAtMs, atMs: performance.now() };
        if (options.keeps !== false) taken.push(one);
        options.onTaken?.(one);
      },
    });
  }).listen(0, options.address ?? "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a numeric address");
  return {
    port: address.port,
    taken,
    get begun() {
      return begun;
    },
    get mostOpen() {
      return mostOpen;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

interface Heard {
  readonly onBegun: () => void;
  readonly onMail: (recipient: string, content: string, begunAtMs: number) => void;
}

function serve(socket: Socket, manner: SinkManner, { onBegun, onMail }: Heard): void {
  let recipients: string[] = [];
  let begunAtMs = 0;
  let isData = false;
  let held = "";
  /** Replies that are held back, in their order. */
  let before: Promise<unknown> | undefined;
  const say = (line: string, afterMs = 0): void => {
    if (before === undefined && afterMs === 0) {
      socket.write(`${line}\r\n`);
      return;
    }
    const mine = (before ?? Promise.resolve())
      .then(() => (afterMs === 0 ? undefined : wait(afterMs)))
      .then(() => {
        if (before === mine) before = undefined;
        if (socket.writable) socket.write(`${line}\r\n`);
      });
    before = mine;
  };
  if (manner.isDown) {
    socket.destroy();
    return;
  }
  say("220 sink.test ESMTP");
  socket.on("data", (bytes: Buffer) => {
    if (manner.isDown) {
      socket.destroy();
      return;
    }
    held += bytes.toString("latin1");
    for (;;) {
      if (isData) {
        const end = held.startsWith(".\r\n") ? 0 : held.indexOf("\r\n.\r\n");
        if (end < 0) return;
        const content = held.slice(0, end).replace(/^\.\./gm, ".");
        held = held.slice(end + (end === 0 ? 3 : 5));
        isData = false;
        for (const recipient of recipients) onMail(recipient, content, begunAtMs);
        recipients = [];
        say("250 2.0.0 taken", manner.replyAfterMs);
        continue;
      }
      const lineEnd = held.indexOf("\r\n");
      if (lineEnd < 0) return;
      const line = held.slice(0, lineEnd);
      held = held.slice(lineEnd + 2);
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === "EHLO") say("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES");
      else if (verb === "DATA") {
        isData = recipients.length > 0;
        say(isData ? "354 go on" : "503 5.5.1 no recipients");
      } else if (verb === "QUIT") {
        say("221 2.0.0 bye");
        socket.end();
      } else {
        if (verb === "RCPT") {
          const recipient = /<([^>]*)>/.exec(line)?.[1] ?? "";
          if (manner.refuses(recipient)) {
            say("550 5.1.1 nobody of that name");
            continue;
          }
          recipients.push(recipient);
        }
        if (verb === "MAIL") {
          begunAtMs = performance.now();
          onBegun();
        }
        if (verb === "MAIL" || verb === "RSET") recipients = [];
        say("250 2.0.0 ok", verb === "RCPT" ? (manner.recipientAfterMs ?? 0) : 0);
      }
    }
  });
}
