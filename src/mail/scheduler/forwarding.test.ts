import assert from "node:assert/strict";
import { test } from "node:test";
import { simulatedScheduling, type SimulatedScheduling } from "../../simulator/scheduling.ts";
import { assertSchedulerInvariants } from "../../testing/scheduler-invariants.ts";
import type { ForwardTarget, LocalOutcome, LocalRequest } from "../delivery/delivery.ts";
import type { Envelope } from "../envelope/envelope.ts";
import { replay } from "./replay/replay.ts";
import type { ForwardsAnswer } from "./forwarding.ts";

const MINUTE = 60_000;

/** Users who forward, by recipient; the rest have mailboxes. */
function forwarding(
  users: Readonly<Record<string, readonly string[]>>,
  more: Partial<Envelope> = {},
  answer?: () => ForwardsAnswer,
): SimulatedScheduling {
  const simulation = simulatedScheduling({
    scheduler: { retry: { spread: 0 } },
    forwards: {
      expand: async (_message, envelope, forwarded) =>
        answer?.() ?? {
          kind: "envelopes",
          envelopes: forwarded.targets.map((target) => ({
            recipient: addressOf(target),
            givenRecipient: envelope.givenRecipient ?? envelope.recipient,
            notify: envelope.notify,
            action: addressOf(target).endsWith("@mail.example") ? "deliver" : "relay",
            via: [...(envelope.via ?? []), envelope.recipient],
            ...more,
          })),
        },
      place: () => Promise.reject(new Error("no content filter was ever here")),
    },
  });
  const { local } = simulation.world;
  const deliver = local.deliver.bind(local);
  Object.assign(local, {
    async deliver(request: LocalRequest): Promise<LocalOutcome> {
      const { id, recipient } = request.envelope;
      const targets = users[recipient];
      if (targets === undefined) return deliver(request);
      return {
        kind: "forwarded",
        envelope: id,
        relay: "forward:/home/jane/.forward",
        user: "jane",
        targets: targets.map((address) => ({ kind: "address", address, isFinal: false })),
        text: "forwarded",
        tookMs: 0,
      };
    },
  });
  simulation.world.setDomain("example.org", [{ name: "mx.example.org", ip: "192.0.2.1" }]);
  return simulation;
}

function addressOf(target: ForwardTarget): string {
  return target.kind === "address" ? target.address : "nobody@mail.example";
}

test("what a user forwards goes on as new envelopes of the same message, and its first one is gone", async () => {
  const simulation = forwarding({ "jane@mail.example": ["joe@example.org", "ann@mail.example"] });
  const { clock, store, world, lines, scheduler } = simulation;
  const id = await simulation.send({ to: ["jane@mail.example", "bob@mail.example"], action: "deliver" });
  await clock.advance(MINUTE);
  assertSchedulerInvariants(scheduler.state);
  assert.deepEqual([...world.delivered.keys()].sort(), [`${id}.2`, `${id}.3`, `${id}.4`]);
  assert.deepEqual(await store.list({}), []);
  assert.equal(scheduler.state.messageCount, 0);
  assert.ok(
    lines.some((line) => line.includes(`status=sent (forwarded as ${id}.3 ${id}.4)`)),
    lines.join("\n"),
  );
  assert.equal(lines.filter((line) => line === `qmgr: ${id}: removed`).length, 1);
  assert.ok(lines.findIndex((line) => line.endsWith("removed")) === lines.length - 1, lines.join("\n"));
});

test("envelopes of one message with different senders travel apart, and each sender hears of its own failures", async () => {
  const simulation = forwarding({ "list@mail.example": ["joe@example.org"] }, { sender: "owner-list@mail.example" });
  const { clock, world, notices, scheduler } = simulation;
  world.setDomain("example.org", [
    {
      name: "mx.example.org",
      ip: "192.0.2.1",
      onEnvelope: () => ({ lasting: "permanent", status: "5.1.1", cause: { kind: "reply", during: "RCPT" } }),
    },
  ]);
  const id = await simulation.send({ to: ["list@mail.example"], action: "deliver" });
  await clock.advance(MINUTE);
  assertSchedulerInvariants(scheduler.state);
  assert.deepEqual(
    notices.map(({ about }) => about.map(({ envelope }) => [envelope.id, envelope.sender])),
    [[[`${id}.2`, "owner-list@mail.example"]]],
  );
  assert.equal(scheduler.state.messageCount, 0);
});

test("where its targets cannot be found out now, the mail waits; where they are wrong, its sender hears of it", async () => {
  let lasting: "temporary" | "permanent" = "temporary";
  const simulation = forwarding({ "jane@mail.example": ["joe@example.org"] }, {}, () => ({
    kind: "failed",
    failure: { lasting, status: "4.3.0", cause: { kind: "alias", reason: "not-now", text: "the table" } },
  }));
  const { clock, store, notices } = simulation;
  const id = await simulation.send({ to: ["jane@mail.example"], action: "deliver" });
  await clock.advance(MINUTE);
  assert.deepEqual(
    (await store.list({})).map(({ envelope, lastFailure }) => [envelope, lastFailure?.cause.kind]),
    [[`${id}.1`, "alias"]],
  );
  lasting = "permanent";
  await clock.advance(60 * MINUTE);
  assert.deepEqual(
    notices.map(({ kind }) => kind),
    ["bounce"],
  );
  // The bounce is the message that is left, or was delivered meanwhile.
  assert.equal((await store.list({ message: id })).length, 0);
});

test("an alias's error is told at the first attempt, and a list that took the mail ends without a delivery", async () => {
  const simulation = forwarding({});
  const failure = {
    lasting: "permanent",
    status: "5.4.6",
    cause: { kind: "alias", reason: "loop", text: "a, b, a" },
  } as const;
  await simulation.send({
    to: ["a@mail.example"],
    action: "deliver",
    envelope: { target: { kind: "error", failure } },
  });
  const list = await simulation.send({
    to: ["list@mail.example"],
    action: "deliver",
    envelope: { target: { kind: "none", text: "the list has it" }, notify: ["SUCCESS"] },
  });
  await simulation.send({
    to: ["gone@mail.example"],
    action: "deliver",
    envelope: { target: { kind: "none", text: "thrown away", isThrownAway: true }, notify: ["SUCCESS"] },
  });
  await simulation.clock.advance(MINUTE);
  assert.deepEqual(
    simulation.notices.map(({ kind, about }) => [kind, about[0]?.failure?.status ?? about[0]?.taker]),
    [
      ["bounce", "5.4.6"],
      ["success", "list"],
      ["success", "nobody"],
    ],
  );
  assert.equal(simulation.world.delivered.has(`${list}.1`), false);
});

test("a replay of a day with forwards decides as the day did", async () => {
  const simulation = forwarding({ "jane@mail.example": ["joe@example.org", "ann@mail.example"] });
  await simulation.send({ to: ["jane@mail.example"], action: "deliver" });
  await simulation.clock.advance(MINUTE);
  const steps = [...replay(simulation.inputs)];
  assert.equal(steps.at(-1)?.state.tickets.size, 0);
  assert.ok(steps.some(({ actions }) => actions.some((one) => one.do === "write" && one.operations[0]?.do === "add")));
});
