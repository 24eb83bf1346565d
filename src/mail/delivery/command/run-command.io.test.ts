import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../../simulator/clock.ts";
import { mailFor } from "../../../testing/local-mail.ts";
import { commandRunner } from "./run-command.io.ts";
import { commandSettings } from "./settings.ts";
import type { CommandEnd } from "./command.ts";

test("mail for a user whose commands do not end is put off after a while, and later mail at once", async () => {
  const clock = virtualClock(0);
  const runner = commandRunner({
    clock,
    settings: commandSettings.parse({ deadline: "60s", perUser: 1 }),
    content: async function* () {
      yield Buffer.from("mail\n");
    },
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
