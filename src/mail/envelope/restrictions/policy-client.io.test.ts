import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { systemRandom } from "../../../foundation/random.io.ts";
import { restrictionWorld } from "../../../testing/restriction-world.ts";
import { replyText } from "../../../protocol/smtp/reply.ts";
import type { SessionFactsForRules } from "../policy.ts";
import { policyClient } from "./policy-client.io.ts";
import { policyFinding } from "./policy-service.ts";
import { policyServiceSettings } from "./policy-service-settings.ts";
import type { Finding } from "./restriction.ts";

/** A policy server that does what a test wants with each question it hears. */
async function scripted(
  context: TestContext,
  onQuestion: (lines: readonly string[], socket: Socket, nth: number) => void,
): Promise<{ readonly at: string; readonly connections: () => number }> {
  let connections = 0;
  let questions = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    let held = "";
    socket.on("data", (bytes) => {
      held += bytes.toString("utf8");
      for (let end = held.indexOf("\n\n"); end >= 0; end = held.indexOf("\n\n")) {
        onQuestion(held.slice(0, end).split("\n"), socket, ++questions);
        held = held.slice(end + 2);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return { at: `inet:127.0.0.1:${address.port}`, connections: () => connections };
}

const facts: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.9",
  clientName: "mail.good.example",
  helo: "mail.good.example",
  isEncrypted: false,
  sender: "eve@good.example",
  accepted: 0,
  more: {
    session: "7",
    transaction: "7.1",
    protocol: "ESMTP",
    clientPort: 4711,
    recipients: [],
    sizeBytes: 1234,
  },
};

function client(context: TestContext) {
  const asking = policyClient(systemClock, systemRandom);
  context.after(() => asking.close());
  const world = restrictionWorld({ askPolicy: asking });
  return (written: unknown): Promise<Finding> =>
    policyFinding(world, policyServiceSettings.parse(written), { facts, recipient: "bob@ours.example", stage: "rcpt" });
}

const told = (found: Finding): string =>
  found.kind === "pass" || found.kind === "permit" ? found.kind : `${found.kind} ${replyText(found.reply)}`;

test("a server is told the session in Postfix's words, over one connection for all questions", async (context) => {
  const heard: (readonly string[])[] = [];
  const { at, connections } = await scripted(context, (lines, socket, nth) => {
    heard.push(lines);
    socket.write(nth === 1 ? "action=DEFER_IF_PERMIT 4.2.0 Greylisted\n\n" : "action=DUNNO\n\n");
  });
  const ask = client(context);
  assert.equal(told(await ask(at)), "wait 450 4.2.0 <bob@ours.example>: Recipient address rejected: Greylisted");
  assert.equal(told(await ask({ at, context: "inbound" })), "pass");
  assert.equal(told(await ask(at)), "pass");
  assert.equal(connections(), 2, "one for each entry of the settings");
  for (const line of [
    "request=smtpd_access_policy",
    "protocol_state=RCPT",
    "protocol_name=ESMTP",
    "client_address=192.0.2.9",
    "client_name=mail.good.example",
    "client_port=4711",
    "helo_name=mail.good.example",
    "sender=eve@good.example",
    "recipient=bob@ours.example",
    "recipient_count=0",
    "instance=7.1",
    "size=1234",
    "encryption_keysize=0",
  ])
    assert.ok(heard[0]?.includes(line), line);
  assert.ok(heard[1]?.includes("policy_context=inbound"));
});

test("a server that hangs, dies, lies or is not there makes mail wait, or what the settings say", async (context) => {
  const hangs = await scripted(context, () => {});
  const dies = await scripted(context, (_lines, socket) => socket.destroy());
  const half = await scripted(context, (_lines, socket) => socket.end("action=O"));
  const lies = await scripted(context, (_lines, socket) => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
  const odd = await scripted(context, (_lines, socket) => socket.write("action=MAYBE later\n\n"));
  const endless = await scripted(context, (_lines, socket) => socket.write("x".repeat(100_000)));
  const ask = client(context);
  for (const { at } of [hangs, dies, half, lies, odd, endless, { at: "inet:127.0.0.1:1" }]) {
    const found = await ask({ at, timeout: "300ms" });
    assert.equal(told(found), "wait 451 4.3.5 a policy server failed here; please try again later", at);
    assert.equal(told(await ask({ at, timeout: "300ms", default: "DUNNO" })), "pass");
    assert.match(told(await ask({ at, timeout: "300ms", default: "554 no" })), /^refuse 554 5\.7\.1 .* no$/);
  }
});

test("a connection whose answer was late is not used again: the next question gets no stale answer", async (context) => {
  let late = (): unknown => assert.fail("nobody was asked");
  const { at, connections } = await scripted(context, (_lines, socket, nth) => {
    if (nth === 1) late = () => socket.write("action=REJECT stale\n\n");
    else socket.write("action=DUNNO\n\n");
  });
  const ask = client(context);
  assert.match(told(await ask({ at, timeout: "2s" })), /^wait 451/);
  late();
  assert.equal(told(await ask({ at, timeout: "2s" })), "pass");
  assert.equal(told(await ask({ at, timeout: "2s" })), "pass");
  assert.equal(connections(), 2);
});

test("a server that closes connections at rest, as one that restarts, costs no answer", async (context) => {
  const { at } = await scripted(context, (_lines, socket) => socket.end("action=DUNNO\n\n"));
  const ask = client(context);
  for (let n = 0; n < 5; n++) assert.equal(told(await ask(at)), "pass");
});

test("many questions at once are answered, each with its own answer", async (context) => {
  const { at, connections } = await scripted(context, (lines, socket) => {
    const recipient = lines.find((line) => line.startsWith("recipient="))?.slice("recipient=".length) ?? "";
    setTimeout(() => socket.write(`action=550 no ${recipient}\n\n`), Math.random() * 20);
  });
  const asking = policyClient(systemClock, systemRandom);
  context.after(() => asking.close());
  const world = restrictionWorld({ askPolicy: asking });
  const settings = policyServiceSettings.parse({ at, connections: 4 });
  const answers = await Promise.all(
    Array.from({ length: 60 }, async (_, n) => {
      const recipient = `r${n}@ours.example`;
      return (
        told(await policyFinding(world, settings, { facts, recipient, stage: "rcpt" })) ===
        `refuse 550 5.7.1 <${recipient}>: Recipient address rejected: no ${recipient}`
      );
    }),
  );
  assert.ok(answers.every(Boolean));
  assert.ok(connections() <= 4);
});
