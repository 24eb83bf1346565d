import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { virtualClock } from "../../../simulator/clock.ts";
import { localOn, mailFor, NOON } from "../../../testing/local-mail.ts";
import { MailDisk } from "../../../testing/mail-disk.ts";
import type { LocalOutcome } from "../delivery.ts";

function disk(): MailDisk {
  const made = new MailDisk();
  made.now = NOON;
  made.write("/mail/alice/.exists", "");
  return made;
}

function causeOf(outcome: LocalOutcome): unknown {
  if (outcome.kind !== "failed") assert.fail(`it was ${outcome.kind}`);
  const { failure } = outcome;
  const { cause } = failure;
  return `${failure.lasting} ${failure.status} ${cause.kind}${"reason" in cause ? `/${cause.reason}` : ""}`;
}

test("mail lands in new/ of the user's Maildir and is called after its envelope", async () => {
  const on = disk();
  const told: string[] = [];
  await using local = localOn(on, { told });
  const outcome = await local.deliver(mailFor("maildir", 1, { recipient: "Alice+x@example.org" }));
  assert.equal(outcome.kind, "delivered");
  assert.equal(outcome.relay, "maildir:/mail/alice/Maildir");
  assert.deepEqual(on.list("/mail/alice/Maildir/new"), [`${NOON / 1000 - 1}.E06A7Q2MK0W1_1.mail.example.org`]);
  assert.deepEqual(on.list("/mail/alice/Maildir/tmp"), []);
  assert.deepEqual(told, ["06A7Q2MK0W1.1: created mailbox maildir:/mail/alice/Maildir"]);
});

test("a mail that its reader has moved to cur/ and flagged is not delivered again", async () => {
  const on = disk();
  const name = `${NOON / 1000 - 1}.E06A7Q2MK0W1_1.mail.example.org`;
  await localOn(on).deliver(mailFor("maildir"));
  on.move(`/mail/alice/Maildir/new/${name}`, `/mail/alice/Maildir/cur/${name}:2,S`);
  on.restart("process");
  const told: string[] = [];
  const outcome = await localOn(on, { told }).deliver(mailFor("maildir"));
  assert.equal(outcome.kind, "delivered");
  assert.deepEqual(on.list("/mail/alice/Maildir/new"), []);
  assert.match(told.join(), /already in maildir/);
});

test("two envelopes of one message are two mails", async () => {
  const on = disk();
  await using local = localOn(on);
  const first = mailFor("maildir");
  await local.deliver(first);
  await local.deliver({ ...first, envelope: { ...first.envelope, id: "06A7Q2MK0W1.2" } });
  assert.equal(on.list("/mail/alice/Maildir/new").length, 2);
});

test("many at once into one mbox stand there one after the other, whole", async () => {
  const on = disk();
  await using local = localOn(on, { settings: { concurrency: 3 } });
  const outcomes = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => local.deliver(mailFor("mbox", n))));
  assert.deepEqual(new Set(outcomes.map((outcome) => outcome.kind)), new Set(["delivered"]));
  const mails = (on.read("/mail/alice/mbox") ?? "").split(/^From /m).slice(1);
  assert.equal(mails.length, 6);
  assert.deepEqual(
    new Set(mails.map((mail) => /the end of (\d)\n\n$/.exec(mail)?.[1])),
    new Set(["1", "2", "3", "4", "5", "6"]),
  );
});

test("an mbox that did not end in an empty line gets one before the next mail", async () => {
  const on = disk();
  on.write("/mail/alice/mbox", "From x Sat Nov 21 12:00:00 2026\n\nno end");
  await localOn(on).deliver(mailFor("mbox"));
  assert.match(on.read("/mail/alice/mbox") ?? "", /no end\n\nFrom bob@example\.net /);
});

test("discard is a delivery that leaves nothing", async () => {
  const on = disk();
  const outcome = await localOn(on).deliver(mailFor("discard"));
  assert.ok(outcome.kind === "delivered" && outcome.taker === "nobody");
  assert.deepEqual(on.list("/mail/alice"), [".exists"]);
});

test("an action that the settings no longer have puts the mail off", async () => {
  assert.equal(causeOf(await localOn(disk()).deliver(mailFor("gone"))), "temporary 4.3.5 settings");
});

for (const [code, expected] of [
  ["ENOSPC", "temporary 4.3.1 mailbox/full"],
  ["EDQUOT", "temporary 4.2.2 mailbox/full"],
  ["EACCES", "temporary 4.3.5 mailbox/permission"],
  ["EIO", "temporary 4.3.0 mailbox/io"],
  ["EWHATEVER", "temporary 4.3.0 mailbox/io"],
  ["ENAMETOOLONG", "permanent 5.1.1 mailbox/no-such-user"],
] as const) {
  for (const kind of ["maildir", "mbox"]) {
    test(`${code} from the disk of a ${kind} is ${expected}`, async () => {
      const on = disk();
      on.failWith = code;
      assert.equal(causeOf(await localOn(on).deliver(mailFor(kind))), expected);
    });
  }
}

test("a disk that fills up in the middle of an mbox delivery leaves the mbox as it was", async () => {
  const before = "From x Sat Nov 21 12:00:00 2026\n\nbody\n\n";
  for (let step = 1; step < 40; step++) {
    const on = disk();
    on.write("/mail/alice/mbox", before);
    const local = localOn(on);
    // The file system has room for that many steps, then for none, and for truncation always.
    on.failAt(step, "ENOSPC", ["truncate", "unlink", "sync"]);
    const outcome = await local.deliver(mailFor("mbox"));
    on.failAt(0, undefined);
    if (outcome.kind === "failed") {
      const found = on.read("/mail/alice/mbox") ?? "";
      assert.ok(found === before || found.endsWith("the end of 1\n\n"), `step ${step}: ${found}`);
      assert.equal(causeOf(outcome), "temporary 4.3.1 mailbox/full");
    }
    const again = await localOn(on).deliver(mailFor("mbox"));
    assert.equal(again.kind, "delivered", `step ${step}`);
    assert.equal((on.read("/mail/alice/mbox") ?? "").split(/^From /m).length, 3, `step ${step}`);
  }
});

test("a body that cannot be read is our own fault, and leaves nothing in the mailbox", async () => {
  for (const kind of ["maildir", "mbox"]) {
    const on = disk();
    const request = mailFor(kind);
    const outcome = await localOn(on).deliver({ ...request, body: { kind: "file", name: "x", sizeBytes: 9 } });
    assert.equal(causeOf(outcome), "temporary 4.3.0 internal");
    assert.deepEqual(on.list("/mail/alice/Maildir/new"), []);
    assert.deepEqual(on.list("/mail/alice/Maildir/tmp"), []);
    assert.equal(on.read("/mail/alice/mbox"), undefined);
    assert.deepEqual(on.list("/state/delivery"), []);
  }
});

test("a symbolic link in a mailbox's place is followed only when root or the server made it", async () => {
  for (const isTrusted of [true, false]) {
    const on = disk();
    on.symlink("/mail/alice/Maildir", isTrusted);
    const outcome = await localOn(on).deliver(mailFor("maildir"));
    if (isTrusted) assert.equal(outcome.kind, "delivered");
    else assert.equal(causeOf(outcome), "temporary 4.3.5 mailbox/permission");
  }
  const on = disk();
  on.symlink("/mail/alice/mbox", true);
  assert.equal(causeOf(await localOn(on).deliver(mailFor("mbox"))), "temporary 4.3.5 mailbox/permission");
});

test("an mbox with a second name is not written to", async () => {
  const on = disk();
  on.write("/mail/alice/mbox", "");
  on.change("/mail/alice/mbox", { links: 2 });
  assert.equal(causeOf(await localOn(on).deliver(mailFor("mbox"))), "temporary 4.3.5 mailbox/permission");
});

test("an mbox that another program holds is waited for, and then put off as locked", async () => {
  for (const hold of ["record lock", "dot-lock"]) {
    const on = disk();
    const clock = virtualClock(NOON);
    on.write("/mail/alice/mbox", "");
    on.living.add(77);
    if (hold === "dot-lock") on.write("/mail/alice/mbox.lock", "77\n");
    else on.change("/mail/alice/mbox", { lock: true });
    const local = localOn(on, { clock, settings: { lockDeadline: "30s" } });
    const tooLong = local.deliver(mailFor("mbox", 1));
    await clock.advance(29_000);
    assert.equal(on.read("/mail/alice/mbox"), "");
    await clock.advance(1000);
    assert.equal(causeOf(await tooLong), "temporary 4.2.0 mailbox/locked");
    assert.equal(on.read("/mail/alice/mbox.lock"), hold === "dot-lock" ? "77\n" : undefined);

    const inTime = local.deliver(mailFor("mbox", 2));
    await clock.advance(5000);
    if (hold === "dot-lock") on.remove("/mail/alice/mbox.lock");
    else on.change("/mail/alice/mbox", { lock: false });
    await clock.advance(1000);
    assert.equal((await inTime).kind, "delivered");
    assert.equal(on.read("/mail/alice/mbox.lock"), undefined);
  }
});

test("locks that a failing disk did not let go of hold up nothing when it is well again", async () => {
  for (let step = 1; step < 40; step++) {
    const on = disk();
    on.write("/mail/alice/mbox", "");
    on.living.add(on.processId);
    const local = localOn(on);
    on.failAt(step, "EIO", [
      "create",
      "write",
      "truncate",
      "sync",
      "link",
      "rename",
      "makeDirectory",
      "append",
      "syncDirectory",
    ]);
    await local.deliver(mailFor("mbox", 1));
    on.failAt(0, undefined);
    // The virtual clock stands still: whoever waited for a lock would wait for ever.
    for (const n of [1, 2]) {
      const outcome = await Promise.race([local.deliver(mailFor("mbox", n)), wait(2000, undefined, { ref: false })]);
      assert.equal(outcome?.kind, "delivered", `step ${step}, mail ${n}`);
    }
    assert.deepEqual(
      on.list("/mail/alice").filter((name) => name.includes("lock")),
      [],
      `step ${step}`,
    );
  }
});

test("a server that stops waits for no mailbox that somebody else holds, and one such mailbox takes no other's place", async () => {
  const on = disk();
  const clock = virtualClock(NOON);
  on.write("/mail/alice/mbox", "");
  on.write("/mail/alice/mbox.lock", "77\n");
  on.living.add(77);
  const local = localOn(on, { clock, settings: { concurrency: 2 } });
  const waiting = [1, 2, 3, 4].map((n) => local.deliver(mailFor("mbox", n)));
  await clock.advance(1000);
  const another = local.deliver(mailFor("maildir", 5));
  await clock.advance(0);
  assert.equal((await another).kind, "delivered");
  const end = local[Symbol.asyncDispose]();
  await clock.advance(100);
  for (const outcome of await Promise.all(waiting)) assert.equal(causeOf(outcome), "temporary 4.2.0 mailbox/locked");
  await end;
});

test("a dot-lock whose process is gone, or that names nobody and is old, is broken; others are not", async () => {
  const cases = [
    { content: "4711\n", ageMs: 0, isBroken: true },
    { content: "77\n", ageMs: 10 * 60_000, isBroken: false },
    { content: "77\n", ageMs: 61 * 60_000, isBroken: true },
    { content: "", ageMs: 4 * 60_000, isBroken: false },
    { content: "", ageMs: 6 * 60_000, isBroken: true },
    { content: "0", ageMs: 4 * 60_000, isBroken: false },
    { content: "100\n", ageMs: 0, isBroken: true },
  ];
  for (const { content, ageMs, isBroken } of cases) {
    const on = disk();
    const told: string[] = [];
    const clock = virtualClock(NOON);
    on.living.add(77).add(100);
    on.write("/mail/alice/mbox.lock", content);
    on.change("/mail/alice/mbox.lock", { modifiedAt: NOON - ageMs });
    const attempt = localOn(on, { clock, told, settings: { lockDeadline: "1s" } }).deliver(mailFor("mbox"));
    await clock.advance(2000);
    const what = JSON.stringify({ content, ageMs });
    assert.equal((await attempt).kind, isBroken ? "delivered" : "failed", what);
    assert.equal(
      told.some((line) => line.startsWith("warning: broke stale lock")),
      isBroken,
      what,
    );
  }
});

test("a file that a mail reader puts in the mbox's place while we wait gets the mail", async () => {
  const on = disk();
  const clock = virtualClock(NOON);
  on.write("/mail/alice/mbox", "From old Sat Nov 21 12:00:00 2026\n\nx\n\n");
  on.change("/mail/alice/mbox", { lock: true });
  const attempt = localOn(on, { clock }).deliver(mailFor("mbox"));
  await clock.advance(500);
  on.write("/mail/alice/mbox.new", "");
  on.move("/mail/alice/mbox.new", "/mail/alice/mbox");
  await clock.advance(500);
  assert.equal((await attempt).kind, "delivered");
  assert.match(on.read("/mail/alice/mbox") ?? "", /^From bob@example\.net .*the end of 1\n\n$/s);
});

test("the same envelope asked for again while its first attempt still runs is delivered once", async () => {
  const on = disk();
  const clock = virtualClock(NOON);
  on.write("/mail/alice/mbox", "");
  on.change("/mail/alice/mbox", { lock: true });
  const local = localOn(on, { clock, settings: { deadline: "10s" } });
  const first = local.deliver(mailFor("mbox"));
  await clock.advance(10_000);
  assert.equal(causeOf(await first), "temporary 4.3.0 mailbox/io");
  const second = local.deliver({ ...mailFor("mbox"), attempt: 2 });
  on.change("/mail/alice/mbox", { lock: false });
  await clock.advance(1000);
  assert.equal((await second).kind, "delivered");
  assert.equal((on.read("/mail/alice/mbox") ?? "").split(/^From /m).length, 2);
});

test("a Maildir that loses a folder, or all of itself, is made again at once", async () => {
  const on = disk();
  await using local = localOn(on);
  await local.deliver(mailFor("maildir", 1));
  on.remove("/mail/alice/Maildir/tmp");
  assert.equal((await local.deliver(mailFor("maildir", 2))).kind, "delivered");
  on.remove("/mail/alice/Maildir/new");
  assert.equal((await local.deliver(mailFor("maildir", 4))).kind, "delivered");
  assert.equal(on.list("/mail/alice/Maildir/new").length, 1);
  on.remove("/mail/alice/Maildir");
  assert.equal((await local.deliver(mailFor("maildir", 3))).kind, "delivered");
  assert.equal(on.list("/mail/alice/Maildir/new").length, 1);
});

test("a mailbox that lacks a folder is still searched for a mail that came before the crash", async () => {
  const on = disk();
  const name = `${NOON / 1000 - 1}.E06A7Q2MK0W1_1.mail.example.org`;
  await localOn(on).deliver(mailFor("maildir"));
  on.move(`/mail/alice/Maildir/new/${name}`, `/mail/alice/Maildir/cur/${name}:2,`);
  on.remove("/mail/alice/Maildir/new");
  on.restart("process");
  assert.equal((await localOn(on).deliver(mailFor("maildir"))).kind, "delivered");
  assert.deepEqual(on.list("/mail/alice/Maildir/new"), []);
});

test("a repeat that comes after hundreds of other mails is still known to be in the mbox", async () => {
  const on = disk();
  const local = localOn(on);
  for (let n = 1; n <= 300; n++) assert.equal((await local.deliver(mailFor("mbox", n))).kind, "delivered");
  const before = on.read("/mail/alice/mbox");
  assert.equal((await localOn(on).deliver({ ...mailFor("mbox", 1), attempt: 2 })).kind, "delivered");
  assert.equal(on.read("/mail/alice/mbox"), before);
});
