import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { findPasswd, findPasswdById, groupsOfUser } from "./passwd.io.ts";

test("a user of the system is found by name and by number, with everything that getent says", async () => {
  const getent = spawnSync("getent", ["passwd", "mail"], { encoding: "utf8" }).stdout.trimEnd().split(":");
  const mail = { name: "mail", uid: Number(getent[2]), gid: Number(getent[3]), home: getent[5], shell: getent[6] };
  assert.ok(mail.uid > 0, "getent knows the user mail");
  assert.deepEqual(await findPasswd("mail"), mail);
  assert.deepEqual(await findPasswdById(mail.uid), mail);
});

test("who is not there is none, whatever the name holds", async () => {
  for (const name of ["no-such-user-here", "", "root\0x", "a:b", "x".repeat(5000), "\n"])
    assert.equal(await findPasswd(name), undefined, JSON.stringify(name.slice(0, 20)));
  assert.equal(await findPasswdById(3_999_999_999), undefined);
});

test("the groups of a user are those that id shows", async () => {
  const root = await findPasswd("root");
  const shown = spawnSync("id", ["-G", "root"], { encoding: "utf8" }).stdout.trim().split(" ").map(Number);
  assert.deepEqual(new Set(await groupsOfUser("root", root?.gid ?? -1)), new Set(shown));
});

test("many questions at once get their own answers", async () => {
  const names = ["root", "nobody", "daemon", "no-such-user-here"];
  const asked = Array.from({ length: 200 }, (_, at) => names[at % names.length] ?? "");
  const found = await Promise.all(asked.map((name) => findPasswd(name)));
  assert.deepEqual(
    found.map((entry) => entry?.name),
    asked.map((name) => (name === "no-such-user-here" ? undefined : name)),
  );
});
