import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { unreachable, type SimulatedHost } from "../../simulator/deliveries.ts";
import { NOON, simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import type { Failure } from "../envelope/failure.ts";
import { memoryStore } from "../queue/memory-store.ts";
import type { Command } from "./commands.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

const FULL: Failure = {
  lasting: "temporary",
  status: "4.2.2",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(452, "4.2.2", "mailbox full"),
};
const NAMES = ["mx.example.net", "MX.Example.NET", "192.0.2.1", "192.0.2.1:25", "mx.example.net[192.0.2.1]:25"];

async function found(simulation: SimulatedScheduling, wants: Command): Promise<number> {
  const changed = simulation.scheduler.command(wants);
  await simulation.clock.advance(SECOND);
  return (await changed).envelopes;
}

/** A mail that the host refused, after a restart. */
async function restarted(host: Partial<SimulatedHost>): Promise<SimulatedScheduling> {
  const store = memoryStore();
  const before = simulatedScheduling({ store });
  const mx = { name: "Mx.example.net", ip: "192.0.2.1", ...host };
  before.world.setDomain("example.org", [mx]);
  await before.send({ to: ["jane@example.org"] });
  await before.clock.advance(MINUTE);
  await before.scheduler.stop(0);
  const after = simulatedScheduling({ store, startAt: NOON + 2 * MINUTE });
  after.world.setDomain("example.org", [mx]);
  after.scheduler.start();
  await after.clock.advance(SECOND);
  return after;
}

test("mail is found by the host that it went to last, however that is written, and after a restart, too", async () => {
  for (const route of NAMES) {
    const selector = { by: "route", route } as const;
    for (const wants of [
      { do: "schedule", at: NOON + 3_600_000, selector },
      { do: "retryNow", selector },
      { do: "hold", because: "a test", selector },
      { do: "bounce", because: "a test", selector },
      { do: "remove", because: "a test", selector },
    ] as const) {
      const simulation = await restarted({ onEnvelope: () => FULL });
      assert.equal(await found(simulation, wants), 1, `${wants.do} ${route}`);
      await simulation.scheduler.stop(0);
    }
  }
  const simulation = await restarted({ onEnvelope: () => FULL });
  const other = { by: "route", route: "mx.example.com" } as const;
  assert.equal(await found(simulation, { do: "hold", because: "a test", selector: other }), 0);
});

test("mail is found by a host that could not be reached before the restart", async () => {
  for (const route of ["192.0.2.1", "192.0.2.1:25"]) {
    const simulation = await restarted({ onConnect: () => unreachable("192.0.2.1") });
    const selector = { by: "route", route } as const;
    assert.equal(await found(simulation, { do: "hold", because: "a test", selector }), 1, route);
  }
});

test("mail that waits for a host is found by its name in any case, and so is its rest", async () => {
  const simulation = simulatedScheduling();
  simulation.world.setDomain("example.org", [
    { name: "mx.example.net", ip: "192.0.2.1", transactMs: MINUTE, onConnect: () => undefined },
  ]);
  for (let n = 0; n < 3; n++) await simulation.send({ to: [`u${n}@example.org`] });
  await simulation.clock.advance(10 * SECOND);
  const selector = { by: "route", route: "MX.EXAMPLE.NET" } as const;
  const changed = simulation.scheduler.command({ do: "hold", because: "a test", selector });
  await simulation.clock.advance(5 * MINUTE);
  const { envelopes, asked = 0 } = await changed;
  assert.equal(envelopes + asked, 3);
});
