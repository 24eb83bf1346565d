import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { LocalOutcome } from "../../mail/delivery/delivery.ts";
import { Directories } from "../../mail/delivery/mailbox/directories.ts";
import { mailFs } from "../../mail/delivery/mailbox/mail-fs.io.ts";
import { Intents } from "../../mail/delivery/mailbox/mbox-intent.ts";
import { mailFor } from "../../testing/local-mail.ts";
import { ALICE, BOB, mailToTarget, skipUnlessRoot, usersMachine } from "../../testing/users-machine.ts";

const asRoot = { skip: skipUnlessRoot };

function failureOf(outcome: LocalOutcome): string {
  if (outcome.kind !== "failed") assert.fail(`it was ${outcome.kind}`);
  const { lasting, status, cause } = outcome.failure;
  return `${lasting} ${status} ${"text" in cause ? cause.text : cause.kind}`;
}

function deliveredTo(outcome: LocalOutcome): string {
  if (outcome.kind !== "delivered") assert.fail(outcome.kind === "failed" ? failureOf(outcome) : outcome.kind);
  return outcome.relay;
}

async function until(holds: () => boolean): Promise<void> {
  for (const untilAt = performance.now() + 60_000; !holds();) {
    assert.ok(performance.now() < untilAt, "it does not come about");
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function give(path: string, uid: number, content?: string, mode = 0o600): void {
  if (content !== undefined) writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  chownSync(path, uid, uid);
}

test(
  "mail is written as the recipient: everything that is made in the home belongs to that user alone",
  asRoot,
  async () => {
    await using machine = await usersMachine();
    const home = machine.homeOf("alice");
    assert.equal(deliveredTo(await machine.deliver(mailFor("deliver"))), `maildir:${home}/Maildir`);
    const [name = ""] = readdirSync(join(home, "Maildir/new"));
    for (const path of ["Maildir", "Maildir/tmp", "Maildir/new", "Maildir/cur", `Maildir/new/${name}`]) {
      const { uid, gid, mode } = statSync(join(home, path));
      assert.deepEqual([uid, gid, mode & 0o077], [ALICE, ALICE, 0], path);
    }
  },
);

test("many users at once each get their own mail, in their own files", asRoot, async () => {
  await using machine = await usersMachine();
  const users = Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? ("alice" as const) : ("bob" as const)));
  const outcomes = await Promise.all(
    users.map((user, n) => machine.deliver(mailFor("deliver", n, { recipient: `${user}@example.org` }))),
  );
  assert.deepEqual(new Set(outcomes.map((outcome) => outcome.kind)), new Set(["delivered"]));
  for (const [user, uid] of [
    ["alice", ALICE],
    ["bob", BOB],
  ] as const) {
    const folder = join(machine.homeOf(user), "Maildir/new");
    const names = readdirSync(folder);
    assert.equal(names.length, 20);
    assert.ok(names.every((name) => statSync(join(folder, name)).uid === uid));
  }
});

test("a user's links lead no delivery to a place that the user could not write to", asRoot, async () => {
  await using machine = await usersMachine();
  const home = machine.homeOf("alice");
  const secret = join(machine.directory, "root-only");
  mkdirSync(secret, { mode: 0o700 });
  for (const part of ["tmp", "new", "cur"]) mkdirSync(join(secret, part));
  // The mailbox itself, and a folder of it.
  symlinkSync(secret, join(home, "Maildir"));
  assert.match(failureOf(await machine.deliver(mailFor("deliver", 1))), /^temporary 4\.3\.5/);
  rmSync(join(home, "Maildir"));
  mkdirSync(join(home, "Maildir"));
  give(join(home, "Maildir"), ALICE, undefined, 0o700);
  symlinkSync(join(secret, "tmp"), join(home, "Maildir/tmp"));
  assert.match(failureOf(await machine.deliver(mailFor("deliver", 2))), /^temporary 4\.3\.5/);
  for (const part of ["tmp", "new", "cur"]) assert.deepEqual(readdirSync(join(secret, part)), []);
});

test("where others may write to the home, what they put in the mailbox's place gets nothing", asRoot, async () => {
  await using machine = await usersMachine();
  const home = machine.homeOf("alice");
  chmodSync(home, 0o777);
  mkdirSync(join(home, "Maildir"), { mode: 0o777 });
  give(join(home, "Maildir"), BOB, undefined, 0o777);
  assert.match(failureOf(await machine.deliver(mailFor("deliver", 1))), /belongs to somebody else/);
  rmSync(join(home, "Maildir"), { recursive: true });
  mkdirSync(join(machine.homeOf("bob"), "trap"));
  give(join(machine.homeOf("bob"), "trap"), BOB, undefined, 0o777);
  symlinkSync(join(machine.homeOf("bob"), "trap"), join(home, "Maildir"));
  lchownSync(join(home, "Maildir"), BOB, BOB);
  assert.match(failureOf(await machine.deliver(mailFor("deliver", 2))), /symbolic link/);
  assert.deepEqual(readdirSync(join(machine.homeOf("bob"), "trap")), []);
});

test("a user who swaps directories for links all the time gets mail in the own files only", asRoot, async () => {
  await using machine = await usersMachine();
  const home = machine.homeOf("alice");
  const secret = join(machine.directory, "secret");
  for (const part of ["", "tmp", "new", "cur"]) mkdirSync(join(secret, part), { mode: 0o700 });
  assert.equal((await machine.deliver(mailFor("deliver", 100))).kind, "delivered");
  const swap = { isOver: false };
  const swapping = (async () => {
    for (let turn = 0; !swap.isOver; turn++) {
      try {
        rmSync(join(home, "Maildir/new"), { recursive: true, force: true });
        if (turn % 2 === 0) symlinkSync(join(secret, "new"), join(home, "Maildir/new"));
      } catch {
        // A delivery was quicker and has made the directory anew, or put a mail into it.
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  for (let n = 0; n < 60; n++) await machine.deliver(mailFor("deliver", n));
  swap.isOver = true;
  await swapping;
  assert.deepEqual(readdirSync(join(secret, "new")), []);
});

test("root's mail is never delivered as root", asRoot, async () => {
  await using machine = await usersMachine();
  const outcome = await machine.deliver(mailFor("deliver", 1, { recipient: "root@example.org" }));
  assert.match(failureOf(outcome), /^temporary 4\.3\.5/);
  assert.ok(!existsSync(join(userInfo().homedir, "Maildir")));
  const file = join(machine.directory, "state", "by-root");
  const command = await machine.deliver(
    mailToTarget({ kind: "command", command: `id -u > ${file}; id -un`, user: "root" }, 2),
  );
  assert.ok(!existsSync(file), "nobody may not write there");
  assert.ok(command.kind === "delivered" && command.taker === "command");
});

test("who is not in the directory of users is told so for good", asRoot, async () => {
  await using machine = await usersMachine();
  const outcome = await machine.deliver(mailFor("deliver", 1, { recipient: "carol@example.org" }));
  assert.match(failureOf(outcome), /^permanent 5\.1\.1 carol/);
});

test("a .forward sends the mail on; an empty one does not", asRoot, async () => {
  await using machine = await usersMachine();
  const home = machine.homeOf("alice");
  give(join(home, ".forward"), ALICE, '\\alice, jane@example.net\n"|/usr/bin/vacation alice"\n/home/alice/copy\n');
  const outcome = await machine.deliver(mailFor("deliver"));
  assert.ok(outcome.kind === "forwarded");
  assert.equal(outcome.relay, `forward:${home}/.forward`);
  assert.equal(outcome.user, "alice");
  assert.deepEqual(outcome.targets, [
    { kind: "address", address: "alice", isFinal: true },
    { kind: "address", address: "jane@example.net", isFinal: false },
    { kind: "command", command: "/usr/bin/vacation alice" },
    { kind: "file", path: "/home/alice/copy" },
  ]);
  assert.ok(!existsSync(join(home, "Maildir")));
  const own = await machine.deliver(mailToTarget({ kind: "user", user: "alice", isFinal: true }, 2));
  assert.equal(deliveredTo(own), `maildir:${home}/Maildir`);
  give(join(home, ".forward"), ALICE, "\n# only a remark\n");
  assert.equal(deliveredTo(await machine.deliver(mailFor("deliver", 3))), `maildir:${home}/Maildir`);
});

test("an extension has a .forward of its own, and without it the user's counts", asRoot, async () => {
  await using machine = await usersMachine();
  const home = machine.homeOf("alice");
  give(join(home, ".forward"), ALICE, "one@example.net\n");
  give(join(home, ".forward+lists"), ALICE, "two@example.net\n");
  const targetOf = async (recipient: string, n: number): Promise<unknown> => {
    const outcome = await machine.deliver(mailFor("deliver", n, { recipient }));
    return outcome.kind === "forwarded" && outcome.targets;
  };
  const one = [{ kind: "address", address: "one@example.net", isFinal: false }];
  assert.deepEqual(await targetOf("alice@example.org", 1), one);
  assert.deepEqual(await targetOf("alice+other@example.org", 2), one);
  assert.deepEqual(await targetOf("alice+lists@example.org", 3), [
    { kind: "address", address: "two@example.net", isFinal: false },
  ]);
  // What a sender writes there may be too long for a file's name.
  assert.deepEqual(await targetOf(`alice+${"%".repeat(100)}@example.org`, 4), one);
});

for (const [what, spoil, says] of [
  [
    "that others may write to",
    (path: string) => give(path, ALICE, "x@example.net\n", 0o666),
    /writable by group or others/,
  ],
  ["of somebody else", (path: string) => give(path, BOB, "x@example.net\n", 0o644), /belongs to somebody else/],
  ["that is a link to root's file", (path: string) => symlinkSync("/etc/shadow", path), /symbolic link/],
  ["that is a directory", (path: string) => mkdirSync(path), /not a regular file/],
  ["that is too large", (path: string) => give(path, ALICE, "x@example.net\n".repeat(10_000)), /larger than 64 KiB/],
  ["with an error in it", (path: string) => give(path, ALICE, "good@example.net\n|\n"), /\.forward:2: /],
  [
    "in a home that others may write to",
    (path: string) => {
      give(path, ALICE, "x@example.net\n");
      chmodSync(join(path, ".."), 0o777);
    },
    /its directory is writable/,
  ],
] as const) {
  test(`a .forward ${what} puts the mail off and says why`, asRoot, async () => {
    await using machine = await usersMachine();
    spoil(join(machine.homeOf("alice"), ".forward"));
    const outcome = await machine.deliver(mailFor("deliver"));
    assert.match(failureOf(outcome), says);
    assert.match(failureOf(outcome), /^temporary 4\.3\.5 .*\.forward/);
    assert.ok(!existsSync(join(machine.homeOf("alice"), "Maildir")));
    assert.match(machine.told.join("\n"), /the \.forward of alice cannot be used: .*\.forward/);
  });
}

test("a command runs as the user, with the user's groups and nothing of ours", asRoot, async () => {
  await using machine = await usersMachine();
  const home = machine.homeOf("alice");
  const target = {
    kind: "command",
    command: "id > id; env > env; cat > mail; grep Cap /proc/self/status > caps; pwd > pwd; ls -l /proc/self/fd > fds",
    user: "alice",
  } as const;
  const outcome = await machine.deliver(
    mailToTarget(target, 1, { recipient: "alice+news@example.org", sender: "a;$(touch x)`'\"@example.net" }),
  );
  assert.match(deliveredTo(outcome), /^command:id > id/);
  const read = (name: string): string => readFileSync(join(home, name), "utf8");
  assert.equal(read("id"), `uid=${ALICE} gid=${ALICE} groups=${ALICE}\n`);
  assert.equal(read("pwd"), `${home}\n`);
  assert.match(read("caps"), /CapPrm:\s0{16}\nCapEff:\s0{16}/);
  const environment = Object.fromEntries(
    read("env")
      .trim()
      .split("\n")
      .map((line) => line.split("=", 2)),
  );
  delete environment["_"];
  delete environment["PWD"];
  delete environment["OLDPWD"];
  delete environment["SHLVL"];
  assert.deepEqual(environment, {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: home,
    SHELL: "/bin/sh",
    USER: "alice",
    LOGNAME: "alice",
    SENDER: "a___touch_x____@example.net",
    RECIPIENT: "alice+news@example.org",
    ORIGINAL_RECIPIENT: "alice+news@example.org",
    LOCAL: "alice+news",
    EXTENSION: "news",
    DOMAIN: "example.org",
    CLIENT_PROTOCOL: "ESMTP",
    QUEUE_ID: "06A7Q2MK0W1",
    ENVELOPE_ID: "06A7Q2MK0W1.1",
  });
  assert.match(
    read("mail"),
    /^From .*\nReturn-Path: <.*>\nDelivered-To: alice\+news@example\.org\nSubject: mail 1\n\nFrom here to there\nthe end of 1\n$/,
  );
  assert.equal(lstatSync(join(home, "mail")).mode & 0o777, 0o600);
  // Nothing of the queue, and no connection of ours besides its standard input, output and errors.
  const open = read("fds")
    .split("\n")
    .filter((line) => / ([3-9]|\d\d+) -> (socket|.*\/state)/.test(line));
  assert.deepEqual(open, []);
  assert.equal(process.geteuid?.(), 0, "we are ourselves again");
});

test("a command of an alias runs as the default user", asRoot, async () => {
  await using machine = await usersMachine();
  const out = join(machine.homeOf("bob"), "out");
  mkdirSync(out);
  chmodSync(machine.homeOf("bob"), 0o755);
  chmodSync(out, 0o777);
  const outcome = await machine.deliver(mailToTarget({ kind: "command", command: `id -un > ${out}/who`, user: "" }));
  assert.equal(outcome.kind, "delivered");
  assert.equal(readFileSync(join(out, "who"), "utf8"), "nobody\n");
});

test(
  "what a command takes beyond its deadline it pays with its life, and all that it started with it",
  asRoot,
  async () => {
    await using machine = await usersMachine("command: { deadline: 3s }\n");
    const home = machine.homeOf("alice");
    const startedAt = performance.now();
    const outcome = await machine.deliver(
      mailToTarget({
        kind: "command",
        command: "echo before; sleep 77 & echo $! > child; trap '' TERM; wait; sleep 77",
        user: "alice",
      }),
    );
    assert.match(
      failureOf(outcome),
      /^temporary 4\.3\.0 command took longer than 3s and was ended. Command output: before/,
    );
    // Less than the command itself would take.
    assert.ok(performance.now() - startedAt < 70_000);
    const child = Number(readFileSync(join(home, "child"), "utf8"));
    await until(() => isGone(child));
  },
);

test("a command that hangs holds up nobody else", asRoot, async () => {
  await using machine = await usersMachine("command: { deadline: 2m, perUser: 1, concurrency: 2 }\n");
  const ended: string[] = [];
  const run = async (user: string, command: string, n: number): Promise<string> => {
    const outcome = await machine.deliver(mailToTarget({ kind: "command", command, user }, n));
    ended.push(user);
    return outcome.kind === "failed" ? failureOf(outcome) : outcome.kind;
  };
  // The second waits for the first, and takes no place of bob's.
  const hanging = [run("alice", "until test -e go; do sleep 0.05; done", 1), run("alice", "true", 2)];
  assert.equal(await run("bob", "cat > got", 3), "delivered");
  assert.deepEqual(ended, ["bob"]);
  give(join(machine.homeOf("alice"), "go"), ALICE, "");
  assert.deepEqual(await Promise.all(hanging), ["delivered", "delivered"]);
});

test("of a flood of output the beginning is kept", asRoot, async () => {
  await using machine = await usersMachine();
  const outcome = await machine.deliver(
    mailToTarget({ kind: "command", command: "head -c 50000000 /dev/zero | tr '\\0' x; exit 69", user: "alice" }),
  );
  const failure = failureOf(outcome);
  assert.match(failure, /^permanent 5\.3\.0 service unavailable. Command output: x+$/);
  assert.equal(failure.match(/x+$/)?.[0].length, 4096);
});

test("an action gives all mail to a program, after the user's .forward", asRoot, async () => {
  await using machine = await usersMachine(`actions:
  deliver: { deliver: command, command: 'cat > "mail-for-{user}-{extension}"' }
`);
  const home = machine.homeOf("alice");
  const mail = mailFor("deliver", 1, { recipient: '"alice+a;touch ruin"@example.org' });
  assert.equal((await machine.deliver(mail)).kind, "delivered");
  assert.deepEqual(readdirSync(home), ["mail-for-alice-a_touch_ruin"]);
  give(join(home, ".forward"), ALICE, "x@example.net\n");
  assert.equal((await machine.deliver(mailFor("deliver", 2))).kind, "forwarded");
});

test("a file of the user's gets mail as an mbox; what is not the user's to write does not", asRoot, async () => {
  await using machine = await usersMachine();
  const copy = join(machine.homeOf("alice"), "copy");
  const toFile = (path: string, n: number): Promise<LocalOutcome> =>
    machine.deliver(mailToTarget({ kind: "file", path, user: "alice" }, n));
  assert.equal(deliveredTo(await toFile(copy, 1)), `file:${copy}`);
  assert.equal(deliveredTo(await toFile(copy, 2)), `file:${copy}`);
  assert.equal(readFileSync(copy, "utf8").split(/^From bob@/m).length, 3);
  assert.equal(statSync(copy).uid, ALICE);
  assert.match(failureOf(await toFile(join(machine.homeOf("bob"), "x"), 3)), /^temporary 4\.3\.5/);
  assert.match(failureOf(await toFile("/etc/passwd", 4)), /^temporary 4\.3\.5/);
  // Another name of root's file, where the system lets users make one.
  const target = join(machine.directory, "roots");
  writeFileSync(target, "root's\n");
  linkSync(target, join(machine.homeOf("alice"), "link"));
  assert.match(failureOf(await toFile(join(machine.homeOf("alice"), "link"), 5)), /^temporary 4\.3\.5/);
  assert.equal(readFileSync(target, "utf8"), "root's\n");
  assert.equal(deliveredTo(await toFile("/dev/null", 6)), "discard");
  const maildir = join(machine.homeOf("alice"), "box");
  assert.equal(deliveredTo(await toFile(`${maildir}/`, 7)), `maildir:${maildir}`);
});

test("a file in a directory of root's, or beside locks that somebody planted, gets its mail", asRoot, async () => {
  await using machine = await usersMachine();
  // As /var/log is: the file is the user's to write to, the directory is not.
  const closed = join(machine.directory, "closed");
  mkdirSync(closed, { mode: 0o711 });
  give(join(closed, "archive"), ALICE, "");
  const toFile = (path: string, n: number): Promise<LocalOutcome> =>
    machine.deliver(mailToTarget({ kind: "file", path, user: "alice" }, n));
  assert.equal(deliveredTo(await toFile(join(closed, "archive"), 1)), `file:${closed}/archive`);
  // As /tmp is: who may not remove a file of another's must not be held up by it.
  const sticky = join(machine.directory, "sticky");
  mkdirSync(sticky);
  chmodSync(sticky, 0o1777);
  give(join(sticky, "x.lock.posthorn-4194000.1"), BOB, "");
  assert.equal(deliveredTo(await toFile(join(sticky, "alice"), 2)), `file:${sticky}/alice`);
});

test("the group of mboxes helps in the system's directory, not wherever a user's link leads", asRoot, async () => {
  await using machine = await usersMachine(
    "mailbox: { user: recipient, group: mail, mbox: '{home}/mail/inbox' }\nactions: { box: { deliver: mbox } }\n",
  );
  const spool = join(machine.directory, "spool");
  mkdirSync(spool);
  chownSync(spool, 0, Number(execFileSync("getent", ["group", "mail"], { encoding: "utf8" }).split(":")[2]));
  chmodSync(spool, 0o2775);
  symlinkSync(spool, join(machine.homeOf("alice"), "mail"));
  assert.match(failureOf(await machine.deliver(mailFor("box", 1))), /^temporary 4\.3\.5 .*EACCES/);
  assert.deepEqual(readdirSync(spool), []);
});

test("a quota holds with many deliveries at once, and its file says what is there", asRoot, async () => {
  await using machine = await usersMachine("", ":10KiB");
  const text = `Subject: x\r\n\r\n${"y".repeat(900)}\r\n`;
  const outcomes = await Promise.all(
    Array.from({ length: 30 }, (_, n) => machine.deliver(mailFor("deliver", n, { text }))),
  );
  const maildir = join(machine.homeOf("alice"), "Maildir");
  const names = readdirSync(join(maildir, "new"));
  const bytes = names.reduce((sum, name) => sum + statSync(join(maildir, "new", name)).size, 0);
  assert.ok(bytes <= 10_240 && bytes > 9000, String(bytes));
  assert.equal(outcomes.filter((outcome) => outcome.kind === "delivered").length, names.length);
  assert.match(
    failureOf(outcomes.find((outcome) => outcome.kind === "failed") ?? assert.fail("none failed")),
    /^temporary 4\.2\.2/,
  );
  assert.deepEqual(readdirSync(join(maildir, "tmp")), []);
  assert.ok(names.every((name) => name.endsWith(`,S=${statSync(join(maildir, "new", name)).size}`)));
  const [definition, ...changes] = readFileSync(join(maildir, "maildirsize"), "utf8").trim().split("\n");
  assert.equal(definition, "10240S");
  assert.equal(
    changes.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[0]), 0),
    bytes,
  );
});

test("a home that hangs holds up nobody else, and more mail for it is put off at once", asRoot, async () => {
  await using machine = await usersMachine("mailbox: { user: recipient, stuck-after: 4s, processes: 1 }\n");
  // A lock that is never given back stands for a file server that does not answer.
  const mbox = join(machine.homeOf("alice"), "held");
  give(mbox, ALICE, "");
  give(`${mbox}.lock`, ALICE, `${process.pid}\n`);
  const hanging = machine.deliver(mailToTarget({ kind: "file", path: mbox, user: "alice" }, 1));
  await until(() => machine.told.some((line) => line.includes("delivery for alice hangs")));
  let isHanging = true;
  void hanging.then(() => (isHanging = false));
  assert.match(failureOf(await machine.deliver(mailFor("deliver", 2))), /an earlier delivery for this user hangs/);
  const other = await machine.deliver(mailFor("deliver", 3, { recipient: "bob@example.org" }));
  deliveredTo(other);
  assert.ok(isHanging, "nobody waited for what hangs");
  rmSync(`${mbox}.lock`);
  deliveredTo(await hanging);
  // On a slow machine the next delivery may be as slow as one that hangs, too.
  let again = await machine.deliver(mailFor("deliver", 4));
  for (let tries = 0; again.kind === "failed" && tries < 5; tries++)
    again = await machine.deliver(mailFor("deliver", 4));
  deliveredTo(again);
});

test(
  "a process that ends in the middle loses nothing: its mail is put off, and the next one delivers",
  asRoot,
  async () => {
    await using machine = await usersMachine();
    const mbox = join(machine.homeOf("alice"), "held");
    give(mbox, ALICE, "");
    give(`${mbox}.lock`, ALICE, `${process.pid}\n`);
    const toFile = (): Promise<LocalOutcome> =>
      machine.deliver(mailToTarget({ kind: "file", path: mbox, user: "alice" }, 1));
    const cut = toFile();
    // The mail is written down before the lock is waited for.
    const notes = join(machine.directory, "state/users", String(ALICE));
    await until(() => existsSync(notes) && readdirSync(notes).some((name) => name.endsWith(".draft")));
    for (const [, pid] of machine.told.join("\n").matchAll(/started delivery agent (\d+)/g))
      process.kill(Number(pid), "SIGKILL");
    assert.match(failureOf(await cut), /^temporary 4\.3\.0 the process that delivered it ended: SIGKILL/);
    assert.match(machine.told.join("\n"), /delivery agent \d+ ended: SIGKILL; 1 envelopes are tried again/);
    rmSync(`${mbox}.lock`);
    // The end of another that was killed may not have been heard of yet.
    let again = await toFile();
    for (let tries = 0; again.kind === "failed" && tries < 3; tries++) again = await toFile();
    assert.equal(deliveredTo(again), `file:${mbox}`);
    assert.equal(readFileSync(mbox, "utf8").split(/^From bob@/m).length, 2);
  },
);

test("what a crash left in a user's mbox is taken out at the next start, with that user's rights", asRoot, async () => {
  let mbox = "";
  await using machine = await usersMachine("", "", async ({ directory, homeOf }) => {
    const notes = join(directory, "state/users", String(ALICE));
    mbox = join(homeOf("alice"), "inbox");
    const intents = new Intents(mailFs, new Directories(mailFs), notes);
    const content = (async function* () {
      yield Buffer.from("From x Sat Nov 21 12:00:00 2026\nSubject: torn\n\nhello\n\n");
    })();
    const before = "From y Sat Nov 21 11:00:00 2026\n\nearlier\n\n";
    const bytes = before.length;
    const intent = await intents.commit(await intents.draft("E1.1", content), {
      kind: "append",
      path: mbox,
      envelope: "E1.1",
      startBytes: bytes,
      endBytes: bytes,
    });
    await intent.file.close();
    give(mbox, ALICE, `${before}From x Sat Nov 21 12:00:00 2026\nSubj`);
    for (const name of readdirSync(notes)) give(join(notes, name), ALICE);
    give(notes, ALICE, undefined, 0o700);
  });
  await until(() => !readFileSync(mbox, "utf8").includes("Subj"));
  assert.equal(readFileSync(mbox, "utf8"), "From y Sat Nov 21 11:00:00 2026\n\nearlier\n\n");
  await until(() => machine.told.some((line) => line.includes("recovered")));
});
