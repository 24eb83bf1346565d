import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Table } from "../table/table.ts";
import { inlineTable } from "../table/tables.ts";
import { parseUserinfo, tableUsers } from "./users.ts";

const people = inlineTable("people", {
  kind: "map",
  entries: { alice: "1000:1001:/home/alice", bob: "1002:1002:/srv/bob:2GiB", broken: "alice", root: "0:0:/root" },
});

test("a table's userinfo gives uid, gid, home and, where it is there, the quota", async () => {
  const users = tableUsers(people);
  assert.deepEqual(await users.find("Alice"), {
    kind: "found",
    user: { name: "Alice", uid: 1000, gid: 1001, home: "/home/alice" },
  });
  assert.deepEqual(await users.find("bob"), {
    kind: "found",
    user: { name: "bob", uid: 1002, gid: 1002, home: "/srv/bob", quota: "2GiB" },
  });
  assert.deepEqual(await users.find("carol"), { kind: "none" });
});

test("what cannot be used is a failure that names its place, never somebody else's rights", async () => {
  const answer = await tableUsers(people).find("broken");
  assert.equal(answer.kind, "failed");
  assert.match(answer.kind === "failed" ? answer.text : "", /people: expected uid:gid:home, got "alice"/);
});

test("a table that fails or throws is a failure", async () => {
  const failing: Table = { ...people, lookup: async () => ({ kind: "failed", text: "gone" }) };
  assert.deepEqual(await tableUsers(failing).find("alice"), { kind: "failed", text: "gone" });
  const throwing: Table = {
    ...people,
    lookup: async () => {
      throw new Error("away");
    },
  };
  assert.deepEqual(await tableUsers(throwing).find("alice"), { kind: "failed", text: "away" });
});

test("no text gives an id that means nobody in particular, or a home that is not absolute", () => {
  for (const text of [
    "-1:1:/h",
    "4294967295:1:/h",
    "1:4294967295:/h",
    "1:1:h",
    "1:1:",
    ":1:/h",
    "1:1:/h:q:x",
    "1:1:/a\0b",
  ])
    assert.equal(parseUserinfo("x", text), undefined, text);
  fc.assert(
    fc.property(fc.string(), (text) => {
      const user = parseUserinfo("x", text);
      assert.ok(user === undefined || (user.uid >= 0 && user.uid <= 0xffff_fffe && user.home.startsWith("/")));
    }),
  );
});
