import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { mailFor } from "../../../testing/local-mail.ts";
import { commandRunner } from "./run-command.io.ts";
import { RunningCommands } from "./running-commands.ts";
import { commandSettings } from "./settings.ts";
import type { CommandEnd } from "./command.ts";
import { commandFailure } from "./exit-status.ts";

test("mail for a user whose commands do not end is put off after a while, and later mail at once", async () => {
  const clock = virtualClock(0);
  const runner = commandRunner({
    clock,
    settings: commandSettings.parse({ deadline: "60s", perUser: 1 }),
    content: async function* () {
      yield Buffer.from("mail\n");
    },
    running: new RunningCommands(clock),
  });
  const run = (command: string, n: number): Promise<CommandEnd> =>
    runner.run({
      request: mailFor("deliver", n),
      command,
      as: undefined,
      user: { name: "alice", home: "/" },
      environment: { PATH: "/usr/bin:/bin", HOME: "/" },
    });
  const hanging = run("exec sleep 600", 1);
  await clock.advance(5000);
  const second = run("true", 2);
  // Fifteen seconds since the hanging one began.
  await clock.advance(9999);
  const patient = Symbol("it waits");
  assert.equal(await Promise.race([second, Promise.resolve(patient)]), patient);
  await clock.advance(1);
  const putOff = { kind: "trouble", text: "the commands of alice that run do not end" };
  assert.deepEqual(await second, putOff);
  assert.deepEqual(await run("true", 3), putOff);
  await clock.advance(45_000);
  assert.equal((await hanging).kind, "deadline");
  assert.deepEqual(await run("true", 4), { kind: "exit", status: 0, output: "" });
});

test("a stop lets commands go on for most of its time, then ends them and all that they started, and begins none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-command-"));
  try {
    const running = new RunningCommands(systemClock);
    const runner = commandRunner({
      clock: systemClock,
      settings: commandSettings.parse({}),
      content: async function* () {
        yield Buffer.from("mail\n");
      },
      running,
    });
    const run = (command: string, n: number): Promise<CommandEnd> =>
      runner.run({
        request: mailFor("deliver", n),
        command,
        as: undefined,
        user: { name: "alice", home: folder },
        environment: { PATH: "/usr/bin:/bin", HOME: folder },
      });
    // Neither it nor what it started ends by itself; the first one does not care to be told, either.
    const deaf = run("trap '' TERM; (sleep 30; touch late) & echo begun; sleep 30; touch late", 1);
    const quick = run("sleep 0.3", 2);
    runner.finish?.(2500);
    runner.finish?.(60_000);
    const since = Date.now();
    assert.deepEqual(await quick, { kind: "exit", status: 0, output: "" });
    const ended = await deaf;
    assert.deepEqual(ended, { kind: "stopped", output: "begun\n" });
    assert.ok(Date.now() - since < 5000, "well before it would have ended");
    const failure = commandFailure(ended);
    assert.deepEqual([failure?.lasting, failure?.status], ["temporary", "4.3.0"]);
    assert.deepEqual(await run("touch late", 3), { kind: "stopped", output: "" });
    assert.deepEqual(readdirSync(folder), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
