import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createEmitter } from "../../mail/log/emitter.ts";
import { eventsLost } from "../../mail/log/events.ts";
import { decodeRecords, type EventRecord } from "../../mail/log/record.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { roleTrouble } from "../events.ts";
import { frameReader, openChannel } from "./channel.ts";
import { readFrame } from "./frame.ts";
import { logHandOver } from "./log-hand-over.ts";
import { MOST_LOG_BACKLOG_BYTES } from "./worker-role.ts";

test("while the log process takes nothing, its backlog is bounded, and it is told how much was dropped", async () => {
  const clock = virtualClock(0);
  const [here, there] = duplexPair();
  const channel = openChannel({ stream: here, peer: "log", handlers: {} });
  const emitter = createEmitter({
    clock,
    process: { role: "supervisor", pid: 1 },
    level: "info",
    hand: logHandOver(() => channel),
  });
  const problem = "x".repeat(1000);
  const bytesOfBatch = 256 * 1000;
  const rounds = 200;
  for (let round = 0; round < rounds; round++) {
    for (let each = 0; each < 256; each++) emitter.emit(roleTrouble, { role: "supervisor", problem });
    await turn();
  }
  const mostBytes = MOST_LOG_BACKLOG_BYTES + 2 * bytesOfBatch;
  assert.ok(channel.backlogBytes() < mostBytes, `${channel.backlogBytes()} bytes wait`);

  const taken: EventRecord[] = [];
  const read = frameReader((payload) => {
    for (const part of readFrame(payload) as [string, string, [string]][]) taken.push(...decodeRecords(part[2][0]));
  });
  there.on("data", read);
  while (channel.backlogBytes() > 0) await turn();
  await clock.advance(100);
  while (channel.backlogBytes() > 0) await turn();
  await turn();
  const lost = taken.filter(({ name }) => name === eventsLost.name).map(({ fields }) => Number(fields["lost"]));
  const kept = taken.filter(({ name }) => name === roleTrouble.name).length;
  assert.equal(lost.length, 1);
  assert.equal(kept + (lost[0] ?? 0), rounds * 256);
});
