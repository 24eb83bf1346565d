import assert from "node:assert/strict";
import { test } from "node:test";
import { envelopeIdOf, messageIdOf } from "../../../foundation/ids.ts";
import { assertSchedulerInvariants } from "../../../simulator/scheduler-invariants.ts";
import { coreSettings, NOON } from "../../../simulator/scheduling.ts";
import type { LoadedEnvelope } from "../../queue/store.ts";
import type { Action } from "../action.ts";
import { step, type SchedulerEvent } from "../scheduler.ts";
import { newScheduler } from "../state.ts";

const COUNT = 12_000;
/** Four slices of five hundred. */
const MOST_AT_ONCE = 2000;

function mail(n: number): LoadedEnvelope {
  const message = messageIdOf(n);
  return {
    id: envelopeIdOf(message, 1),
    message,
    recipient: `u${n}@example.org`,
    sender: `s${n % 7}@example.net`,
    action: "relay",
    sizeBytes: 1,
    receivedAt: NOON,
    progress: { state: "queued", dueAt: NOON, expiresAt: NOON + 1e9, attempts: 0 },
    wantsDelayNotice: false,
  };
}

/** A scheduler with so many envelopes ready for one domain whose hosts could not be found just now. */
function failing() {
  const s = newScheduler(coreSettings(), 1);
  const open: Extract<Action, { do: "write" }>[] = [];
  let relay = "";
  const post = (event: SchedulerEvent): void => {
    for (const action of step(s, event, NOON)) {
      if (action.do === "write") open.push(action);
      if (action.do === "resolve") relay = action.relay;
    }
    assertSchedulerInvariants(s);
  };
  post({ on: "queued", envelopes: Array.from({ length: COUNT }, (_, n) => mail(n)) });
  const failure = { lasting: "temporary", status: "4.4.3", cause: { kind: "internal", text: "no answer" } } as const;
  post({ on: "resolved", relay, answers: [{ ok: false, failure }] });
  return { s, open, post };
}

test("what fails together is settled some at a time, as the store takes it, and all of it in the end", () => {
  const { s, open, post } = failing();
  assert.ok(s.counts.writing <= MOST_AT_ONCE, `${s.counts.writing} in one step`);
  const attempts = new Map<string, number>();
  for (let write = open.shift(); write !== undefined; write = open.shift()) {
    for (const operation of write.operations)
      if (operation.do === "update") attempts.set(operation.envelope, (attempts.get(operation.envelope) ?? 0) + 1);
    post({ on: "written", write: write.write });
    assert.ok(s.counts.writing <= MOST_AT_ONCE);
  }
  assert.equal(s.counts.waiting, COUNT);
  assert.equal(attempts.size, COUNT);
  assert.ok([...attempts.values()].every((times) => times === 1));
});

test("an operator's command reaches those that are still to be settled", () => {
  const { s, open, post } = failing();
  post({ on: "command", command: 1, wants: { do: "remove", because: "a test", selector: { by: "all" } } });
  for (let write = open.shift(); write !== undefined; write = open.shift()) post({ on: "written", write: write.write });
  // Those whose outcome was being written are removed when that has ended.
  assert.equal(s.tickets.size, 0);
  assert.equal(s.failing.length, 0);
});
