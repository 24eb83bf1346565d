/**
 * The scheduler meets Debian's greylister and Debian's failing sinks, and the simulator's figures are held against what
 * really happened: the same settings, the same mail, waits of seconds instead of minutes.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { figuresOf, type Figures } from "../../src/simulator/figures.ts";
import { scenarioOf, type WrittenScenario } from "../../src/simulator/scenario.ts";
import { simulate } from "../../src/simulator/simulation.ts";
import { startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";
import { startCountingSink } from "./counting-sink.ts";
import { startGreylistingPostfix } from "./postgrey.ts";
import { hasPeer } from "./running.ts";

const MAILS = 300;
const DELAY_S = 5;

/** Single mails to recipients of their own, as fast as one session brings them. */
async function send(port: number, domain: string): Promise<void> {
  const client = await smtpConnect(port);
  await client.reply();
  assert.match(await client.say("EHLO list.test"), /^250/m);
  for (let mail = 0; mail < MAILS; mail++) {
    assert.match(await client.say(`MAIL FROM:<list-${mail}@list.test>`), /^250/);
    assert.match(await client.say(`RCPT TO:<reader-${mail}@${domain}>`), /^250/);
    assert.match(await client.say("DATA"), /^354/);
    assert.match(await client.say(`Subject: ${mail}\r\n\r\nhello ${mail}\r\n.`), /^250/);
  }
  await client.say("QUIT");
  client.close();
}

function near(real: number, simulated: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(real - simulated) <= tolerance, `${what}: ${real} really, ${simulated} simulated`);
}

async function until(isDone: () => boolean, withinMs: number, what: () => string): Promise<void> {
  const endsAt = Date.now() + withinMs;
  while (!isDone()) {
    if (Date.now() > endsAt) assert.fail(what());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** JSON is YAML, but for the outermost braces, within which the harness writes settings of its own. */
function yaml(settings: object): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    .join("\n");
}

function simulated(scenario: WrittenScenario): Figures {
  return figuresOf(simulate(scenarioOf(scenario)));
}

function hasPeers(t: TestContext): boolean {
  return hasPeer("postfix", t) && hasPeer("postgrey", t);
}

const KINDS = [
  { kind: "each triplet for itself", admitsClientAfter: 0, by: "triplet" },
  { kind: "the client, by one triplet that came again", admitsClientAfter: 1, by: "spamd" },
] as const;

for (const strategy of ["none", "batch", "adaptive"] as const)
  for (const { kind, admitsClientAfter, by } of KINDS) {
    // Five a round, of three hundred that each must come twice: what the plain order is known to do badly.
    if (strategy === "batch" && by === "triplet") continue;
    test(`postgrey that lets in ${kind}, strategy ${strategy}: attempts and time are as simulated`, async (t) => {
      if (!hasPeers(t)) return;
      await using grey = await startGreylistingPostfix({ delayS: DELAY_S, admitsClientAfter });
      const settings = {
        scheduler: { retry: { relay: { by: "list", waits: [`${DELAY_S + 1}s`] } } },
        route: { greylisting: { strategy, wait: `${DELAY_S + 1}s`, probe: `${DELAY_S + 1}s` } },
      };
      await using server = await startServer({
        settings: yaml({
          ...settings,
          actions: { onward: { relay: { to: `smtp://127.0.0.1:${grey.port}` } } },
          rules: [{ match: { for: "postfix.test" }, action: "onward" }],
        }),
      });
      const startedAt = Date.now();
      await send(server.ports.smtp, "postfix.test");
      await until(
        () => grey.rcpts().taken >= MAILS,
        120_000,
        () => `${JSON.stringify(grey.rcpts())}\n${server.output().slice(-4000)}`,
      );
      const tookS = (Date.now() - startedAt) / 1000;
      const { greylisted, taken } = grey.rcpts();
      assert.equal(taken, MAILS, "each came once");
      assert.equal(new Set(grey.mails().map((mail) => /^Subject: (\d+)$/m.exec(mail)?.[1])).size, MAILS);

      const figures = simulated({
        world: {
          hosts: { mx: { greylisting: { by, wait: `${DELAY_S}s` }, latency: "1ms" } },
          domains: { "postfix.test": { mx: [{ host: "mx" }] } },
        },
        workloads: { list: { mails: MAILS, to: "postfix.test", over: "1s" } },
        settings,
      });
      const attempts = (greylisted + taken) / taken;
      t.diagnostic(
        `${attempts.toFixed(2)} attempts a mail in ${tookS.toFixed(1)} s; simulated ${figures.all.attemptsPerDelivered.toFixed(2)} in ${(figures.all.p100 / 1000).toFixed(1)} s`,
      );
      near(attempts, figures.all.attemptsPerDelivered, 0.3, "attempts for each mail");
      // It may be later by what the machine is slow, and not sooner than the waits allow.
      const simulatedS = figures.all.p100 / 1000;
      assert.ok(tookS > simulatedS - DELAY_S - 3 && tookS < simulatedS + 60, `${tookS} s, ${simulatedS} s simulated`);
    });
  }

test("a sink that says 421 at RCPT rests, and everything goes to the next host, as simulated", async (t) => {
  if (!hasPeer("postfix", t)) return;
  await using failing = await startCountingSink({ address: "127.0.0.2", failure: ["-Q", "rcpt"] });
  await using working = await startCountingSink({ address: "127.0.0.3" });
  await using server = await startServer({
    settings: yaml({
      actions: {
        onward: { relay: { to: [`smtp://127.0.0.2:${failing.port}`, `smtp://127.0.0.3:${working.port}`] } },
      },
      rules: [{ match: { for: "sink.test" }, action: "onward" }],
    }),
  });
  await send(server.ports.smtp, "sink.test");
  await until(
    () => working.messages >= MAILS,
    60_000,
    () => `${working.messages} mails\n${server.output().slice(-4000)}`,
  );
  const figures = simulated({
    world: {
      hosts: {
        failing: { storms: [{ at: "RCPT", reply: { code: 421, text: "no" } }], latency: "1ms" },
        working: { latency: "1ms" },
      },
      domains: {
        "sink.test": {
          mx: [
            { host: "failing", preference: 1 },
            { host: "working", preference: 2 },
          ],
        },
      },
    },
    workloads: { list: { mails: MAILS, to: "sink.test", over: "1s" } },
  });
  const simulatedTries = figures.hosts["failing"]?.connections ?? 0;
  t.diagnostic(`${failing.sessions} sessions with the failing one; ${simulatedTries} simulated`);
  assert.equal(figures.all.delivered, MAILS);
  assert.ok(failing.sessions >= 1);
  near(failing.sessions, simulatedTries, 2, "sessions with the failing host");
});
