/**
 * Next hosts, DNS and the ends of STARTTLS as weapons: answers without end, a byte at a time, answers before the questions, words
 * behind the answer to STARTTLS, records by the thousand. Their mail waits with a reason; everybody else's goes.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { a, mx, startDnsServer, txt } from "../dns-server.ts";
import { treeOf } from "../processes.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, startServer, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

type Manner = (socket: Socket) => void;

/** Answers each line with what `of` says; a first line has been said. */
function answering(of: (line: string, socket: Socket) => string | undefined, greeting = "220 host.test ESMTP"): Manner {
  return (socket) => {
    let held = "";
    socket.write(`${greeting}\r\n`);
    socket.on("data", (bytes) => {
      held += bytes.toString("latin1");
      for (let end = held.indexOf("\r\n"); end >= 0; end = held.indexOf("\r\n")) {
        const line = held.slice(0, end);
        held = held.slice(end + 2);
        const answer = of(line, socket);
        if (answer !== undefined) socket.write(answer);
      }
    });
  };
}

/** The same over and over, as fast as it is taken. */
function forEver(socket: Socket, piece: string | Buffer): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on("drain", more);
  more();
}

/** One byte now and then. */
function drip(socket: Socket, text: string): void {
  void (async () => {
    for (let at = 0; !socket.destroyed; at++) {
      socket.write(text[at % text.length] ?? "");
      await wait(300);
    }
  })();
}

const OK = "250 2.0.0 ok\r\n";
const HELLO = "250-host.test\r\n250-8BITMIME\r\n250 STARTTLS\r\n";
const usual = (line: string): string =>
  line.startsWith("EHLO") || line.startsWith("LHLO") ? HELLO : line === "DATA" ? "354 go on\r\n" : OK;
const LONG = Buffer.alloc(64 * 1024, "x");

/** What each does; the relay's scheme in front where it is not plain SMTP. */
const HOSTS: Readonly<Record<string, { readonly scheme?: string; readonly does: Manner }>> = {
  "endless-greeting": { does: (socket) => forEver(socket, "220-welcome to the host that never ends\r\n".repeat(1000)) },
  "endless-line": { does: (socket) => forEver(socket, LONG) },
  "endless-reply": {
    does: answering((line, socket) =>
      line.startsWith("MAIL") ? (forEver(socket, "250-more\r\n".repeat(5000)), undefined) : usual(line),
    ),
  },
  "endless-reply-line": {
    does: answering((line, socket) => (line.startsWith("RCPT") ? (forEver(socket, LONG), undefined) : usual(line))),
  },
  "dripping-greeting": { does: (socket) => drip(socket, "220-") },
  "dripping-lines": { does: (socket) => drip(socket, "220-x\r\n") },
  "dripping-ehlo": {
    does: answering((line, socket) => (line.startsWith("EHLO") ? (drip(socket, "250-x\r\n"), undefined) : usual(line))),
  },
  "dripping-end": {
    does: answering((line, socket) =>
      line === "."
        ? (drip(socket, "250-x\r\n"), undefined)
        : line === "" || /^[A-Z][\w-]*:|^Hello|^\s/.test(line)
          ? undefined
          : usual(line),
    ),
  },
  "thousand-extensions": {
    does: answering((line) =>
      line.startsWith("EHLO") ? `${"250-X-EXTENSION\r\n".repeat(100_000)}250 OK\r\n` : usual(line),
    ),
  },
  nonsense: {
    does: (socket) => forEver(socket, Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 7919) % 256))),
  },
  "starttls-words": {
    scheme: "tls",
    does: answering((line) =>
      line === "STARTTLS"
        ? `220 go on\r\n250-host.test\r\n250 AUTH PLAIN\r\n250 ok\r\n250 ok\r\n354 ok\r\n250 taken\r\n`
        : usual(line),
    ),
  },
  "starttls-words-lmtp": {
    scheme: "lmtp",
    does: answering((line) =>
      line === "STARTTLS" ? "220 go on\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 ok\r\n250 taken\r\n" : usual(line),
    ),
  },
  "starttls-plain": { scheme: "tls", does: answering((line) => (line === "STARTTLS" ? "220 go on\r\n" : usual(line))) },
};

async function listening(does: Manner, t: TestContext): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.resume();
    does(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a numeric address");
  return address.port;
}

function memoryOf(server: TestServer): number {
  const pids = new Set([server.process.pid ?? 0, ...treeOf(server.process.pid ?? 0).map(({ pid }) => pid)]);
  return [...pids].reduce(
    (sum, pid) =>
      sum + Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) / 1024,
    0,
  );
}

for (const layout of LAYOUTS)
  test(
    `${layout}: hosts that answer without end, in drops or in advance have their mail wait, and nobody else's`,
    { timeout: 240_000 },
    async (t) => {
      const folder = mkdtempSync(join(tmpdir(), "posthorn-hostile-hosts-"));
      chmodSync(folder, 0o755);
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      const hosts: { name: string; url: string }[] = [];
      for (const [name, { scheme = "smtp", does }] of Object.entries(HOSTS))
        hosts.push({ name, url: `${scheme}://127.0.0.1:${await listening(does, t)}` });
      await using good = await startScriptedHost();
      // A thousand mail exchangers, all of them nowhere; and a domain with more text than fits a message of DNS.
      await using dns = await startDnsServer(
        {
          "many-mx.test": Array.from({ length: 1000 }, (_, at) => mx(at, `mx${at}.nowhere.test`)),
          "texts.test": [
            mx(10, "host.texts.test"),
            ...Array.from({ length: 200 }, (_, at) => txt(`v=spf1 include:i${at}.texts.test ${"x".repeat(280)}`)),
          ],
          "host.texts.test": [a("127.0.0.1")],
        },
        ["many-mx.test", "texts.test"],
      );
      const SECONDS = ["greeting", "command", "data", "block", "end-of-data", "connect", "tls"]
        .map((name) => `${name}-timeout: 4s`)
        .join(", ");
      await using server = await startServer({
        layout,
        readyWithinMs: 120_000,
        settings: `local: { domains: [posthorn.test], users: [ann] }
dns: { servers: ["${dns.at}"] }
delivery: { ${SECONDS} }
actions:
  good: { relay: { to: "smtp://127.0.0.1:${good.port}" } }
${hosts.map(({ name, url }) => `  ${name}: { relay: { to: "${url}" } }`).join("\n")}
filters: { judge: { authenticate: {} } }
filtered-by: [judge]
rules:
  - { match: { for: good.test }, action: good }
${hosts.map(({ name }) => `  - { match: { for: ${name}.test }, action: ${name} }`).join("\n")}
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: relay }
`,
      });
      const before = memoryOf(server);
      let most = before;
      const watch = setInterval(() => (most = Math.max(most, memoryOf(server))), 200);
      t.after(() => clearInterval(watch));
      const names = [...hosts.map(({ name }) => `${name}.test`), "many-mx.test"];
      for (const name of names)
        assert.match(
          await sendMail(server.ports.smtp, {
            from: "ann@texts.test",
            to: `x@${name}`,
            content: "Subject: x\n\nHello",
          }),
          /^250/,
          name,
        );
      for (let at = 0; at < 10; at++)
        assert.match(
          await sendMail(server.ports.smtp, {
            from: "ann@posthorn.test",
            to: "x@good.test",
            content: `Subject: ${at}\n\nHello`,
          }),
          /^250/,
        );
      await good.waitForMails(10, 60_000);
      const isPutOff = (name: string): boolean =>
        new RegExp(`to=<x@${name.replaceAll(".", "\\.")}>.*status=(?:deferred|bounced)`).test(server.output());
      const untilAt = performance.now() + 90_000;
      while (!names.every(isPutOff) && performance.now() < untilAt) await wait(100);
      clearInterval(watch);
      assert.deepEqual(
        names.filter((name) => !isPutOff(name)),
        [],
      );
      assert.doesNotMatch(server.output(), /to=<x@(?!good)[^>]*>.*status=sent/);
      // What an injected word of AUTH, or the whole answers of a mail, would have made of it.
      assert.match(server.output(), /x@starttls-words\.test.*bytes behind the answer to STARTTLS/);
      t.diagnostic(`memory: ${before.toFixed(0)} MiB before, at most ${most.toFixed(0)} MiB`);
      assert.ok(most - before < 300, `from ${before.toFixed(0)} to ${most.toFixed(0)} MiB`);
      assert.equal(await server.stop(), 0);
    },
  );
