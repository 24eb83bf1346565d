import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { startSink, type SinkManner } from "../sink.ts";
import { sendMail } from "../smtp-client.ts";

/**
 * A reload that stands still: the module of the new settings' hooks asks whether it may go on. By then the scheduler goes by the new
 * settings, and no new process receives.
 */
interface Gate {
  /** Settings that stand still there, for a server in this folder. `hooks`: what the module says then; `{}` is refused. */
  before(folder: string, settings: string, hooks: string): string;
  /** Begins a reload to these settings and resolves when it stands. */
  reload(server: TestServer, settings: string, hooks: string): Promise<void>;
  open(): void;
}

async function startGate(t: TestContext): Promise<Gate> {
  const waiting: Socket[] = [];
  let isOpen = false;
  const gate = createServer((socket) => {
    socket.on("error", () => {});
    if (isOpen) socket.end("go");
    else waiting.push(socket);
  }).listen(0, "127.0.0.1");
  t.after(() => gate.close());
  await once(gate, "listening");
  const address = gate.address();
  assert.ok(address !== null && typeof address === "object");
  const gated: Gate = {
    before(folder, settings, hooks) {
      isOpen = false;
      writeFileSync(
        join(folder, "hooks.ts"),
        `import { once } from "node:events";
import { connect } from "node:net";
import { defineHooks } from "posthorn";
const socket = connect(${address.port}, "127.0.0.1");
socket.resume();
await once(socket, "close");
export default defineHooks(${hooks});
`,
      );
      return `${settings}filters: { own: { module: ./hooks.ts, timeout: 60s } }\nfiltered-by: [own]\n`;
    },
    async reload(server, settings, hooks) {
      server.rewrite({ wholeSettings: gated.before(server.folder, settings, hooks) });
      server.process.kill("SIGHUP");
      await waitFor(() => waiting.length === 1, server);
    },
    open() {
      isOpen = true;
      for (const socket of waiting.splice(0)) socket.end("go");
    },
  };
  return gated;
}

const HOSTS = [1, 2, 3, 4];

const settings = (relay: number, more = "", layout: Layout = "split"): string => `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
listeners: [ { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp } ]
rules: [ ${HOSTS.map((at) => `{ match: { for: far${at}.test }, action: out${at} }`).join(", ")} ]
actions: { ${HOSTS.map((at) => `out${at}: { relay: { to: "smtp+tls://127.0.0.${at}:${relay}" } }`).join(", ")} }
${more}`;

async function waitFor(is: () => boolean, server: TestServer): Promise<void> {
  const untilAt = Date.now() + 60_000;
  while (!is()) {
    assert.ok(Date.now() < untilAt, server.output().slice(-3000));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const mailTo = (to: string, at = 1) => ({ from: "a@b.test", to: `${to}@far${at}.test`, content: "x" });

test("split: a TLS policy that a reload brings holds for all mail from the moment the scheduler goes by it, and no longer after a refusal", async (t) => {
  await using sink = await startSink({ address: "0.0.0.0" });
  const gate = await startGate(t);
  await using server = await startServer({ layout: "split", wholeSettings: settings(sink.port) });
  // Each to a host of its own: one whose TLS is not as it must be rests for a while.
  const send = async (at: number): Promise<void> =>
    assert.match(await sendMail(server.ports.smtp, mailTo("x", at)), /^250 /);
  const isTaken = (at: number) => (): boolean => sink.taken.some(({ recipient }) => recipient === `x@far${at}.test`);
  const isKept = (at: number): Promise<unknown> =>
    server.waitForOutput(new RegExp(`to=<x@far${at}\\.test>.*status=deferred.*TLS`));
  const withPolicy = settings(sink.port, 'delivery: { tls: { policy: { "*": encrypt } } }\n');
  await gate.reload(server, withPolicy, "{}");
  await send(1);
  await isKept(1);
  gate.open();
  await server.waitForOutput(/reload refused/);
  await send(2);
  await waitFor(isTaken(2), server);

  await gate.reload(server, withPolicy, "{ onHelo: () => undefined }");
  await send(3);
  await isKept(3);
  gate.open();
  await server.waitForOutput(/reload -- /);
  await send(4);
  await isKept(4);
  for (const at of [3, 4]) assert.equal(isTaken(at)(), false);
  assert.equal(await server.stop(), 0);
});

test("split: a refused reload leaves mail that is being sent by its settings to its end", async (t) => {
  const manner: SinkManner = { isDown: false, replyAfterMs: 6000, refuses: () => false };
  await using sink = await startSink({ manner, address: "0.0.0.0" });
  const gate = await startGate(t);
  await using server = await startServer({ layout: "split", wholeSettings: settings(sink.port) });
  await gate.reload(server, settings(sink.port), "{}");
  await Promise.all(HOSTS.map((at) => sendMail(server.ports.smtp, mailTo("x", at))));
  await waitFor(() => sink.taken.length === HOSTS.length, server);
  gate.open();
  await server.waitForOutput(/reload refused/);
  assert.doesNotMatch(server.output(), /status=/, "the reload does not wait for it");
  // Those of the refused settings are gone when that is done.
  await waitFor(() => [...server.workers().keys()].filter((name) => name.startsWith("egress")).length === 1, server);
  await server.posthorn("queue", "retry", "--all");
  assert.match(await sendMail(server.ports.smtp, mailTo("e")), /^250 /);
  await server.waitForOutput(/to=<e@far1\.test>.*status=sent/);
  assert.doesNotMatch(server.output(), /status=deferred/);
  assert.deepEqual(
    sink.taken.map(({ recipient }) => recipient).sort(),
    [...HOSTS.map((at) => `x@far${at}.test`), "e@far1.test"].sort(),
  );
  assert.equal(await server.stop(), 0);
});

for (const layout of LAYOUTS)
  test(`${layout}: a start that comes to nothing leaves mail that is being sent to its end`, async (t) => {
    const gate = await startGate(t);
    await using before = await startServer({ layout, wholeSettings: settings(1, "", layout) });
    const { folder } = before;
    // Until the server ends.
    assert.equal((await before.posthorn("pause", "out")).status, 0);
    assert.match(await sendMail(before.ports.smtp, mailTo("x")), /^250 /);
    assert.equal(await before.stop(), 0);

    const manner: SinkManner = { isDown: false, replyAfterMs: 2000, refuses: () => false };
    // Refused when the host has the mail.
    await using sink = await startSink({ manner, onTaken: () => gate.open() });
    const wholeSettings = gate.before(folder, settings(sink.port, "", layout), "{}");
    await assert.rejects(startServer({ layout, folder, wholeSettings }), /hooks/);
    assert.equal(sink.taken.length, 1);

    await using after = await startServer({ layout, folder, wholeSettings: settings(sink.port, "", layout) });
    assert.match(await sendMail(after.ports.smtp, mailTo("y")), /^250 /);
    await after.waitForOutput(/to=<y@far1\.test>.*status=sent/);
    assert.deepEqual(
      sink.taken.map(({ recipient }) => recipient),
      ["x@far1.test", "y@far1.test"],
    );
    assert.equal(await after.stop(), 0);
  });
