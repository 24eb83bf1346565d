import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/**
 * Next hosts that close, reset or fall silent at each point of the dialogue. Each has a port of its own and gets one
 * mail; with deadlines of a second, no attempt is open two deadlines later, and each is put off with a word on where.
 */
const points = ["connect", "EHLO", "MAIL", "RCPT", "DATA", "content", "dot"] as const;
type Point = (typeof points)[number];
const manners = ["closes", "resets", "is silent"] as const;
type Manner = (typeof manners)[number];

/** The mail's size for each manner: below, at and above what is sent ahead and what a socket takes in one piece. */
const SIZES: Readonly<Record<Manner, number>> = { closes: 2_000, resets: 16_384, "is silent": 70_000 };
const DEADLINE_MS = 1000;

interface Host {
  readonly name: string;
  readonly port: number;
  /** Connections that the server has not closed. */
  readonly open: ReadonlySet<Socket>;
  readonly reached: () => boolean;
  close(): void;
}

async function hostThat(manner: Manner, at: Point): Promise<Host> {
  const open = new Set<Socket>();
  const all = new Set<Socket>();
  let hasReached = false;
  const server = createServer({ allowHalfOpen: manner === "is silent" }, (socket) => {
    open.add(socket);
    all.add(socket);
    for (const end of ["end", "close"]) socket.on(end, () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.resume();
    const fail = (): void => {
      hasReached = true;
      if (manner === "closes") socket.end();
      else if (manner === "resets") socket.resetAndDestroy();
    };
    if (at === "connect") {
      fail();
      return;
    }
    socket.write("220 host.test ESMTP\r\n");
    let held = "";
    let isData = false;
    socket.on("data", (bytes: Buffer) => {
      if (hasReached) return;
      held += bytes.toString("latin1");
      for (let end = held.indexOf("\r\n"); end >= 0; end = held.indexOf("\r\n")) {
        const line = held.slice(0, end);
        held = held.slice(end + 2);
        const here = isData ? (line === "." ? "dot" : "content") : line.slice(0, 4);
        if (here === at) {
          fail();
          return;
        }
        if (isData) continue;
        isData = here === "DATA";
        socket.write(isData ? "354 go on\r\n" : "250 ok\r\n");
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a numeric address");
  return {
    name: `${at.toLowerCase()}-${manner.replace(" ", "-")}`,
    port: address.port,
    open,
    reached: () => hasReached,
    close() {
      for (const socket of all) socket.destroy();
      server.close();
    },
  };
}

for (const layout of LAYOUTS)
  test(`${layout}: a next host that closes, resets or falls silent at any point leaves no attempt open beyond its deadline`, async (t) => {
    const hosts = await Promise.all(
      points.flatMap((point) => manners.map(async (manner) => ({ manner, host: await hostThat(manner, point) }))),
    );
    t.after(() => {
      for (const { host } of hosts) host.close();
    });
    const timeouts = ["greeting", "command", "data", "block", "endOfData", "connect"];
    await using server = await startServer({
      layout,
      settings: `actions:
${hosts.map(({ host }) => `  ${host.name}: { relay: { to: "smtp://127.0.0.1:${host.port}" } }`).join("\n")}
rules:
${hosts.map(({ host }) => `  - { match: { for: ${host.name}.test }, action: ${host.name} }`).join("\n")}
delivery: { ${timeouts.map((name) => `${name}Timeout: ${DEADLINE_MS}ms`).join(", ")} }
`,
    });
    await Promise.all(
      hosts.map(async ({ manner, host }) => {
        const content = `Subject: x\n\n${"x".repeat(70)}\n`.padEnd(SIZES[manner], `${"y".repeat(70)}\n`);
        const reply = await sendMail(server.ports.smtp, { from: "a@b.test", to: `x@${host.name}.test`, content });
        assert.match(reply, /^250 /);
      }),
    );
    const isDeferred = (host: Host): boolean =>
      new RegExp(`to=<x@${host.name}\\.test>, .*status=deferred`).test(server.output());
    const untilAt = Date.now() + 60_000;
    while (!hosts.every(({ host }) => isDeferred(host)) && Date.now() < untilAt) await wait(50);
    for (const { host } of hosts) {
      assert.ok(host.reached(), `${host.name} was not reached`);
      assert.ok(isDeferred(host), `the attempt at ${host.name} is still open`);
    }
    await wait(2 * DEADLINE_MS);
    for (const { host } of hosts) assert.equal(host.open.size, 0, `a connection to ${host.name} is still open`);
    // How long each attempt took, from the log: connection and transaction together, one deadline and a margin each.
    for (const [, to, connectS, transactS] of server
      .output()
      .matchAll(/to=<x@([\w-]+)\.test>, .*delays=[\d.]+\/[\d.]+\/([\d.]+)\/([\d.]+)/g))
      assert.ok(
        Number(connectS) + Number(transactS) < 2.5 * (DEADLINE_MS / 1000),
        `${to}: ${connectS} + ${transactS} s`,
      );
    const listed = await server.posthorn("queue", "list", "--json");
    assert.equal(listed.status, 0, listed.stderr);
    for (const { host } of hosts)
      assert.ok(listed.stdout.includes(`x@${host.name}.test`), `${host.name} is not queued`);
    assert.equal(await server.stop(), 0);
  });
