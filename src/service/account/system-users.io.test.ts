import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { systemUsers } from "./system-users.io.ts";

test("the system's users come with home, shell and all their groups", async () => {
  const users = systemUsers(systemClock);
  const answer = await users.find("mail");
  assert.ok(answer.kind === "found");
  assert.equal(answer.user.name, "mail");
  assert.ok(answer.user.uid > 0 && answer.user.home.startsWith("/"));
  assert.ok(answer.user.groups?.includes(answer.user.gid));
  assert.deepEqual(await users.find("no-such-user-here"), { kind: "none" });
});

test("more questions than may run at once are all answered, and one given up is a failure", async () => {
  const users = systemUsers(systemClock);
  const answers = await Promise.all(Array.from({ length: 50 }, () => users.find("root")));
  assert.ok(answers.every((answer) => answer.kind === "found" && answer.user.uid === 0));
  assert.equal((await users.find("root", AbortSignal.abort(new Error("enough")))).kind, "failed");
});

test("while the directory hangs so many wait, and who comes then is told at once; afterwards all is as before", async () => {
  const clock = virtualClock(0);
  const hanging: (() => void)[] = [];
  const users = systemUsers(clock, {
    findPasswd: () => new Promise((resolve) => hanging.push(() => resolve(undefined))),
    groupsOfUser: () => Promise.resolve([]),
  });
  const asked = Array.from({ length: 1002 }, () => users.find("alice"));
  const tooMany = await users.find("alice");
  assert.ok(tooMany.kind === "failed" && /too many questions/.test(tooMany.text));
  assert.equal(hanging.length, 2, "so many threads of the pool are taken");
  await clock.advance(20_000);
  const answers = await Promise.all(asked);
  assert.ok(answers.every(({ kind }) => kind === "failed"));
  for (const end of hanging) end();
  await new Promise((resolve) => setImmediate(resolve));
  const later = users.find("alice");
  await new Promise((resolve) => setImmediate(resolve));
  hanging.at(-1)?.();
  assert.deepEqual(await later, { kind: "none" });
  assert.equal(hanging.length, 3, "those who had given up are not asked for");
});
