/** A next host for tests: takes every mail over SMTP and remembers which, and when. It outlives the server it gets mail from. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

export interface Taken {
  readonly recipient: string;
  readonly content: string;
  /** When the reply to the final dot left. */
  readonly atMs: number;
}

export interface Sink extends AsyncDisposable {
  readonly port: number;
  readonly taken: readonly Taken[];
  /** Most connections that were open at once. */
  readonly mostOpen: number;
}

export async function startSink(options: { onTaken?: (taken: Taken) => void; keeps?: boolean } = {}): Promise<Sink> {
  const taken: Taken[] = [];
  const open = new Set<Socket>();
  let mostOpen = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    mostOpen = Math.max(mostOpen, open.size);
    socket.on("close", () => open.delete(socket));
    // Those who come from here are killed in the middle of things.
    socket.on("error", () => socket.destroy());
    serve(socket, (recipient, content) => {
      const one = { recipient, content, atMs: performance.now() };
      if (options.keeps !== false) taken.push(one);
      options.onTaken?.(one);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a numeric address");
  return {
    port: address.port,
    taken,
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

function serve(socket: Socket, onMail: (recipient: string, content: string) => void): void {
  let recipients: string[] = [];
  let isData = false;
  let held = "";
  const say = (line: string): void => void socket.write(`${line}\r\n`);
  say("220 sink.test ESMTP");
  socket.on("data", (bytes: Buffer) => {
    held += bytes.toString("latin1");
    for (;;) {
      if (isData) {
        const end = held.startsWith(".\r\n") ? 0 : held.indexOf("\r\n.\r\n");
        if (end < 0) return;
        const content = held.slice(0, end).replace(/^\.\./gm, ".");
        held = held.slice(end + (end === 0 ? 3 : 5));
        isData = false;
        for (const recipient of recipients) onMail(recipient, content);
        recipients = [];
        say("250 2.0.0 taken");
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
        if (verb === "RCPT") recipients.push(/<([^>]*)>/.exec(line)?.[1] ?? "");
        if (verb === "MAIL" || verb === "RSET") recipients = [];
        say("250 2.0.0 ok");
      }
    }
  });
}
