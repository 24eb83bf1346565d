/**
 * Slow loris, at each state of each kind of connection: who is silent, or says a byte now and then, is cut when its time is
 * over, while everybody else's mail goes through as if nobody was there.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { clientHelloBody, handshake, record } from "../../src/testing/hello-bytes.ts";
import { freePort, LAYOUTS, startServer, type Layout } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** How long a client may be silent here; honest clients on a busy machine need some of it. */
const PATIENCE_S = 6;
/** How many there are of each kind. */
const OF_EACH = 3;

interface Loris {
  readonly where: "smtp" | "proxied" | "smtps" | "submission" | "web" | "lmtp";
  /** Said properly first, each when an answer has come. */
  readonly first?: readonly string[];
  /** Then a byte of this now and then, over and over; nothing: silence. */
  readonly drip?: string | Buffer;
  /** It says that it will say no more, and stays. */
  readonly ends?: boolean;
}

const EHLO = "EHLO slow.test\r\n";
const MAIL = [EHLO, "MAIL FROM:<a@slow.test>\r\n"];
const RCPT = [...MAIL, "RCPT TO:<ann@posthorn.test>\r\n"];

const LORIS: Readonly<Record<string, Loris>> = {
  "silent before the first command": { where: "smtp" },
  "dripping its EHLO": { where: "smtp", drip: "EHLO " },
  "dripping spaces": { where: "smtp", first: [EHLO], drip: " " },
  "silent behind EHLO": { where: "smtp", first: [EHLO] },
  "silent behind MAIL": { where: "smtp", first: MAIL },
  "dripping RCPT": { where: "smtp", first: MAIL, drip: "RCPT TO:<aaaaaaaa" },
  "silent behind RCPT": { where: "smtp", first: RCPT },
  "silent behind DATA": { where: "smtp", first: [...RCPT, "DATA\r\n"] },
  "dripping its header": { where: "smtp", first: [...RCPT, "DATA\r\n"], drip: "Subject: xxxxxxxxxxxxxx" },
  "dripping lines of content": { where: "smtp", first: [...RCPT, "DATA\r\n", "Subject: x\r\n\r\n"], drip: "x\r\n" },
  "silent in front of a chunk's octets": { where: "smtp", first: [...RCPT, "BDAT 1000\r\n"] },
  "dripping a chunk": { where: "smtp", first: [...RCPT, "BDAT 100000 LAST\r\n"], drip: "Subject: xxxxx" },
  "silent behind its mail": { where: "smtp", first: [...RCPT, "DATA\r\n", "Subject: x\r\n\r\nx\r\n.\r\n"] },
  "silent where a login goes on": { where: "submission", first: [EHLO, "AUTH LOGIN\r\n"] },
  "dripping a login": { where: "submission", first: [EHLO, "AUTH LOGIN\r\n"], drip: "YW5u" },
  "silent behind STARTTLS": { where: "smtp", first: [EHLO, "STARTTLS\r\n"] },
  "dripping its ClientHello behind STARTTLS": { where: "smtp", first: [EHLO, "STARTTLS\r\n"], drip: "hello" },
  "silent where TLS begins": { where: "smtps" },
  "dripping its ClientHello": { where: "smtps", drip: "hello" },
  "silent where a PROXY header begins": { where: "proxied" },
  "dripping its PROXY header": { where: "proxied", drip: "PROXY TCP4 1.1.1.1 2.2.2.2 " },
  "dripping its PROXY header of version 2": {
    where: "proxied",
    drip: Buffer.from("0d0a0d0a000d0a515549540a2111ffff", "hex"),
  },
  "dripping an HTTP question": { where: "web", drip: "GET /xxxxxxxxxxxxxxxxxxxxxxx" },
  "silent on LMTP": { where: "lmtp" },
  "that has ended its side behind RCPT": { where: "smtp", first: RCPT, ends: true },
  "that has ended its side in the middle of content": {
    where: "smtp",
    first: [...RCPT, "DATA\r\n", "Subject: x\r\n"],
    ends: true,
  },
  "that has ended its side where TLS begins": { where: "smtps", ends: true },
};

interface Running {
  readonly name: string;
  readonly socket: Socket;
  isAtState: boolean;
}

async function run(name: string, loris: Loris, ports: Readonly<Record<Loris["where"], number>>): Promise<Running> {
  const socket = connect({ port: ports[loris.where], host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  socket.on("end", () => socket.end());
  const running: Running = { name, socket, isAtState: false };
  await once(socket, "connect");
  for (const line of loris.first ?? []) {
    // The greeting, or the answer to the line before: replies of these dialogues come in one piece each.
    await Promise.race([once(socket, "data"), once(socket, "close")]);
    socket.write(line);
  }
  // Who goes on before it is answered is cut for that.
  const isAnswered =
    loris.first?.at(-1)?.startsWith("BDAT") === false && loris.first.at(-1)?.startsWith("Subject") === false;
  if (isAnswered) await Promise.race([once(socket, "data"), once(socket, "close")]);
  socket.resume();
  running.isAtState = true;
  if (loris.ends === true) socket.end();
  if (loris.drip === undefined) return running;
  const bytes = loris.drip === "hello" ? record(22, handshake(1, clientHelloBody({}))) : Buffer.from(loris.drip);
  void (async () => {
    for (let at = 0; !socket.destroyed; at++) {
      socket.write(bytes.subarray(at % bytes.length, (at % bytes.length) + 1));
      await wait(400);
    }
  })();
  return running;
}

async function start(layout: Layout) {
  const [proxied, web, lmtp] = [await freePort(), await freePort(), await freePort()];
  const server = await startServer({
    layout,
    readyWithinMs: 120_000,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
local: { domains: [posthorn.test], users: [ann, bob] }
session:
  command-timeout: ${PATIENCE_S}s
  data-timeout: ${PATIENCE_S}s
  reply-timeout: ${PATIENCE_S}s
  handshake-timeout: ${PATIENCE_S}s
  slow-grace: ${PATIENCE_S}s
  tls-close-timeout: 1s
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission, auth-without-tls: loopback }
  - { name: smtps, address: 127.0.0.1, port: {smtps}, protocol: submission, tls: implicit }
  - { name: proxied, address: 127.0.0.1, port: ${proxied}, proxy-from: [loopback], proxy-timeout: ${PATIENCE_S}s }
  - { name: web, address: 127.0.0.1, port: ${web}, protocol: http, tls: off }
  - { name: lmtp, address: 127.0.0.1, port: ${lmtp}, protocol: lmtp }
accounts: table:people
tables: { people: { map: { ann: "{PLAIN}secret" } } }
rules: [ { match: { for: local }, action: deliver } ]
`,
  });
  return { server, ports: { ...server.ports, proxied, web, lmtp } };
}

for (const layout of LAYOUTS)
  test(`${layout}: slow clients are cut at every state, and nobody waits for them`, { timeout: 240_000 }, async (t) => {
    const { server, ports } = await start(layout);
    await using running = server;
    const slow = await Promise.all(
      Object.entries(LORIS).flatMap(([name, loris]) => Array.from({ length: OF_EACH }, () => run(name, loris, ports))),
    );
    for (const { name, isAtState } of slow) assert.ok(isAtState, name);
    // Also those who never speak to the sockets of this host.
    const folder = join(running.folder, "data", "run");
    const local = readdirSync(folder)
      .filter((name) => name.endsWith(".sock"))
      .flatMap((name) => Array.from({ length: 5 }, () => connect(join(folder, name))));
    for (const socket of local) socket.on("error", () => {});

    const cut = (): readonly string[] => [
      ...new Set(slow.filter(({ socket }) => socket.destroyed).map(({ name }) => name)),
    ];
    const cutBefore = cut();
    const honest = await Promise.all(
      Array.from({ length: 10 }, (_, at) =>
        sendMail(ports.smtp, { from: "a@honest.test", to: "bob@posthorn.test", content: `Subject: ${at}\n\nx` }),
      ),
    );
    for (const reply of honest) assert.match(reply, /^250/);
    assert.deepEqual(
      cutBefore.filter((name) => !name.startsWith("that has ended")),
      [],
      "all were there when the honest ones came",
    );
    t.diagnostic(`cut before the honest ones were through: ${cut().join(", ")}`);
    const { status, stdout } = await running.posthorn("status");
    assert.equal(status, 0, stdout);

    // Twice the patience and whatever a busy machine takes: nobody keeps a place by being slow.
    const untilAt = performance.now() + 60_000;
    while (slow.some(({ socket }) => !socket.destroyed) && performance.now() < untilAt) await wait(100);
    const still = slow.filter(({ socket }) => !socket.destroyed).map(({ name }) => name);
    for (const { socket } of slow) socket.destroy();
    for (const socket of local) socket.destroy();
    assert.deepEqual([...new Set(still)], []);
    assert.match(
      await sendMail(ports.smtp, { from: "a@honest.test", to: "bob@posthorn.test", content: "Subject: last\n\nx" }),
      /^250/,
    );
    await running.waitForMails("bob", 11, 30_000);
    // A mail that was not whole is nobody's.
    assert.equal(running.mailsOf("ann").length, OF_EACH);
    assert.equal(await running.stop(), 0);
  });
