/**
 * The least that a program in Node can do to take mail as the servers beside it do: lockstep SMTP, each message
 * synced before its 250 (one sync for all that wait), and sent on over kept connections where it is told to. It checks
 * nothing, and has no routes, retries, limits, log or second process: a bound for what is measured, no server. It keeps mail in
 * one file, or in Posthorn's own queue and journal. Started by `bare-node.ts`.
 */
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import { keepInFile } from "./bare-file.ts";
import type { BareMail } from "./bare-keeping.ts";
import type { BareNodeOrders } from "./bare-node.ts";
import { keepInStores } from "./bare-stores.ts";

// `bare-node.ts` wrote it.
const orders = JSON.parse(process.argv[2] ?? "{}") as BareNodeOrders;
const keeping = orders.isInStores ? await keepInStores(orders.folder) : keepInFile(`${orders.folder}/log`);
const secureContext =
  orders.pair === undefined
    ? undefined
    : createSecureContext({ cert: readFileSync(orders.pair.certificate), key: readFileSync(orders.pair.key) });

function serve(socket: Socket): void {
  let text = "";
  let from = "";
  let to = "";
  let isContent = false;
  const take = (content: string): void => {
    const mail = { from, to, content };
    keeping.keep(mail, () => {
      socket.write("250 2.0.0 kept\r\n");
      if (orders.sendTo !== undefined) send(mail, orders.sendTo);
    });
  };
  /** The answer; undefined: the connection is somebody else's now. */
  const answer = (line: string): string | undefined => {
    switch (line.slice(0, 4).toUpperCase()) {
      case "EHLO":
        return secureContext === undefined ? "250 bare.test\r\n" : "250-bare.test\r\n250 STARTTLS\r\n";
      case "MAIL":
        from = line;
        return "250 2.1.0 ok\r\n";
      case "RCPT":
        to = line;
        return "250 2.1.5 ok\r\n";
      case "DATA":
        isContent = true;
        return "354 go on\r\n";
      case "QUIT":
        socket.end("221 2.0.0 bye\r\n");
        return undefined;
      case "STAR":
        socket.removeAllListeners("data");
        socket.write("220 2.0.0 go on\r\n");
        serve(new TLSSocket(socket, { isServer: true, ...(secureContext === undefined ? {} : { secureContext }) }));
        return undefined;
      default:
        return "250 2.0.0 ok\r\n";
    }
  };
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString("latin1");
    for (;;) {
      const mark = isContent ? "\r\n.\r\n" : "\r\n";
      const end = text.indexOf(mark);
      if (end < 0) return;
      const piece = text.slice(0, end + mark.length);
      text = text.slice(end + mark.length);
      if (isContent) {
        isContent = false;
        take(piece);
        continue;
      }
      const said = answer(piece.slice(0, -2));
      if (said === undefined) return;
      socket.write(said);
    }
  });
}

/** As many as Posthorn has to a relay. */
const MOST_CONNECTIONS = 20;
const queue: BareMail[] = [];
const idle: ((mail: BareMail) => void)[] = [];
let connections = 0;

function send(mail: BareMail, port: number): void {
  const free = idle.pop();
  if (free !== undefined) {
    free(mail);
    return;
  }
  queue.push(mail);
  if (connections < MOST_CONNECTIONS) open(port);
}

function open(port: number): void {
  connections++;
  const socket = connect(port, "127.0.0.1");
  let mail: BareMail | undefined;
  let says: string[] = ["EHLO bare.test\r\n"];
  const next = (given: BareMail | undefined): void => {
    mail = given;
    if (mail === undefined) {
      idle.push(next);
      return;
    }
    says = [`${mail.to}\r\n`, "DATA\r\n", mail.content];
    socket.write(`${mail.from}\r\n`);
  };
  socket.setNoDelay(true);
  socket.on("data", (bytes: Buffer) => {
    // Whole answers come together here: this is a bound, and its peer a sink on the same machine.
    if (!/^\d{3} .*\r\n$/m.test(bytes.toString("latin1"))) return;
    const line = says.shift();
    if (line !== undefined) {
      socket.write(line, "latin1");
      return;
    }
    if (mail !== undefined) keeping.forget(mail);
    next(queue.shift());
  });
}

createServer({ noDelay: true }, (socket) => {
  serve(socket);
  socket.write("220 bare.test ESMTP\r\n");
}).listen(orders.port, "127.0.0.1", 511, () => process.stdout.write("listening\n"));
