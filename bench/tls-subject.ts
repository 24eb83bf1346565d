/**
 * The process under test of `tls.ts`: a server that speaks enough SMTP for a client to hand mail over, on the engine or on
 * plain `tls.Server`, both doing the same work. Prints its port; ends with its parent.
 */
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { systemClock } from "../src/foundation/clock.io.ts";
import { tlsServer } from "../src/service/tls/server.io.ts";
import type { ServerProfile } from "../src/service/tls/tls.ts";

interface Orders {
  readonly engine: "ours" | "plain";
  readonly cert: string;
  readonly key: string;
}

// Written by our parent.
const orders = JSON.parse(process.argv[2] ?? "{}") as Orders;
const options = { cert: orders.cert, key: orders.key };
const CLOSE_MS = 3000;

const server = orders.engine === "plain" ? plain() : ours();
server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${port}\n`);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

function plain(): Server {
  return createTlsServer({ ...options, noDelay: true }, (socket) => serve(socket, () => socket.end()));
}

function ours(): Server {
  const profile: ServerProfile = {
    optionsFor: () => options,
    defaultOptions: options,
    ticketLifetimeMs: 3_600_000,
    clientCertificate: "none",
  };
  const engine = tlsServer({ profile: () => profile, clock: systemClock });
  return createTcpServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
    raw.on("error", () => {});
    void engine.accept(raw, { deadlineMs: 60_000 }).then((outcome) => {
      if (outcome.ok) serve(outcome.connection.socket, () => void outcome.connection.close(CLOSE_MS));
      else process.stderr.write(`${outcome.finding.sentence} (${outcome.finding.evidence ?? ""})\n`);
    });
  });
}

/** A line, a reply; after DATA all up to the dot is taken and thrown away. Every cut of the stream is whole lines here. */
function serve(socket: TLSSocket, close: () => void): void {
  let isContent = false;
  let held = "";
  socket.on("error", () => {});
  socket.on("data", (bytes: Buffer) => {
    if (isContent) {
      const tail = held + bytes.toString("latin1", Math.max(0, bytes.length - 5));
      held = tail.slice(-5);
      if (held !== "\r\n.\r\n") return;
      isContent = false;
      socket.write("250 2.0.0 Ok: taken\r\n");
      return;
    }
    const line = bytes.toString("latin1");
    if (line.startsWith("DATA")) {
      isContent = true;
      held = "";
      socket.write("354 End data with <CR><LF>.<CR><LF>\r\n");
    } else if (line.startsWith("QUIT")) {
      socket.write("221 2.0.0 Bye\r\n");
      close();
    } else socket.write("250 2.1.0 Ok\r\n");
  });
  socket.on("end", close);
  socket.write("220 mx.bench.test ESMTP\r\n");
}
