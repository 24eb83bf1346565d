import assert from "node:assert/strict";
import { test } from "node:test";
import { maySeeAll, type Peer } from "./viewer.ts";

const OWNER = 100;
const GROUP = 200;
const peer = (uid: number, gid: number, ...groups: number[]): Peer => ({ uid, gid, groups });

test("root sees all, whatever the mode says", () => {
  assert.ok(maySeeAll({ mode: 0o000, uid: OWNER, gid: GROUP }, peer(0, 0)));
});

test("owner, group and others see all where their part of the mode lets them write", () => {
  const sees = (mode: number): readonly boolean[] =>
    [peer(OWNER, 1), peer(1, GROUP), peer(1, 1, 7, GROUP), peer(1, 1, 7)].map((each) =>
      maySeeAll({ mode, uid: OWNER, gid: GROUP }, each),
    );
  assert.deepEqual(sees(0o660), [true, true, true, false]);
  assert.deepEqual(sees(0o600), [true, false, false, false]);
  assert.deepEqual(sees(0o666), [true, true, true, true]);
  assert.deepEqual(sees(0o440), [false, false, false, false], "reading alone is not enough to connect");
});

test("a member of the group is judged by the group's part, though others may more, as the system does it", () => {
  assert.equal(maySeeAll({ mode: 0o606, uid: OWNER, gid: GROUP }, peer(1, GROUP)), false);
  assert.equal(maySeeAll({ mode: 0o066, uid: OWNER, gid: GROUP }, peer(OWNER, GROUP)), false);
  assert.equal(maySeeAll({ mode: 0o606, uid: OWNER, gid: GROUP }, peer(1, 1)), true);
});
