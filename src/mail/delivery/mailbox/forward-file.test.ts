import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MailDisk } from "../../../testing/mail-disk.ts";
import { readForward } from "./forward-file.ts";

const PATH = "/home/alice/.forward";

function reading(on: MailDisk, mayInclude = true): ReturnType<typeof readForward> {
  const isSelf = (address: string): boolean => address === "alice" || address === "alice@example.org";
  return readForward(on.fs(), ["/home/alice/.forward+x", PATH], { localPart: "alice", isSelf, mayInclude });
}

async function of(text: string, over?: { mayInclude?: boolean }): Promise<unknown> {
  const on = new MailDisk();
  on.write(PATH, text);
  const file = await reading(on, over?.mayInclude);
  return file.kind === "targets" ? file.targets : file.kind === "broken" ? file.text : file.kind;
}

test("what a .forward names is sent on, in its order", async () => {
  assert.deepEqual(await of('\\bob, "|vacation -a \\"x y\\"" # a remark\n/home/alice/box/\n@example.net\n'), [
    { kind: "address", address: "bob", isFinal: true },
    { kind: "command", command: 'vacation -a "x y"' },
    { kind: "file", path: "/home/alice/box/" },
    { kind: "address", address: "alice@example.net", isFinal: false },
  ]);
});

test("one's own address means one's mailbox", async () => {
  assert.deepEqual(await of("alice@example.org, alice"), [
    { kind: "address", address: "alice@example.org", isFinal: true },
    { kind: "address", address: "alice", isFinal: true },
  ]);
});

test("an empty file, and one with remarks only, is none", async () => {
  for (const text of ["", "\n\n", "# nothing\n  \n", " ,, \n"])
    assert.equal(await of(text), "none", JSON.stringify(text));
});

test("the first file that is there counts, an empty one too", async () => {
  const on = new MailDisk();
  on.write(PATH, "x@example.net\n");
  on.write("/home/alice/.forward+x", "");
  assert.equal((await reading(on)).kind, "none");
});

test("what refuses mail, or cannot be read, breaks it with its line", async () => {
  assert.match(String(await of("good@example.net\n:fail: no\n")), /\.forward:2: only aliases can refuse/);
  assert.match(String(await of("|\n")), /\.forward:1: /);
  assert.match(String(await of(":blackhole:, a@\n")), /\.forward:1: /);
  assert.deepEqual(await of(":blackhole:\n"), [{ kind: "file", path: "/dev/null" }]);
});

test("lists are included one deep, where the settings allow it", async () => {
  const on = new MailDisk();
  on.write(PATH, ":include:/home/alice/friends\n");
  on.write("/home/alice/friends", "one@example.net\ntwo@example.net\n");
  const file = await reading(on);
  assert.equal(file.kind === "targets" && file.targets.length, 2);
  const refused = await reading(on, false);
  assert.match(refused.kind === "broken" ? refused.text : "", /\.forward:1: the settings allow no :include:/);
  on.write("/home/alice/friends", ":include:/home/alice/friends\n");
  const deep = await reading(on);
  assert.match(deep.kind === "broken" ? deep.text : "", /friends:1: included files include nothing/);
  on.remove("/home/alice/friends");
  const gone = await reading(on);
  assert.match(gone.kind === "broken" ? gone.text : "", /\.forward:1: there is no file/);
  on.write("/home/alice/friends", "x@example.net\n");
  on.change("/home/alice/friends", { isWritableByOthers: true });
  const open = await reading(on);
  assert.match(open.kind === "broken" ? open.text : "", /friends: is writable by group or others/);
});

test("what somebody else's list names is written to, never run nor made a file of", async () => {
  const on = new MailDisk();
  on.write(PATH, ":include:/home/mallory/friends\n");
  for (const [list, expected] of [
    ["one@example.net\n|touch /tmp/x\n", /friends:2: a list of somebody else's may name addresses only, no command/],
    ["/home/alice/.ssh/authorized_keys\n", /friends:1: .* no file/],
    ["one@example.net\n", /^targets$/],
  ] as const) {
    on.write("/home/mallory/friends", list);
    on.change("/home/mallory/friends", { isTrusted: false });
    const file = await reading(on);
    assert.match(file.kind === "broken" ? file.text : file.kind, expected);
  }
  on.write("/home/alice/own", "|vacation\n");
  on.write(PATH, ":include:/home/alice/own\n");
  assert.equal((await reading(on)).kind, "targets");
});

test("a file or home that others may write to, or that is another's, is not believed", async () => {
  for (const [path, change] of [
    [PATH, { isWritableByOthers: true }],
    [PATH, { isTrusted: false }],
    ["/home/alice", { isWritableByOthers: true }],
    ["/home/alice", { isTrusted: false }],
  ] as const) {
    const on = new MailDisk();
    on.write(PATH, "x@example.net\n");
    on.change(path, change);
    assert.equal((await reading(on)).kind, "broken", `${path} ${JSON.stringify(change)}`);
  }
});

test("no text sends mail anywhere when anything in it is wrong, and none makes it throw", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string(), fc.string(), async (before, behind) => {
      const file = await of(`${before.replace(/["\n]/g, "")}\n|\n${behind}`);
      assert.equal(typeof file, "string");
    }),
    { numRuns: 50 },
  );
});
