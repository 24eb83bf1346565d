import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Died, MailDisk, type Loss } from "../../../testing/mail-disk.ts";
import { localOn, mailFor, NOON } from "../../../testing/local-mail.ts";

const losses: readonly Loss[] = ["process", "nothing", "names", "contents", "ends", "edges"];
const maildirText = "Return-Path: <bob@example.net>\nDelivered-To: alice@example.org\n";
const maildirOf = (n: number): string => `${maildirText}Subject: mail ${n}\n\nFrom here to there\nthe end of ${n}\n`;
const mboxOf = (n: number): string =>
  `From bob@example.net Sat Nov 21 12:00:00 2026\n${maildirOf(n).replace("\nFrom here", "\n>From here")}\n`;

/** Delivers mail n, dying at the given step; true when it lived to tell the outcome. */
async function attempt(disk: MailDisk, action: string, n: number, dieAt: number): Promise<boolean> {
  const local = localOn(disk);
  await local[Symbol.asyncDispose]();
  disk.dieAt(dieAt);
  const outcome = await local.deliver(mailFor(action, n)).catch((thrown: unknown) => thrown);
  if (disk.steps >= dieAt) return false;
  assert.equal((outcome as { kind: string }).kind, "delivered");
  return true;
}

async function deliverWell(disk: MailDisk, action: string, n: number): Promise<void> {
  const local = localOn(disk);
  const outcome = await local.deliver(mailFor(action, n));
  assert.equal(outcome.kind, "delivered", JSON.stringify(outcome));
  await local[Symbol.asyncDispose]();
}

/** Runs the whole story once for every step at which the delivery of mail 2 may die. */
async function dyingAtEachStep(
  loss: Loss,
  prepare: () => Promise<MailDisk>,
  action: string,
  check: (disk: MailDisk, step: number) => Promise<void>,
): Promise<number> {
  for (let step = 1; ; step++) {
    const disk = await prepare();
    // What a kill leaves is young when the next life meets it; after a power cut some minutes have passed.
    if (loss === "process") disk.now = NOON;
    if (await attempt(disk, action, 2, step)) return step - 1;
    await check(disk, step);
  }
}

for (const loss of losses) {
  suite(`a delivery that dies at any step, keeping after the crash: ${loss === "process" ? "all" : loss}`, () => {
    test("a Maildir gets each mail exactly once and whole, through the repeat", async () => {
      const prepare = async (): Promise<MailDisk> => {
        const disk = new MailDisk();
        disk.write("/mail/.exists", "");
        return disk;
      };
      const steps = await dyingAtEachStep(loss, prepare, "maildir", async (disk, step) => {
        disk.restart(loss);
        for (const name of disk.list("/mail/alice/Maildir/new"))
          assert.equal(disk.read(`/mail/alice/Maildir/new/${name}`), maildirOf(2), `torn after step ${step}`);
        await deliverWell(disk, "maildir", 2);
        disk.restart("nothing");
        const names = disk.list("/mail/alice/Maildir/new");
        assert.equal(names.length, 1, `step ${step}: ${names.join(" ")}`);
        assert.equal(disk.read(`/mail/alice/Maildir/new/${names[0]}`), maildirOf(2));
      });
      assert.ok(steps >= 8, `only ${steps} steps`);
    });

    test("an mbox gets each mail exactly once, in order and whole, through the repeat", async () => {
      const prepare = async (): Promise<MailDisk> => {
        const disk = new MailDisk();
        disk.write("/mail/.exists", "");
        await deliverWell(disk, "mbox", 1);
        return disk;
      };
      const steps = await dyingAtEachStep(loss, prepare, "mbox", async (disk, step) => {
        disk.restart(loss);
        await deliverWell(disk, "mbox", 2);
        assert.deepEqual(disk.list("/mail/alice"), ["mbox"], `step ${step}`);
        disk.restart("nothing");
        assert.equal(disk.read("/mail/alice/mbox"), mboxOf(1) + mboxOf(2), `step ${step}`);
      });
      assert.ok(steps >= 15, `only ${steps} steps`);
    });

    test("a new mbox gets its first mail exactly once", async () => {
      const prepare = async (): Promise<MailDisk> => {
        const disk = new MailDisk();
        disk.write("/mail/.exists", "");
        return disk;
      };
      await dyingAtEachStep(loss, prepare, "mbox", async (disk, step) => {
        disk.restart(loss);
        await deliverWell(disk, "mbox", 2);
        disk.restart("nothing");
        assert.equal(disk.read("/mail/alice/mbox"), mboxOf(2), `step ${step}`);
      });
    });

    test("another mail that comes first after the crash meets no torn one, and the repeat is delivered after it", async () => {
      const prepare = async (): Promise<MailDisk> => {
        const disk = new MailDisk();
        disk.write("/mail/.exists", "");
        await deliverWell(disk, "mbox", 1);
        return disk;
      };
      await dyingAtEachStep(loss, prepare, "mbox", async (disk, step) => {
        disk.restart(loss);
        await deliverWell(disk, "mbox", 3);
        await deliverWell(disk, "mbox", 2);
        const found = disk.read("/mail/alice/mbox") ?? "";
        const expected = [mboxOf(1) + mboxOf(2) + mboxOf(3), mboxOf(1) + mboxOf(3) + mboxOf(2)];
        assert.ok(expected.includes(found), `step ${step}:\n${found}`);
      });
    });
  });
}

test("mail that another program adds behind a torn one of ours stays whole, wherever ours was torn", async () => {
  const others = [
    "From carol@example.com Sat Nov 21 12:01:00 2026\nSubject: hers\n\nhello\n\n",
    "From bob@example.net Sat Nov 21 12:05:00 2026\nSubject: alike\n\nhello\n\n",
  ];
  // The step that writes the content dies; what it left is then cut to the length in question.
  let step = 1;
  for (; ; step++) {
    const trial = new MailDisk();
    trial.write("/mail/.exists", "");
    await deliverWell(trial, "mbox", 1);
    await attempt(trial, "mbox", 2, step);
    if ((trial.read("/mail/alice/mbox") ?? "").length > mboxOf(1).length) break;
  }
  for (const [other, lost] of others.flatMap((one) => [0, 1 / 3, 1].map((part) => [one, part] as const))) {
    for (let torn = 0; torn <= mboxOf(2).length; torn++) {
      const lostBytes = Math.floor(torn * lost);
      const left = "\0".repeat(lostBytes) + mboxOf(2).slice(lostBytes, torn);
      const disk = new MailDisk();
      disk.write("/mail/.exists", "");
      await deliverWell(disk, "mbox", 1);
      await attempt(disk, "mbox", 2, step);
      disk.restart("process");
      disk.remove("/mail/alice/mbox.lock");
      disk.write("/mail/alice/mbox", mboxOf(1) + left + other);
      await deliverWell(disk, "mbox", 2);
      const found = disk.read("/mail/alice/mbox") ?? "";
      const expected = left === mboxOf(2) ? [mboxOf(1) + mboxOf(2) + other] : [mboxOf(1) + other + mboxOf(2)];
      assert.ok(expected.includes(found), `torn at ${torn}, without ${lostBytes}:\n${JSON.stringify(found)}`);
    }
  }
});

test("a recovery that dies itself is taken up again", async () => {
  for (let step = 1; ; step++) {
    const disk = new MailDisk();
    disk.write("/mail/alice/mbox", mboxOf(1));
    for (let die = 1; !(disk.read("/mail/alice/mbox") ?? "").slice(mboxOf(1).length).includes("From bob"); die++) {
      disk.restart("process");
      disk.remove("/mail/alice/mbox.lock");
      disk.write("/mail/alice/mbox", mboxOf(1));
      await attempt(disk, "mbox", 2, die);
    }
    disk.restart("process");
    disk.remove("/mail/alice/mbox.lock");
    const torn = mboxOf(2).slice(0, 30);
    const other = "From carol@example.com Sat Nov 21 12:01:00 2026\nSubject: hers\n\nhello\n\n";
    disk.write("/mail/alice/mbox", mboxOf(1) + torn + other);
    // Its start recovers; the step counts from there.
    disk.dieAt(step);
    const local = localOn(disk);
    await local[Symbol.asyncDispose]();
    const hasDied = disk.steps >= step;
    disk.restart("process");
    disk.remove("/mail/alice/mbox.lock");
    await deliverWell(disk, "mbox", 2);
    assert.equal(disk.read("/mail/alice/mbox"), mboxOf(1) + other + mboxOf(2), `step ${step}`);
    if (!hasDied) {
      assert.ok(step > 5, "the recovery had steps");
      break;
    }
  }
});

test("dying is seen by nobody but the delivery itself", async () => {
  const disk = new MailDisk();
  disk.dieAt(1);
  const fs = disk.fs();
  await assert.rejects(fs.makeDirectory("/x", 0o700), Died);
  disk.restart("process");
  assert.equal(await disk.fs().makeDirectory("/x", 0o700), true);
});

test("notes of a newer Posthorn about an unfinished mbox hold its mail back, and are still there for that one", async () => {
  const disk = new MailDisk();
  disk.write("/mail/alice/mbox", "");
  disk.now = NOON;
  // The first step at which the notes are under their name and the mail is not in the mbox.
  let notes: string | undefined;
  for (let step = 1; notes === undefined; step++) {
    await attempt(disk, "mbox", 2, step);
    disk.restart("process");
    const name = disk.list("/state/delivery").find((one) => one.endsWith(".intent"));
    notes = name === undefined ? undefined : `/state/delivery/${name}`;
  }
  const known = disk.read(notes) ?? "";
  const newer = known.replace('"version":1', '"version":2,"more":true');
  assert.notEqual(newer, known);
  disk.write(notes, newer);
  const mbox = disk.read("/mail/alice/mbox");
  const local = localOn(disk);
  const outcome = await local.deliver(mailFor("mbox", 3));
  await local[Symbol.asyncDispose]();
  assert.equal(outcome.kind, "failed");
  assert.match(JSON.stringify(outcome), /"temporary".*has format 2; this Posthorn knows formats up to 1/);
  assert.equal(disk.read(notes), newer);
  assert.equal(disk.read("/mail/alice/mbox"), mbox);
  disk.write(notes, known);
  await deliverWell(disk, "mbox", 3);
  assert.match(disk.read("/mail/alice/mbox") ?? "", /the end of 3/);
});
