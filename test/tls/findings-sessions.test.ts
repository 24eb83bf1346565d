/** What people read of failures that SMTP's side sees, and of each way for a TLS connection to end: provoked for real. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, TLSSocket } from "node:tls";
import { systemClock } from "../../src/foundation/clock.io.ts";
import type { Emit } from "../../src/foundation/events.ts";
import { seededRandom } from "../../src/foundation/random.ts";
import { createNetworkDelivery } from "../../src/mail/delivery/smtp/network-delivery.io.ts";
import { tcpDial } from "../../src/mail/delivery/smtp/tcp-dial.io.ts";
import { smtpClientSettings } from "../../src/mail/delivery/settings.ts";
import type { TlsFinding } from "../../src/service/tls/finding/finding.ts";
import { parseTold } from "../../src/service/tls/told.ts";
import { createZone } from "../../src/simulator/zone.ts";
import { policiesOf, testKeeper } from "../../src/testing/client-tls.ts";
import { eventLog, type EventLog } from "../../src/testing/reception.ts";
import { testCertificate, testListener, type TestListener } from "../../src/testing/test-listener.ts";
import { testCertificates } from "./certificates.ts";
import { Golden } from "./golden.ts";

const golden = new Golden("findings-sessions.golden.txt");
const tls = await testCertificate();
const { good } = await testCertificates();

/** The finding of the first event that has one; it is what the journal keeps. */
async function findingIn(log: EventLog): Promise<TlsFinding> {
  for (let at = 0; at < 6000; at++) {
    for (const { fields } of log.events) {
      const told = parseTold(fields["details"]);
      if (told?.told === "failed") return told.finding;
    }
    await sleep(10);
  }
  throw new Error(`nobody told of a failure, but\n${log.lines.join("\n")}`);
}

async function listenerFinds(
  settings: Record<string, unknown>,
  play: (server: TestListener) => Promise<void>,
): Promise<TlsFinding> {
  await using server = await testListener(settings, { world: { tls: () => tls } });
  await play(server);
  return await findingIn(server.log);
}

golden.case("a client speaks TLS on a port that begins in plaintext", () =>
  listenerFinds({}, (server) => {
    const socket = connectTls({ port: server.port, host: "127.0.0.1", servername: "mx.example" });
    socket.on("error", () => {});
    return Promise.resolve();
  }),
);
golden.case("a client sends commands behind STARTTLS", () =>
  listenerFinds({}, async (server) => {
    const client = await server.hello();
    await client.say("STARTTLS\r\nMAIL FROM:<a@b.example>\r\n", /^554/);
  }),
);
golden.case("a client makes more handshakes than it may, on a port of implicit TLS", () =>
  listenerFinds({ tls: "implicit", limits: { exempt: [], handshakeRate: 1 } }, async (server) => {
    for (let at = 0; at < 2; at++) {
      const socket = connectTls({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false });
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once(at === 0 ? "secureConnect" : "close", resolve));
    }
  }),
);
golden.case("a client makes more handshakes than it may, by STARTTLS", () =>
  listenerFinds({ limits: { exempt: [], handshakeRate: 1 } }, async (server) => {
    const [first, second] = [await server.hello(), await server.hello()];
    await first.say("STARTTLS\r\n", /^220/);
    await second.say("STARTTLS\r\n", /^454 4\.7\.0/);
  }),
);

/** A next host of raw bytes: `act` gets each connection. Gives what our client logged by then. */
async function deliveryLogs(
  act: (socket: Socket) => void,
  settings: Record<string, unknown> = {},
  during: (delivery: ReturnType<typeof createNetworkDelivery>) => Promise<void> = async () => {},
): Promise<EventLog> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    act(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const log = eventLog();
  const emit: Emit = log.emit;
  const parsed = smtpClientSettings.parse({ quitTimeout: "1s", tlsTimeout: "5s", ...settings });
  try {
    await using delivery = createNetworkDelivery({
      clock: systemClock,
      random: seededRandom(1),
      emit,
      settings: parsed,
      resolver: createZone({}),
      dial: tcpDial,
      openBody: () => {
        throw new Error("there are no bodies");
      },
      credentials: () => undefined,
      hostname: "us.example",
      localAddresses: [],
      keeper: testKeeper(),
      policies: policiesOf(parsed.tls),
    });
    const { port } = server.address() as AddressInfo;
    await delivery.connect({
      session: "s",
      host: { name: "mx.example", address: { ip: "127.0.0.1", port }, preference: 0 },
      protocol: "smtp",
      tls: "starttls",
      verify: false,
      helo: "us.example",
      relay: "example",
    });
    await during(delivery);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  return log;
}

/** Offers STARTTLS and answers it with `ready`. */
function offering(socket: Socket, ready: string, then: () => void = () => {}): void {
  socket.write("220 mx.example ESMTP\r\n");
  const onData = (bytes: Buffer): void => {
    const line = bytes.toString("latin1");
    if (line.startsWith("EHLO")) socket.write("250-mx.example\r\n250 STARTTLS\r\n");
    if (!line.startsWith("STARTTLS")) return;
    socket.off("data", onData);
    socket.write(ready);
    then();
  };
  socket.on("data", onData);
}

golden.case("a server sends more behind its answer to STARTTLS", async () => {
  const log = await deliveryLogs((socket) => offering(socket, "220 go ahead\r\n250 AUTH PLAIN\r\n"));
  assert.deepEqual(
    log.names.filter((name) => name === "delivery.tls-failed"),
    ["delivery.tls-failed"],
  );
  return await findingIn(log);
});

// How connections end. As a server: what each end means at each point of the dialogue.

interface Client {
  readonly raw: Socket;
  readonly socket: TLSSocket;
}

/** Half a record of application data. */
const HALF = Buffer.concat([Buffer.from("1703030064", "hex"), Buffer.alloc(10)]);

const ENDS: Readonly<Record<string, (client: Client) => unknown>> = {
  "says close_notify": ({ socket }) => socket.end(),
  "ends TCP without close_notify": ({ raw }) => raw.end(),
  "ends TCP inside a record": ({ raw }) => raw.end(HALF),
  "resets the connection": ({ raw }) => raw.resetAndDestroy(),
  "does nothing more": () => {},
};

/** What is said to get to a point of the dialogue, line by line, and the replies that it takes. */
const POINTS: Readonly<Record<string, readonly (readonly [string, RegExp])[]>> = {
  "between commands": [],
  "after QUIT": [["QUIT\r\n", /^221/]],
  "inside DATA": [
    ["MAIL FROM:<a@b.example>\r\n", /^250/],
    ["RCPT TO:<c@d.example>\r\n", /^250/],
    ["DATA\r\n", /^354/],
  ],
};

const SHORT = { tlsCloseTimeout: "1s", commandTimeout: "1s", dataTimeout: "1s" };

async function serverLines(point: string, end: string): Promise<string> {
  await using server = await testListener({ tls: "implicit" }, { world: { tls: () => tls }, session: SHORT });
  const raw = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
  const socket = connectTls({ socket: raw, rejectUnauthorized: false });
  for (const stream of [raw, socket]) stream.on("error", () => {});
  let heard = "";
  socket.on("data", (bytes: Buffer) => (heard += bytes.toString("latin1")));
  const say = async (text: string, pattern: RegExp): Promise<void> => {
    heard = "";
    if (text !== "") socket.write(text);
    for (let at = 0; at < 6000 && !pattern.test(heard); at++) await sleep(10);
    assert.match(heard, pattern);
  };
  await say("", /^220/);
  await say("EHLO me.example\r\n", /^250 /m);
  for (const [text, pattern] of POINTS[point] ?? []) await say(text, pattern);
  if (point === "inside DATA") socket.write("Subject: half a mail\r\n");
  await sleep(150);
  const lineCount = server.log.lines.length;
  ENDS[end]?.({ raw, socket });
  await server.logged(/^TLS connection from \S+ closed/);
  await server.logged(/^disconnect from/);
  raw.destroy();
  const from = point === "after QUIT" ? 0 : lineCount;
  const told = server.log.lines.slice(from).filter((line) => /^(?:lost|timeout|TLS connection from)/.test(line));
  return told.toSorted().join("\n");
}

for (const point of Object.keys(POINTS))
  for (const end of Object.keys(ENDS))
    golden.text(`a client ${end} ${point}`, async () => await serverLines(point, end));

// As a client: a host that goes, or does not, once TLS is up.

type HostEnd = (raw: Socket, socket: TLSSocket) => unknown;

async function clientLines(act: HostEnd, isAfterQuit: boolean): Promise<string> {
  const log = await deliveryLogs(
    (raw) =>
      offering(raw, "220 go ahead\r\n", () => {
        const socket = new TLSSocket(raw, { isServer: true, cert: good.cert, key: good.key });
        socket.on("error", () => {});
        socket.on("data", (bytes) => {
          const line = bytes.toString("latin1");
          if (line.startsWith("EHLO")) {
            if (isAfterQuit) socket.write("250 mx.example\r\n");
            else act(raw, socket);
          }
          if (line.startsWith("QUIT") && isAfterQuit) socket.write("221 bye\r\n", () => act(raw, socket));
        });
      }),
    { tlsCloseTimeout: "1s", commandTimeout: "1s" },
    async (delivery) => {
      await delivery.leave("s");
    },
  );
  for (let at = 0; at < 6000 && !log.names.includes("delivery.tls-closed"); at++) await sleep(10);
  return log.lines.filter((line) => /^(?:TLS connection to|lost)/.test(line)).join("\n");
}

const HOST_ENDS: Readonly<Record<string, HostEnd>> = {
  "says close_notify": (_raw, socket) => socket.end(),
  "ends TCP without close_notify": (raw) => raw.end(),
  "ends TCP inside a record": (raw) => raw.end(HALF),
  "resets the connection": (raw) => raw.resetAndDestroy(),
  "does nothing more": () => {},
};

for (const [end, act] of Object.entries(HOST_ENDS)) {
  golden.text(`a server ${end} instead of answering EHLO`, async () => await clientLines(act, false));
  golden.text(`a server ${end} after QUIT`, async () => await clientLines(act, true));
}
