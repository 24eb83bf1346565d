import assert from "node:assert/strict";
import { test } from "node:test";
import { coreSettings } from "../../../simulator/scheduling.ts";
import type { LoadedEnvelope } from "../../queue/store.ts";
import { InputRecorder, replay, type RecordedInput } from "./replay.ts";
import { step, type SchedulerEvent } from "../scheduler.ts";
import { newScheduler } from "../state.ts";

function envelopes(count: number): readonly LoadedEnvelope[] {
  return Array.from({ length: count }, (_, n) => ({
    id: `00000000001.${n + 1}`,
    message: "00000000001",
    recipient: `user${n}@mail.example`,
    sender: "s@mail.example",
    action: "deliver",
    sizeBytes: 1,
    receivedAt: 0,
    progress: { state: "held" as const, dueAt: 0, expiresAt: 1e12, attempts: 0 },
    wantsDelayNotice: false,
  }));
}

function recorded(events: readonly SchedulerEvent[], wantsStart: (inputs: readonly RecordedInput[]) => boolean) {
  const inputs: RecordedInput[] = [];
  const recorder = new InputRecorder({
    get wantsStart() {
      return wantsStart(inputs);
    },
    recordInput: (at, json, isStart) => void inputs.push({ at, json, isStart }),
  });
  const state = newScheduler(coreSettings(), 7);
  events.forEach((event, at) => {
    recorder.record(at, event, state);
    step(state, event, at);
  });
  return inputs;
}

test("a record begins with a start, and nothing is recorded where nobody wants one", () => {
  const events: SchedulerEvent[] = [{ on: "loaded", envelopes: envelopes(2) }, { on: "timer" }];
  const inputs = recorded(events, (inputs) => inputs.length === 0);
  assert.deepEqual(
    inputs.map((input) => input.isStart),
    [true, false, false],
  );
  assert.deepEqual(
    recorded(events, () => false),
    [],
  );
  const states = [...replay(inputs)];
  assert.equal(states.at(-1)?.state.tickets.size, 2);
});

test("recording rests while the queue is too large to be written down, and begins again with a start", () => {
  const [first, more] = [envelopes(6000).slice(0, 4000), envelopes(6000).slice(4000)];
  const gone = [...first, ...more].map(({ id }) => id);
  const events: SchedulerEvent[] = [
    { on: "loaded", envelopes: first },
    { on: "queued", envelopes: more },
    { on: "timer" },
    { on: "gone", envelopes: gone },
    { on: "timer" },
  ];
  // A start is due again while 6000 are there.
  const inputs = recorded(events, (inputs) => inputs.length === 0 || inputs.length === 3);
  assert.deepEqual(
    inputs.map(({ at, isStart }) => [at, isStart]),
    [
      [0, true],
      [0, false],
      [1, false],
      [4, true],
      [4, false],
    ],
  );
});

test("a large queue that is read is not written down, and recording begins again when it has shrunk", () => {
  const all = envelopes(9000);
  const events: SchedulerEvent[] = [
    { on: "loaded", envelopes: all.slice(0, 3000) },
    { on: "loaded", envelopes: all.slice(3000, 6000) },
    { on: "loaded", envelopes: all.slice(6000) },
    { on: "timer" },
    { on: "gone", envelopes: all.slice(0, 4000).map(({ id }) => id) },
    { on: "timer" },
  ];
  const inputs = recorded(events, (inputs) => inputs.length === 0);
  assert.deepEqual(
    inputs.map(({ at, isStart }) => [at, isStart]),
    [
      [0, true],
      [0, false],
      [5, true],
      [5, false],
    ],
  );
  assert.equal([...replay(inputs)].at(-1)?.state.tickets.size, 5000);
});
