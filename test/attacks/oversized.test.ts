/**
 * Oversized everything, and numbers that are none: each is refused in words or by the end of the connection, takes no more
 * memory than its bound, and leaves the server as it was for others.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { handshake, record } from "../../src/testing/hello-bytes.ts";
import { treeOf } from "../processes.ts";
import { freePort, LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { sendMail, smtpConnect } from "../smtp-client.ts";

async function start(layout: Layout): Promise<{ server: TestServer; proxied: number; web: number }> {
  const [proxied, web] = [await freePort(), await freePort()];
  const server = await startServer({
    layout,
    readyWithinMs: 120_000,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
local: { domains: [posthorn.test], users: [ann, bob] }
session: { message-size: 1MiB, errors: 100, command-timeout: 20s, handshake-timeout: 20s }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission, auth-without-tls: loopback }
  - { name: smtps, address: 127.0.0.1, port: {smtps}, protocol: submission, tls: implicit }
  - { name: proxied, address: 127.0.0.1, port: ${proxied}, proxy-from: [loopback] }
  - { name: web, address: 127.0.0.1, port: ${web}, protocol: http, tls: off }
accounts: { backends: [{ table: "table:people" }], throttle: { delay: 0s } }
tables: { people: { map: { ann: "{PLAIN}secret" } } }
rules: [ { match: { for: local }, action: deliver } ]
`,
  });
  return { server, proxied, web };
}

/** The memory of all of a server's processes, in MiB. */
function memoryOf(server: TestServer): number {
  const pids = [server.process.pid ?? 0, ...treeOf(server.process.pid ?? 0).map(({ pid }) => pid)];
  return [...new Set(pids)].reduce((sum, pid) => {
    const rss = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return sum + Number(rss ?? 0) / 1024;
  }, 0);
}

/** Until it happens, or the connection is over, or nobody should wait any more. */
function either(socket: Socket, event: "drain" | "close"): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 30_000);
    for (const name of new Set([event, "close"]))
      socket.once(name, () => {
        clearTimeout(timer);
        resolve();
      });
  });
}

/** Writes as fast as it is taken, until all is written or the other side has had enough; gives what it said. */
async function pour(
  port: number,
  pieces: Iterable<string | Buffer>,
  opening: readonly string[] | undefined = ["EHLO big.test"],
): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.setMaxListeners(0);
  let heard = "";
  let isOver = false;
  socket.on("data", (bytes) => (heard = (heard + bytes.toString("latin1")).slice(-20_000)));
  socket.on("error", () => {});
  socket.on("close", () => (isOver = true));
  await once(socket, "connect");
  if (opening.length > 0)
    for (const line of ["", ...opening]) {
      if (line !== "") socket.write(`${line}\r\n`);
      while (!socket.destroyed && !/^\d{3} [^\n]*\n/m.test(heard)) await wait(10);
      heard = "";
    }
  for (const piece of pieces) {
    if (isOver) break;
    if (!socket.write(piece)) await either(socket, "drain");
  }
  // Whoever reads on answers; whoever has had enough closes.
  socket.end();
  if (!isOver) await either(socket, "close");
  socket.destroy();
  return heard;
}

function* times(
  count: number,
  piece: string | Buffer,
  first: string | Buffer = "",
  last: string | Buffer = "",
): Generator<string | Buffer> {
  yield first;
  for (let at = 0; at < count; at++) yield piece;
  yield last;
}

const BLOCK = Buffer.alloc(64 * 1024, "x");
const OPENING = ["EHLO big.test", "MAIL FROM:<a@big.test>", "RCPT TO:<bob@posthorn.test>"];
const DATA = [...OPENING, "DATA"];

/** In a session of its own each: what is said, and what is answered. */
const REFUSED: readonly (readonly [said: string, answer: RegExp])[] = [
  [`EHLO ${"x".repeat(70_000)}`, /^5/],
  [`MAIL FROM:<${"a".repeat(3000)}@b.test>`, /^5/],
  [`MAIL FROM:<a@${"b.".repeat(1500)}test>`, /^5/],
  [`MAIL FROM:<a@b.test> ${"X=1 ".repeat(900)}`, /^5/],
  [`MAIL FROM:<a@b.test> ${"BODY=7BIT ".repeat(300)}`, /^5/],
  [`MAIL FROM:<a@b.test> ENVID=${"x".repeat(3500)}`, /^5/],
  ["MAIL FROM:<a@b.test> SIZE=1048577", /^552/],
  ["MAIL FROM:<a@b.test> SIZE=9007199254740993", /^5/],
  ["MAIL FROM:<a@b.test> SIZE=99999999999999999999999999", /^5/],
  ["MAIL FROM:<a@b.test> SIZE=-1", /^501/],
  ["MAIL FROM:<a@b.test> SIZE=1e3", /^501/],
  ["MAIL FROM:<a@b.test> SIZE=0x10", /^501/],
  ["MAIL FROM:<a@b.test> SIZE=", /^501/],
  [`RCPT TO:<${"@a,".repeat(500)}@b.test:x@posthorn.test>`, /^5/],
  [`VRFY ${"x".repeat(4000)}`, /^[25]/],
  [`AUTH PLAIN ${"A".repeat(200_000)}`, /^5/],
  ["NOOP".repeat(5000), /^5/],
];

/** Behind RCPT, each in a session of its own: what is no chunk, in front of what would be a mail if it were one. */
const CHUNKS: readonly string[] = [
  "BDAT 9007199254740993",
  "BDAT 9007199254740992 LAST",
  "BDAT 18446744073709551621",
  "BDAT 4294967301 LAST",
  "BDAT -5 LAST",
  "BDAT +5 LAST",
  "BDAT 0x5 LAST",
  "BDAT 5e0 LAST",
  "BDAT 5.0 LAST",
  "BDAT 5LAST",
  "BDAT 5 LAST LAST",
  "BDAT 5 5",
  "BDAT LAST",
  "BDAT",
  "BDAT \u0665 LAST",
  `BDAT ${"0".repeat(300)}5 LAST`,
];

for (const layout of LAYOUTS)
  test(`${layout}: nothing is too large for the server, only for its limits`, { timeout: 240_000 }, async (t) => {
    const { server, proxied, web } = await start(layout);
    await using running = server;
    const { smtp, submission, smtps } = running.ports;
    const mayPass = async (): Promise<void> =>
      assert.match(
        await sendMail(smtp, { from: "a@b.test", to: "bob@posthorn.test", content: "Subject: honest\n\nx" }),
        /^250/,
      );
    await mayPass();
    const before = memoryOf(running);

    for (const [said, answer] of REFUSED) {
      const client = await smtpConnect(said.startsWith("AUTH") ? submission : smtp, 30_000);
      await client.reply();
      if (!said.startsWith("EHLO")) await client.say("EHLO big.test");
      if (said.startsWith("RCPT")) await client.say("MAIL FROM:<a@b.test>");
      const what = `${said.slice(0, 60)} (${said.length})`;
      assert.match(await client.say(said), answer, what);
      // The line was one line: what follows it is heard as what it is.
      assert.match(await client.say("NOOP"), /^250/, what);
      client.close();
    }
    for (const said of CHUNKS) {
      const replies = await pour(
        smtp,
        [
          `${said}\r\nx: y\nMAIL FROM:<smuggled@big.test>\r\nRCPT TO:<ann@posthorn.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\nQUIT\r\n`,
        ],
        OPENING,
      );
      const behind = replies.split("\r\n").filter((line) => /^\d{3} /.test(line));
      assert.ok(behind.length > 0 && behind[0]?.startsWith("5"), `${said}: ${replies}`);
    }
    await mayPass();

    // More than any limit, as fast as it goes: a command, a header line, a header, recipients, chunks, a login, HTTP, PROXY.
    const floods: readonly (readonly [name: string, heard: Promise<string>, expected: RegExp])[] = [
      ["a command line", pour(smtp, times(640, BLOCK, "", "\r\nQUIT\r\n")), /^500/m],
      ["a header line", pour(smtp, times(320, BLOCK, "", "\r\n.\r\nQUIT\r\n"), DATA), /^552/m],
      ["header fields", pour(smtp, times(320, "A:b\r\n".repeat(13_000), "", "\r\n.\r\nQUIT\r\n"), DATA), /^55[24]/m],
      [
        "received fields",
        pour(smtp, times(1, "Received: from a by b; x\r\n".repeat(5000), "", "\r\n.\r\nQUIT\r\n"), DATA),
        /^5\d\d/m,
      ],
      ["content", pour(smtp, times(320, BLOCK, "Subject: x\r\n\r\n", "\r\n.\r\nQUIT\r\n"), DATA), /^552/m],
      [
        "chunks",
        pour(smtp, times(200, Buffer.concat([Buffer.from("BDAT 65536\r\n"), BLOCK]), "", "QUIT\r\n"), OPENING),
        /^552/m,
      ],
      [
        "recipients",
        pour(smtp, times(100, "RCPT TO:<bob@posthorn.test>\r\n".repeat(50), "", "QUIT\r\n"), OPENING),
        /^452/m,
      ],
      ["commands", pour(smtp, times(100, "NOOP\r\n".repeat(500), "", "QUIT\r\n")), /^421/m],
      [
        "a login",
        pour(submission, times(320, BLOCK, "", "\r\nQUIT\r\n"), ["EHLO big.test", "AUTH PLAIN"]),
        /^(?:5|421)/m,
      ],
      [
        "answers of a login",
        pour(submission, times(200, "eA==\r\n".repeat(50), "", "QUIT\r\n"), ["EHLO big.test", "AUTH LOGIN"]),
        /^(?:5|421)/m,
      ],
      ["a PROXY header", pour(proxied, times(160, BLOCK, "PROXY TCP4 "), []), /^$/],
      [
        "a PROXY header of version 2",
        pour(proxied, times(160, BLOCK, Buffer.from("0d0a0d0a000d0a515549540a2111ffff", "hex")), []),
        /^$/,
      ],
      [
        "a ClientHello",
        pour(
          smtps,
          times(
            160,
            record(22, BLOCK.subarray(0, 16_000)),
            record(22, handshake(1, Buffer.alloc(200_000)).subarray(0, 16_000)),
          ),
          [],
        ),
        /^/,
      ],
      [
        "empty records",
        pour(smtps, times(160, Buffer.concat(Array.from({ length: 2000 }, () => record(22, Buffer.alloc(0))))), []),
        /^/,
      ],
      ["an HTTP question", pour(web, times(160, BLOCK, "GET /"), []), /^/],
      ["HTTP fields", pour(web, times(160, "A: b\r\n".repeat(10_000), "GET / HTTP/1.1\r\n"), []), /^/],
    ];
    await mayPass();
    let most = before;
    const watch = setInterval(() => (most = Math.max(most, memoryOf(running))), 200);
    const heard = await Promise.all(
      floods.map(async ([name, said, expected]) => [name, await said, expected] as const),
    );
    clearInterval(watch);
    for (const [name, said, expected] of heard)
      assert.match(said, expected, `${name}: ${JSON.stringify(said.slice(-500))}`);
    await mayPass();
    t.diagnostic(`memory: ${before.toFixed(0)} MiB before, at most ${most.toFixed(0)} MiB`);
    assert.ok(
      most - before < 250,
      `from ${before.toFixed(0)} to ${most.toFixed(0)} MiB, at ${((640 + 320 * 3) * 64) / 1024} MiB sent`,
    );
    await running.waitForMails("bob", 4);
    assert.deepEqual(running.mailsOf("ann"), []);
    assert.doesNotMatch(running.output(), /ended unexpectedly|panic|fatal/i);
    assert.equal(await running.stop(), 0);
  });
