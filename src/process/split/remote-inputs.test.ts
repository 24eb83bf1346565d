import assert from "node:assert/strict";
import { test } from "node:test";
import { journalSettings } from "../../mail/log/settings.ts";
import { virtualClock } from "../../simulator/clock.ts";
import type { Channel } from "./channel.ts";
import { remoteInputs } from "./remote-inputs.ts";
import { MOST_LOG_BACKLOG_BYTES } from "./worker-role.ts";

test("a new start is due when a quarter of what the journal keeps of inputs is there, which is half of its size at most", () => {
  const settings = journalSettings.parse({ size: "16MiB", inputs: { size: "256MiB" } });
  // Whoever records looks at it as a whole, and notes portions.
  const channel = { backlogBytes: () => 0, note: () => {} } as unknown as Channel;
  const inputs = remoteInputs(() => channel, settings, virtualClock(0));
  assert.equal(inputs.wantsStart, true);
  inputs.recordInput(0, "{}", true);
  inputs.recordInput(0, "x".repeat(2 * 1024 * 1024 - 10), false);
  assert.equal(inputs.wantsStart, false);
  inputs.recordInput(0, "x".repeat(20), false);
  assert.equal(inputs.wantsStart, true);
});

test("no start is due for a log process that is away or takes nothing", async () => {
  let backlog = 0;
  const channel = { backlogBytes: () => backlog, note: () => {} } as unknown as Channel;
  let log: Channel | undefined;
  const clock = virtualClock(0);
  const inputs = remoteInputs(() => log, journalSettings.parse({}), clock);
  assert.equal(inputs.wantsStart, false);
  log = channel;
  inputs.recordInput(0, "{}", true);
  backlog = MOST_LOG_BACKLOG_BYTES;
  await clock.advance(50);
  assert.equal(inputs.wantsStart, false);
  backlog = 0;
  assert.equal(inputs.wantsStart, true);
});
