import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../../protocol/smtp/reply.ts";
import { simulatedScheduling } from "../../../simulator/scheduling.ts";
import type { Failure } from "../../envelope/failure.ts";

const SECOND = 1000;

/** How a host ends a session that has nothing to do. */
const ENDINGS: readonly Failure[] = [
  { lasting: "temporary", status: "4.4.2", cause: { kind: "lost", reason: "closed", during: "idle" } },
  {
    lasting: "temporary",
    status: "4.4.2",
    cause: { kind: "reply", during: "idle" },
    reply: reply(421, "4.4.2", "mx.example Error: timeout exceeded"),
  },
];

test("a session that was opened for mail which another took, and ended unused, says nothing of its host", async () => {
  for (const failure of ENDINGS) {
    const simulation = simulatedScheduling();
    const { clock, world } = simulation;
    const used = new Set<string>();
    let isEnded = false;
    let ends = 0;
    let opened = 0;
    world.setDomain("example.org", [
      {
        name: "mx",
        ip: "192.0.2.1",
        transactMs: 20,
        // The second session comes when the first has taken all.
        get connectMs() {
          return ++opened === 2 ? 300 : 10;
        },
        onTransaction: ({ session }) => {
          if (isEnded && !used.has(session) && ends === 0) {
            ends++;
            return { failure };
          }
          used.add(session);
          return undefined;
        },
      },
    ]);
    await simulation.send({ to: ["first@example.org"] });
    await clock.advance(500);
    for (const name of ["a", "b", "c"]) await simulation.send({ to: [`${name}@example.org`] });
    await clock.advance(SECOND);
    isEnded = true;
    for (const name of ["d", "e", "f"]) await simulation.send({ to: [`${name}@example.org`] });
    await clock.advance(SECOND);
    assert.equal(ends, 1);
    assert.equal(world.delivered.size, 7);
    assert.equal(simulation.emitted.filter(({ name }) => name === "route.rests").length, 0);
  }
});

test("a host that ends each session as soon as it is open is put to rest", async () => {
  for (const failure of ENDINGS) {
    const simulation = simulatedScheduling({ scheduler: { retry: { spread: 0 } } });
    const { world } = simulation;
    world.setDomain("example.org", [{ name: "mx", ip: "192.0.2.1", onTransaction: () => ({ failure }) }]);
    await simulation.send({ to: ["jane@example.org"] });
    await simulation.clock.advance(60 * SECOND);
    assert.equal(world.happenings.filter(({ what }) => what === "connect").length, 1);
    assert.equal(simulation.emitted.filter(({ name }) => name === "route.rests").length, 1);
  }
});
