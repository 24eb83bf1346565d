import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

const ALICE = 60_001;
const BOB = 60_002;

async function until(what: () => string, holds: () => boolean, withinMs = 60_000): Promise<void> {
  const untilAt = Date.now() + withinMs;
  while (!holds()) {
    assert.ok(Date.now() < untilAt, what());
    await wait(50);
  }
}

function newMails(home: string): readonly string[] {
  const folder = join(home, "Maildir/new");
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

test("split, started by root: aliases, a .forward, commands and mailboxes, each as the user whom it concerns", async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip("needs root");
    return;
  }
  const homes = mkdtempSync(join(tmpdir(), "posthorn-homes-"));
  chmodSync(homes, 0o755);
  const [alice, bob, open] = ["alice", "bob", "open"].map((name) => join(homes, name)) as [string, string, string];
  for (const [home, uid] of [
    [alice, ALICE],
    [bob, BOB],
  ] as const) {
    mkdirSync(home, { mode: 0o700 });
    chownSync(home, uid, uid);
  }
  mkdirSync(open);
  chmodSync(open, 0o777);
  writeFileSync(join(bob, ".forward"), `\\bob, "|id -un > who; id -u > ${open}/bobs; env > names; cat > got"\n`);
  chownSync(join(bob, ".forward"), BOB, BOB);
  try {
    await using server = await startServer({
      layout: "split",
      settings: `tables:
  people: { map: { alice: "${ALICE}:${ALICE}:${alice}", bob: "${BOB}:${BOB}:${bob}", mallory: "0:0:/root" } }
  aliases: { map: { team: "alice, bob", program: "|id -un > ${open}/who; exit 67", postmaster: alice } }
local: { users: table:people, aliases: table:aliases, default-user: daemon }
mailbox: { user: recipient }
`,
    });
    const send = async (to: string): Promise<string> =>
      sendMail(server.ports.smtp, { from: "alice@localhost", to, content: `Subject: for ${to}\n\nhello` });
    const said = (): string => server.output().slice(-6000);
    assert.match(await send("team@localhost"), /^250 /);
    await until(said, () => newMails(alice).length === 1 && newMails(bob).length === 1 && existsSync(`${open}/bobs`));
    for (const [home, uid] of [
      [alice, ALICE],
      [bob, BOB],
    ] as const)
      assert.equal(statSync(newMails(home)[0] ?? "").uid, uid);
    await until(said, () => existsSync(join(bob, "got")) && readFileSync(join(bob, "got"), "utf8").includes("hello"));
    assert.equal(readFileSync(`${open}/bobs`, "utf8"), `${BOB}\n`);
    // A user that has no name to be shown by id(1) is shown by number; the file is the user's.
    assert.equal(statSync(join(bob, "got")).uid, BOB);
    // Nothing of how we run reaches it; the shell adds where it is.
    const found = readFileSync(join(bob, "names"), "utf8").matchAll(/^(\w+)=/gm);
    const names = new Set([...found].map(([, name = ""]) => name));
    for (const ofTheShell of ["PWD", "OLDPWD", "_", "SHLVL"]) names.delete(ofTheShell);
    const given =
      "CLIENT_ADDRESS CLIENT_HELO CLIENT_HOSTNAME CLIENT_PROTOCOL DOMAIN ENVELOPE_ID EXTENSION HOME LOCAL " +
      "LOGNAME ORIGINAL_RECIPIENT PATH QUEUE_ID RECIPIENT SENDER SHELL USER";
    assert.deepEqual(names, new Set(given.split(" ")));

    // The alias's command is daemon's, and what it says of the mail comes back to the sender.
    assert.match(await send("program@localhost"), /^250 /);
    await until(said, () => newMails(alice).length === 2);
    assert.equal(readFileSync(`${open}/who`, "utf8"), "daemon\n");
    const bounce = newMails(alice)
      .map((path) => readFileSync(path, "utf8"))
      .find((mail) => mail.includes("multipart/report"));
    assert.match(bounce ?? "", /user unknown/);
    assert.match(bounce ?? "", /Status: 5\.1\.1/);

    // Nobody is root here, whatever a table says.
    assert.match(await send("mallory@localhost"), /^250 /);
    await server.waitForOutput(/to=<mallory@localhost>.*status=deferred/);
    assert.ok(!existsSync(join(userInfo().homedir, "Maildir")));
    const delivery = server.workers().get("delivery") ?? 0;
    const [real, effective] =
      /^Uid:\s*(\d+)\s+(\d+)/m.exec(readFileSync(`/proc/${delivery}/status`, "latin1"))?.slice(1) ?? [];
    assert.equal(real, "0");
    assert.notEqual(effective, "0", "between users the delivery process is the server's own user");
    assert.equal(await server.stop(), 0);
    assert.doesNotMatch(server.output(), /ERR_ACCESS_DENIED|delivery agent .* ended/);
  } finally {
    rmSync(homes, { recursive: true, force: true });
  }
});
