import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { PosthornError } from "../../../foundation/error.ts";
import { emitNothing } from "../../../foundation/events.ts";
import { tryFfi } from "../../../foundation/ffi/ffi.io.ts";
import { mailFor } from "../../../testing/local-mail.ts";
import type { LocalDelivery } from "../delivery.ts";
import { RunningCommands } from "../command/running-commands.ts";
import { commandSettings } from "../command/settings.ts";
import { createLocalDelivery } from "./local-delivery.io.ts";
import { Directories } from "./directories.ts";
import { mailFs } from "./mail-fs.io.ts";
import { MboxLocks } from "./mbox-lock.ts";
import { mailboxSettings } from "./settings.ts";

const hasPython = spawnSync("python3", ["--version"]).status === 0;
const withPython = { skip: hasPython ? false : "python3 is missing" };
const withBoth = tryFfi() instanceof PosthornError ? { skip: "koffi is missing" } : withPython;

interface Place extends Disposable {
  readonly directory: string;
  readonly mbox: string;
  readonly maildir: string;
  deliver: LocalDelivery["deliver"];
}

function place(settings: Parameters<typeof mailboxSettings.parse>[0] = {}): Place {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-mailbox-"));
  const local = createLocalDelivery({
    clock: systemClock,
    emit: emitNothing,
    running: new RunningCommands(systemClock),
    settings: mailboxSettings.parse(settings),
    actions: (name) => (name === "mbox" || name === "maildir" ? { kind: "deliver", as: name } : undefined),
    openBody: async (body) =>
      (async function* () {
        if (body.kind === "inline") yield body.bytes;
      })(),
    command: commandSettings.parse({}),
    system: { find: async () => ({ kind: "none" }) },
    defaultUser: "nobody",
    user: "server",
    forward: [],
    mayInclude: false,
    stateDirectory: directory,
    hostname: "mail.example.org",
    extensionDelimiter: "+",
  });
  mkdirSync(join(directory, "mail/alice"), { recursive: true });
  return {
    directory,
    mbox: join(directory, "mail/alice/mbox"),
    maildir: join(directory, "mail/alice/Maildir"),
    deliver: (request) => local.deliver(request),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

function python(program: string, ...argv: string[]): string {
  const run = spawnSync("python3", ["-c", program, ...argv], { encoding: "utf8" });
  assert.equal(run.stderr, "");
  return run.stdout;
}

test("files that lie among the folders of a mailbox with a quota are no mail, and hold none up", async () => {
  using on = place({ quota: "10KiB" });
  mkdirSync(join(on.maildir, ".lists/cur"), { recursive: true });
  writeFileSync(join(on.maildir, ".lists/cur/1.x.host,S=1000:2,S"), "");
  writeFileSync(join(on.maildir, ".dovecot.sieve"), "keep;\n");
  symlinkSync(join(on.maildir, ".dovecot.sieve"), join(on.maildir, ".sieve"));
  symlinkSync("nowhere", join(on.maildir, ".gone"));
  symlinkSync(".loop", join(on.maildir, ".loop"));
  const outcome = await on.deliver(mailFor("maildir"));
  assert.equal(outcome.kind, "delivered");
  assert.match(readFileSync(join(on.maildir, "maildirsize"), "utf8"), /^10240S\n *1000 +1\n/);
});

/** A python that has done something to the mailbox, holds it, and lets go when told. */
async function holder(program: string, path: string): Promise<{ child: ChildProcess; letGo: () => Promise<void> }> {
  const child = spawn(
    "python3",
    [
      "-c",
      `import sys, fcntl, mailbox\npath = sys.argv[1]\n${program}\nprint("held", flush=True)\nsys.stdin.readline()\n`,
      path,
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  await once(child.stdout, "data");
  return {
    child,
    letGo: async () => {
      const exited = once(child, "exit");
      child.stdin.end("\n");
      await exited;
    },
  };
}

test("python's mailbox module reads what was put into a Maildir", withPython, async () => {
  using here = place();
  assert.equal((await here.deliver(mailFor("maildir", 1, { sender: "" }))).kind, "delivered");
  assert.equal((await here.deliver(mailFor("maildir", 2))).kind, "delivered");
  const read = python(
    `import mailbox, sys
for m in sorted(mailbox.Maildir(sys.argv[1], create=False), key=lambda m: m["Subject"]): print(m["Return-Path"], m["Delivered-To"], m["Subject"], repr(m.get_payload()), m.get_subdir())`,
    here.maildir,
  );
  assert.equal(
    read,
    "<> alice@example.org mail 1 'From here to there\\nthe end of 1\\n' new\n" +
      "<bob@example.net> alice@example.org mail 2 'From here to there\\nthe end of 2\\n' new\n",
  );
});

test("python's mailbox module reads what was put into an mbox, between mails of its own", withBoth, async () => {
  using here = place();
  const add = `import mailbox, sys
box = mailbox.mbox(sys.argv[1]); box.lock(); box.add("Subject: python's\\n\\nhello\\n"); box.flush(); box.unlock(); box.close()`;
  python(add, here.mbox);
  for (const n of [1, 2])
    assert.equal((await here.deliver(mailFor("mbox", n, { sender: n === 1 ? "" : "b@c" }))).kind, "delivered");
  python(add, here.mbox);
  const read = python(
    `import mailbox, sys
for m in mailbox.mbox(sys.argv[1], create=False): print(m.get_from().split(" ")[0], m["Subject"], repr(m.get_payload()))`,
    here.mbox,
  );
  assert.equal(
    read,
    "MAILER-DAEMON python's 'hello\\n'\n" +
      "MAILER-DAEMON mail 1 '>From here to there\\nthe end of 1\\n'\n" +
      "b@c mail 2 '>From here to there\\nthe end of 2\\n'\n" +
      "MAILER-DAEMON python's 'hello\\n'\n",
  );
});

test("mailboxes are for their owner's eyes only", async () => {
  using here = place({ locks: "dot-lock" });
  await here.deliver(mailFor("maildir", 1, { recipient: "new@example.org" }));
  await here.deliver(mailFor("mbox", 2, { recipient: "new@example.org" }));
  const home = join(here.directory, "mail/new");
  const modes = [home, join(home, "Maildir"), join(home, "Maildir/new"), join(home, "mbox")].map(
    (path) => statSync(path).mode & 0o777,
  );
  assert.deepEqual(modes, [0o700, 0o700, 0o700, 0o600]);
  const [name] = readdirSync(join(home, "Maildir/new"));
  assert.equal(statSync(join(home, "Maildir/new", name ?? "")).mode & 0o777, 0o600);
});

for (const [what, program] of [
  ["fcntl (lockf)", 'f = open(path, "r+"); fcntl.lockf(f, fcntl.LOCK_EX)'],
  ["python's mbox.lock()", "box = mailbox.mbox(path); box.lock()"],
  ["a dot-lock with its process id", 'import os; open(path + ".lock", "x").write(str(os.getpid()))'],
  ["a dot-lock as procmail makes it", 'open(path + ".lock", "x").write("0")'],
] as const) {
  test(`an mbox held by ${what} is left alone until it is let go`, withBoth, async () => {
    using here = place({ lockDeadline: "1s" });
    writeFileSync(here.mbox, "");
    const held = await holder(program, here.mbox);
    const outcome = await here.deliver(mailFor("mbox", 1));
    assert.equal(
      outcome.kind === "failed" && outcome.failure.cause.kind === "mailbox" && outcome.failure.cause.reason,
      "locked",
    );
    assert.equal(readFileSync(here.mbox, "utf8"), "");
    const waiting = here.deliver(mailFor("mbox", 1));
    await held.letGo();
    rmSync(`${here.mbox}.lock`, { force: true });
    assert.equal((await waiting).kind, "delivered");
    assert.match(readFileSync(here.mbox, "utf8"), /the end of 1\n\n$/);
    assert.ok(!existsSync(`${here.mbox}.lock`));
  });
}

test("while we write, python can have neither lock", withBoth, async () => {
  using here = place();
  const locks = new MboxLocks({
    fs: mailFs,
    directories: new Directories(mailFs),
    clock: systemClock,
    emit: emitNothing,
    settings: mailboxSettings.parse({}),
    leaving: new AbortController().signal,
  });
  const locked = await locks.acquire(here.mbox, true);
  const trying = `
import fcntl, sys, os
f = open(sys.argv[1], "r+")
try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print("lockf taken")
except OSError: print("lockf refused")
try: open(sys.argv[1] + ".lock", "x"); print("dot-lock taken")
except FileExistsError: print("dot-lock refused")
`;
  assert.equal(python(trying, here.mbox), "lockf refused\ndot-lock refused\n");
  // Another open file of our own process that is closed must not lose the lock.
  readFileSync(here.mbox);
  assert.match(python(trying, here.mbox), /^lockf refused/);
  await locked?.release();
  assert.equal(python(trying, here.mbox), "lockf taken\ndot-lock taken\n");
});

test("a dot-lock left by a process that was killed is broken", withBoth, async () => {
  using here = place({ lockDeadline: "2s" });
  const held = await holder('import os; open(path + ".lock", "x").write(str(os.getpid()) + "\\n")', here.mbox);
  const exited = once(held.child, "exit");
  held.child.kill("SIGKILL");
  await exited;
  assert.equal((await here.deliver(mailFor("mbox", 1))).kind, "delivered");
});

test("a symbolic link in an mbox's place, or a pipe, gets nothing", withPython, async () => {
  using here = place({ locks: "dot-lock", lockDeadline: "1s" });
  const target = join(here.directory, "target");
  writeFileSync(target, "untouched");
  symlinkSync(target, here.mbox);
  assert.equal((await here.deliver(mailFor("mbox", 1))).kind, "failed");
  assert.equal(readFileSync(target, "utf8"), "untouched");
  rmSync(here.mbox);
  assert.equal(spawnSync("mkfifo", [here.mbox]).status, 0);
  assert.equal((await here.deliver(mailFor("mbox", 2))).kind, "failed");
});

test("a recipient cannot choose a directory", async () => {
  using here = place();
  assert.equal(
    (await here.deliver(mailFor("maildir", 1, { recipient: '"../../../escape"@example.org' }))).kind,
    "delivered",
  );
  assert.deepEqual(readdirSync(here.directory).sort(), ["mail"]);
  assert.ok(existsSync(join(here.directory, "mail", "%2E.%2F..%2F..%2Fescape", "Maildir")));
});
