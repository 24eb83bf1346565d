import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { mailFor, NOON, localOn } from "../../../testing/local-mail.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { tableUsers, type UserDirectory } from "../../../service/account/users.ts";
import { inlineTable } from "../../../service/table/tables.ts";
import { MailDisk } from "../../../testing/mail-disk.ts";
import { failureText } from "../../envelope/failure-text.ts";
import { maildirFolder } from "./maildir-folder.ts";
import {
  changeLine,
  formatMaildirSize,
  isTrashed,
  parseMaildirSize,
  parseQuota,
  quotaDefinition,
  sizeInName,
} from "./quota.ts";

const SIZE = "/mail/alice/Maildir/maildirsize";

function disk(): MailDisk {
  const made = new MailDisk();
  made.now = NOON;
  made.write("/mail/alice/.exists", "");
  for (const part of ["tmp", "new", "cur"]) made.write(`/mail/alice/Maildir/${part}/.exists`, "");
  return made;
}

/** A mail of exactly so many bytes in the mailbox: fields in front are ours. */
async function deliver(on: MailDisk, n: number, settings: object, told: string[] = []): Promise<string> {
  await using local = localOn(on, { settings, told, clock: virtualClock(on.now) });
  const outcome = await local.deliver(mailFor("maildir", n, { text: `Subject: x\r\n\r\n${"y".repeat(500)}\r\n` }));
  return outcome.kind === "failed" ? `${outcome.failure.lasting} ${outcome.failure.status}` : outcome.kind;
}

const usageOf = (on: MailDisk): unknown => parseMaildirSize(on.read(SIZE) ?? "")?.usage;

test("a mailbox without maildirsize is counted with all its folders, but not the trash", async () => {
  const on = disk();
  on.write("/mail/alice/Maildir/cur/1.x.host,S=1000:2,S", "short");
  on.write("/mail/alice/Maildir/cur/2.x.host:2,ST", "thrown away");
  on.write("/mail/alice/Maildir/.lists/new/3.x.host", "z".repeat(77));
  on.write("/mail/alice/Maildir/.Trash/cur/4.x.host,S=9999:2,", "");
  assert.equal(await deliver(on, 1, { quota: "10KiB" }), "delivered");
  const [definition, counted, added] = (on.read(SIZE) ?? "").split("\n");
  assert.equal(definition, "10240S");
  assert.match(counted ?? "", /^ *1077 +2$/);
  assert.match(added ?? "", /^ *\d{3} +1$/);
});

test("mail without room waits, or goes back where the settings say so", async () => {
  for (const [overQuota, says] of [
    ["defer", "temporary 4.2.2"],
    ["bounce", "permanent 5.2.2"],
  ] as const) {
    const on = disk();
    on.write("/mail/alice/Maildir/cur/1.x.host,S=1000:2,S", "");
    assert.equal(await deliver(on, 1, { quota: 1500, overQuota }), says);
    assert.deepEqual(
      on.list("/mail/alice/Maildir/new").filter((name) => !name.startsWith(".")),
      [],
    );
    assert.deepEqual(
      on.list("/mail/alice/Maildir/tmp").filter((name) => !name.startsWith(".")),
      [],
    );
    assert.deepEqual(usageOf(on), { bytes: 1000, messages: 1 });
  }
});

test("a user's own quota that cannot be read makes the mail wait and says how to write it; nothing comes without a bound", async () => {
  const on = disk();
  let n = 0;
  const deliverTo = async (quota: string): Promise<string> => {
    const user = { name: "alice", uid: 1000, gid: 1000, home: "/home/alice", quota };
    const users = { find: async () => ({ kind: "found", user }) as const };
    await using local = localOn(on, { users, user: "recipient", settings: { quota: "10KiB" } });
    const outcome = await local.deliver(mailFor("maildir", ++n));
    if (outcome.kind !== "failed") return outcome.kind;
    return `${outcome.failure.lasting} ${outcome.failure.status} ${failureText(outcome.failure)}`;
  };
  for (const wrong of ["1TiB", "plenty", "2GiB,", "2GiB,1,2", "-1"])
    assert.equal(
      await deliverTo(wrong),
      `temporary 4.3.5 settings: the quota of alice in local.users, "${wrong}", cannot be read: ` +
        "write a size, and behind it the most messages if wanted (2GiB or 2GiB,10000; 0: no quota)",
    );
  assert.deepEqual(
    on.list("/mail/alice/Maildir/new").filter((name) => !name.startsWith(".")),
    [],
  );
  assert.equal(await deliverTo("0"), "delivered");
  assert.match(await deliverTo("1"), /^temporary 4\.2\.2 mailbox: full/);
});

test("a user's own quota holds in a mailbox of the server's, and in one of the user whose all mailboxes are", async () => {
  const own = { uid: 1000, gid: 1000, home: "/home/x" };
  const system = { find: async (name: string) => ({ kind: "found", user: { ...own, name } }) as const };
  for (const user of ["server", "vmail"]) {
    let n = 0;
    const on = disk();
    const deliverBy = async (users: UserDirectory): Promise<string> => {
      await using local = localOn(on, { users, system, user, settings: { quota: "10KiB" } });
      const outcome = await local.deliver(mailFor("maildir", ++n));
      return outcome.kind === "failed" ? failureText(outcome.failure) : outcome.kind;
    };
    const withQuota = (quota: string): UserDirectory => ({
      find: async (name) => ({ kind: "found", user: { ...own, name, quota } }),
    });
    assert.match(await deliverBy(withQuota("1")), /^mailbox: full/, user);
    assert.match(await deliverBy(withQuota("plenty")), /the quota of alice in local\.users, "plenty", cannot be read/);
    assert.equal(await deliverBy(withQuota("2GiB")), "delivered");
    assert.equal(await deliverBy(system), "delivered", "without one that of the settings");
    assert.equal(await deliverBy({ find: async () => ({ kind: "none" }) }), "delivered");
    assert.match(await deliverBy({ find: async () => ({ kind: "failed", text: "it is away" }) }), /it is away/);
    const names = tableUsers(inlineTable("people", { kind: "map", entries: { alice: "Alice of the office" } }));
    assert.equal(await deliverBy(names), "delivered", "a list of people says nothing of quotas");
    const secret = async () => ({ kind: "failed", text: "it holds passwords", isSecret: true }) as const;
    const passwords = tableUsers({ ...inlineTable("people", { kind: "map", entries: {} }), lookup: secret });
    assert.equal(await deliverBy(passwords), "delivered", "nor do passwords");
  }
});

test("in a mailbox that many share no recipient's own quota counts", async () => {
  const users: UserDirectory = {
    find: async (name) => ({ kind: "found", user: { name, uid: 1000, gid: 1000, home: "/home/x", quota: "1" } }),
  };
  for (const [path, says] of [
    ["/mail/shared/Maildir", "delivered"],
    ["/mail/of-{domain}/Maildir", "delivered"],
    ["/mail/{user}/Maildir", "failed"],
    ["/mail/{recipient}/Maildir", "failed"],
  ] as const) {
    const actions = { archive: { kind: "deliver", as: "maildir", path } } as const;
    await using local = localOn(disk(), { users, actions });
    assert.equal((await local.deliver(mailFor("archive", 1))).kind, says, path);
  }
});

test("a count of messages is a quota, too", async () => {
  const on = disk();
  assert.equal(await deliver(on, 1, { quotaMessages: 2 }), "delivered");
  assert.equal(await deliver(on, 2, { quotaMessages: 2 }), "delivered");
  assert.equal(await deliver(on, 3, { quotaMessages: 2 }), "temporary 4.2.2");
});

test("a file that says full is not believed when it is old, or when mails have come since it was counted", async () => {
  const full = "1500S\n        1400            3\n";
  const on = disk();
  on.write(SIZE, full);
  assert.equal(await deliver(on, 1, { quota: 1500 }), "temporary 4.2.2", "counted just now: believed");
  on.change(SIZE, { modifiedAt: NOON - 20 * 60_000 });
  assert.equal(await deliver(on, 1, { quota: 1500 }), "delivered");
  on.write(SIZE, `${full}${changeLine({ bytes: 50, messages: 1 })}`);
  assert.equal(await deliver(on, 2, { quota: 1500 }), "delivered");
});

test("a file for another quota, one that is too long and one that is broken are counted anew", async () => {
  for (const written of [
    "999S\n 5 5\n",
    "10240S\n 5 five\n",
    "10240S\n 5 5",
    `10240S\n${changeLine({ bytes: 9, messages: 1 }).repeat(400)}`,
    "10240S\n -5 1\n",
  ]) {
    const on = disk();
    on.write(SIZE, written);
    assert.equal(await deliver(on, 1, { quota: "10KiB" }), "delivered");
    const read = parseMaildirSize(on.read(SIZE) ?? "");
    assert.equal(read?.definition, "10240S");
    assert.equal(read?.usage.messages, 1, written.slice(0, 20));
  }
});

test("maildirsize is read as it is written, and no text breaks its reader", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.nat(),
      fc.array(fc.record({ bytes: fc.nat(), messages: fc.nat(9) })),
      (bytes, messages, changes) => {
        const quota = { bytes: bytes + 1, messages };
        const text = formatMaildirSize(quota, { bytes: 5, messages: 2 }) + changes.map(changeLine).join("");
        const read = parseMaildirSize(text);
        assert.equal(read?.definition, quotaDefinition(quota));
        assert.equal(read?.usage.bytes, 5 + changes.reduce((sum, change) => sum + change.bytes, 0));
        assert.equal(read?.changes, changes.length);
      },
    ),
  );
  fc.assert(fc.property(fc.string(), (text) => void parseMaildirSize(text)));
});

test("quotas of users are written as sizes, with a number of mails, or as Maildir++ has them", () => {
  assert.deepEqual(parseQuota("2MiB"), { bytes: 2_097_152, messages: 0 });
  assert.deepEqual(parseQuota("2MiB, 100"), { bytes: 2_097_152, messages: 100 });
  assert.deepEqual(parseQuota("1000S,50C"), { bytes: 1000, messages: 50 });
  for (const text of ["", "much", "1MiB,x", "1,2,3"]) assert.equal(parseQuota(text), undefined, text);
});

test("file names tell sizes and the trash flag", () => {
  assert.equal(sizeInName("1.x.host,S=123:2,S"), 123);
  assert.equal(sizeInName("1.x.host,S=123,W=130"), 123);
  assert.equal(sizeInName("1.x.host"), undefined);
  assert.ok(isTrashed("1.x:2,ST") && !isTrashed("1.T:2,S"));
});

test("an extension names a folder, where it is there", async () => {
  const on = disk();
  on.write("/mail/alice/Maildir/.Lists/.exists", "");
  await using local = localOn(on);
  const to = async (recipient: string, n: number): Promise<string> =>
    (await local.deliver(mailFor("maildir", n, { recipient }))).relay;
  assert.equal(await to("alice+lists@example.org", 1), "maildir:/mail/alice/Maildir/.Lists");
  assert.equal(await to("alice+others@example.org", 2), "maildir:/mail/alice/Maildir");
  assert.equal(await to("alice@example.org", 3), "maildir:/mail/alice/Maildir");
  await using creating = localOn(on, { settings: { folders: "create" } });
  assert.equal(
    (await creating.deliver(mailFor("maildir", 4, { recipient: "alice+a.b@example.org" }))).relay,
    "maildir:/mail/alice/Maildir/.a.b",
  );
  assert.ok(on.list("/mail/alice/Maildir/.a.b").includes("maildirfolder"));
  await using without = localOn(on, { settings: { folders: "off" } });
  assert.equal(
    (await without.deliver(mailFor("maildir", 5, { recipient: "alice+lists@example.org" }))).relay,
    "maildir:/mail/alice/Maildir",
  );
});

test("a folder's name is one step below the mailbox, in modified UTF-7, or none", () => {
  assert.equal(maildirFolder("lists"), ".lists");
  assert.equal(maildirFolder("entwürfe & mehr"), ".entw&APw-rfe &- mehr");
  assert.equal(maildirFolder("台北"), ".&U,BTFw-");
  for (const name of ["", "..", ".", "a/b", "../x", "a..b", ".a", "a.", "inbox", "INBOX.x", "a\0b", "x".repeat(300)])
    assert.equal(maildirFolder(name), undefined, name);
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const name = maildirFolder(text);
      assert.ok(name === undefined || (/^\.[^./][ -~]*$/.test(name) && !name.includes("/") && !name.includes("..")));
    }),
  );
});
