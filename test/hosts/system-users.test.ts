import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

const ANN = 60_011;
const TEAM = 60_012;

test("users of the system: known by the system's files, with all their groups, and an mbox in /var/mail", async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip("needs root");
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "posthorn-system-"));
  chmodSync(folder, 0o755);
  const home = join(folder, "ann");
  const mail = join(folder, "mail");
  mkdirSync(home, { mode: 0o700 });
  chownSync(home, ANN, ANN);
  mkdirSync(mail);
  const mailGroup = Number(/^mail:[^:]*:(\d+):/m.exec(readFileSync("/etc/group", "utf8"))?.[1]);
  chownSync(mail, 0, mailGroup);
  chmodSync(mail, 0o2775);
  writeFileSync(join(folder, "passwd"), `${readFileSync("/etc/passwd", "utf8")}ann:x:${ANN}:${ANN}::${home}:/bin/sh\n`);
  const groups = `ann:x:${ANN}:\nteam:x:${TEAM}:ann\n`;
  writeFileSync(join(folder, "group"), `${readFileSync("/etc/group", "utf8")}${groups}`);
  for (const name of ["passwd", "group"]) chmodSync(join(folder, name), 0o644);
  // In a namespace of its own, so that the machine's files stay as they are.
  const enter = `mount --bind ${folder}/passwd /etc/passwd; mount --bind ${folder}/group /etc/group; mount --bind ${mail} /var/mail; exec "$@"`;
  try {
    await using server = await startServer({
      wrapper: ["unshare", "--mount", "--propagation", "private", "sh", "-ec", enter, "enter"],
      settings: `local: { users: system, domains: [posthorn.test] }
mailbox: { group: mail }
actions: { deliver: { deliver: mbox } }
`,
    });
    const send = (to: string): Promise<string> =>
      sendMail(server.ports.smtp, { from: "bob@posthorn.test", to, content: `Subject: for ${to}\n\nhello` });
    const until = async (holds: () => boolean): Promise<void> => {
      for (const untilAt = Date.now() + 60_000; !holds(); await wait(50))
        assert.ok(Date.now() < untilAt, server.output().slice(-5000));
    };
    assert.match(await send("carol@posthorn.test"), /^550 5\.1\.1/);
    assert.match(await send("Ann@posthorn.test"), /^250/);
    await until(() => existsSync(join(mail, "ann")) && statSync(join(mail, "ann")).size > 0);
    const box = statSync(join(mail, "ann"));
    assert.deepEqual([box.uid, box.gid, box.mode & 0o777], [ANN, mailGroup, 0o600]);

    writeFileSync(join(home, ".forward"), "|id > groups\n");
    chownSync(join(home, ".forward"), ANN, ANN);
    assert.match(await send("ann@posthorn.test"), /^250/);
    await until(() => existsSync(join(home, "groups")) && statSync(join(home, "groups")).size > 0);
    assert.equal(
      readFileSync(join(home, "groups"), "utf8"),
      `uid=${ANN}(ann) gid=${ANN}(ann) groups=${ANN}(ann),${TEAM}(team)\n`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
