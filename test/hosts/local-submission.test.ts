/** Users of this host: posthorn as their sendmail, with the server there and without. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, ROOT, startServer, type TestServer } from "../server.ts";
import { smtpConnect, type TestClient } from "../smtp-client.ts";

/** Nobody's in any passwd, so that these tests are about nobody who is there. */
const JOE = 60_101;
const EVE = 60_102;

const settings = (layout: string, more = ""): string => `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 1 }
listeners: [{ name: smtp, address: 127.0.0.1, port: {smtp} }]
local: { domains: [posthorn.test] }
${more}`;

/** `sendmail` as a user of this host. */
function sendmail(
  server: TestServer,
  uid: number,
  argv: readonly string[],
  input: string,
): { status: number; text: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, "bin", "posthorn.js"), "send", "--file", join(server.folder, "posthorn.yaml"), ...argv],
    { input, uid, gid: uid, encoding: "utf8", cwd: "/", env: { PATH: process.env["PATH"] ?? "" }, timeout: 60_000 },
  );
  return { status: status ?? -1, text: stdout + stderr };
}

const MAIL = "Subject: hello\n\nhello\n";

for (const layout of LAYOUTS)
  test(`${layout}: users hand in mail as who they are, and while the server is down it waits for it`, async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("needs root");
      return;
    }
    const folder = mkdtempSync(join(tmpdir(), "posthorn-local-"));
    const drop = join(folder, "data", "drop");
    const wholeSettings = settings(layout);
    try {
      {
        await using server = await startServer({ layout, folder, wholeSettings });
        const sent = sendmail(server, JOE, ["-f", "joe@posthorn.test", "ada@posthorn.test"], MAIL);
        assert.deepEqual(sent, { status: 0, text: "" });
        const [mail = ""] = await server.waitForMails("ada", 1);
        assert.match(mail, /^Received: from mx\.posthorn\.test \(local user uid-60101\)\n\tby .* with ESMTPA id /m);
        await server.waitForOutput(/sasl_method=PEERCRED, sasl_username=uid-60101$/m);
        // What a client says of itself does not count, and it cannot say it.
        const client = await smtpConnect(join(folder, "data", "run", "submit.sock"));
        assert.match(await client.reply(), /^220 /);
        assert.doesNotMatch(await client.say("EHLO me"), /AUTH|STARTTLS|XCLIENT|XFORWARD/);
        assert.match(await client.say("AUTH PLAIN AGpvZQBqb2U="), /^50[23] /);
        assert.match(await client.say("XCLIENT LOGIN=joe"), /^5/);
        client.close();
        await server.waitForOutput(/disconnect from/);
      }
      assert.equal(existsSync(join(folder, "data", "run", "submit.sock")), false);

      const down = { folder } as TestServer;
      assert.deepEqual(sendmail(down, JOE, ["ada@posthorn.test"], "Subject: later\n\nlater\n"), {
        status: 0,
        text: "",
      });
      assert.deepEqual(sendmail(down, EVE, ["-t"], "To: nobody@elsewhere.invalid\nSubject: eve\n\neve\n"), {
        status: 0,
        text: "",
      });
      const [first = ""] = readdirSync(drop).filter(
        (name) => name.endsWith(".mail") && statSync(join(drop, name)).uid === JOE,
      );
      // What a process of a life before had taken in hand, whose number another one has now.
      const claimed = join(drop, "taken", `${process.pid}.${"c".repeat(32)}.mail`);
      writeFileSync(
        claimed,
        '{"posthorn":1,"sender":"joe@posthorn.test","recipients":["carl@posthorn.test"]}\nSubject: claimed\n\n',
      );
      chownSync(claimed, JOE, JOE);
      // Whoever tries to speak as somebody else, or to make the server read or wait for what is not his.
      const secret = join(folder, "secret");
      writeFileSync(
        secret,
        '{"posthorn":1,"sender":"root@posthorn.test","recipients":["ada@posthorn.test"]}\nSubject: stolen\n\n',
      );
      symlinkSync(secret, join(drop, `${"s".repeat(32)}.mail`));
      linkSync(secret, join(drop, `${"h".repeat(32)}.mail`));
      spawnSync("mkfifo", [join(drop, `${"f".repeat(32)}.mail`)]);
      writeFileSync(join(drop, `${"g".repeat(32)}.mail`), "garbage");
      chownSync(join(drop, `${"g".repeat(32)}.mail`), EVE, EVE);
      const asOther = (script: string): number =>
        spawnSync("sh", ["-c", script], { uid: EVE, gid: EVE, cwd: drop }).status ?? -1;
      assert.notEqual(asOther("ls"), 0, "nobody may look");
      assert.notEqual(asOther(`rm -f '${first}'; ! test -e '${first}'`), 0, "nobody may take away what is another's");

      await using server = await startServer({ layout, folder, wholeSettings });
      const mails = await server.waitForMails("ada", 2);
      assert.ok(mails.some((mail) => mail.includes("Subject: later")));
      await server.waitForMails("carl", 1);
      await server.waitForOutput(/s{32}\.mail: uid=\?: it is no regular file/);
      await server.waitForOutput(/h{32}\.mail: uid=0: it has another name elsewhere/);
      await server.waitForOutput(/f{32}\.mail: uid=(\?|0): it is no regular file/);
      await server.waitForOutput(/g{32}\.mail: uid=60102: expected a line of JSON/);
      const [back = ""] = await server.waitForMails("uid-60102", 1);
      assert.match(back, /Subject: Your mail was not sent/);
      assert.ok(back.includes(Buffer.from("garbage").toString("base64")));
      await server.waitForOutput(/uid=60101 account=uid-60101, nrcpt=1/);
      // All is taken, and nothing of what was linked to has gone.
      for (let tries = 0; tries < 1200 && readdirSync(join(drop, "taken")).length > 0; tries++) await wait(50);
      assert.deepEqual(readdirSync(drop).toSorted(), ["refused", "taken"]);
      assert.deepEqual(readdirSync(join(drop, "refused")), []);
      assert.deepEqual(readdirSync(join(drop, "taken")), []);
      assert.equal(existsSync(secret), true);
      assert.equal(
        mails.some((mail) => mail.includes("stolen")),
        false,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

for (const layout of LAYOUTS)
  test(`${layout}: a dropped mail that a filter holds up does not hold up a stop, and is not lost by it`, async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("needs root");
      return;
    }
    const folder = mkdtempSync(join(tmpdir(), "posthorn-local-"));
    // It takes the mail and says nothing.
    const asked = Promise.withResolvers<void>();
    const scanner = createServer((socket) => {
      socket.on("error", () => {});
      socket.resume();
      asked.resolve();
    });
    await new Promise<void>((done) => scanner.listen(0, "127.0.0.1", done));
    t.after(() => {
      scanner.close();
      rmSync(folder, { recursive: true, force: true });
    });
    const { port } = scanner.address() as AddressInfo;
    const drop = join(folder, "data", "drop");
    await (await startServer({ layout, folder, wholeSettings: settings(layout) })).stop();
    assert.equal(sendmail({ folder } as TestServer, JOE, ["ada@posthorn.test"], MAIL).status, 0);
    const filtered = `filters: { scan: { clamd: { servers: "127.0.0.1:${port}" } } }\nfiltered-by: [scan]\n`;
    // One process, so that it is the one that the client is with.
    const wholeSettings = settings(layout, filtered).replace("ingress: 2", "ingress: 1");
    {
      const server = await startServer({ layout, folder, wholeSettings });
      const client = await smtpConnect(server.ports.smtp, 20_000);
      assert.match(await client.reply(), /^220 /);
      await asked.promise;
      server.process.kill("SIGTERM");
      assert.match(await client.reply(), /^421 /);
      client.close();
      await server.kill();
    }
    assert.equal(readdirSync(join(drop, "taken")).length + readdirSync(drop).length, 3);
    await using server = await startServer({ layout, folder, wholeSettings: settings(layout) });
    await server.waitForMails("ada", 1);
  });

for (const layout of LAYOUTS)
  test(`${layout}: a reload opens, moves and closes the socket, and mail that nobody takes in is told`, async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("needs root");
      return;
    }
    const folder = mkdtempSync(join(tmpdir(), "posthorn-local-"));
    const [drop, run] = [join(folder, "data", "drop"), join(folder, "data", "run")];
    const [usual, other] = [join(run, "submit.sock"), join(run, "other.sock")];
    const which = (): readonly boolean[] => [usual, other].map((path) => existsSync(path));
    const off = settings(layout, "local-submission: { enabled: false }");
    try {
      await (await startServer({ layout, folder, wholeSettings: settings(layout) })).stop();
      assert.equal(sendmail({ folder } as TestServer, JOE, ["ada@posthorn.test"], MAIL).status, 0);
      await using server = await startServer({ layout, folder, wholeSettings: off });
      const reload = async (wholeSettings: string): Promise<{ status: number; text: string }> => {
        server.rewrite({ wholeSettings });
        const { status, stdout, stderr } = await server.posthorn("reload");
        return { status, text: stdout + stderr };
      };
      await server.waitForOutput(/1 mails of users wait in .*drop and are not taken in/);
      assert.deepEqual(which(), [false, false]);

      assert.equal((await reload(settings(layout))).status, 0);
      assert.deepEqual(which(), [true, false]);
      await server.waitForMails("ada", 1);
      assert.equal(sendmail(server, JOE, ["ada@posthorn.test"], MAIL).status, 0);
      await server.waitForMails("ada", 2);

      assert.equal((await reload(settings(layout, `local-submission: { path: ${other} }`))).status, 0);
      assert.deepEqual(which(), [false, true]);
      assert.equal(sendmail(server, JOE, ["ada@posthorn.test"], MAIL).status, 0);
      await server.waitForMails("ada", 3);
      const wrong = await reload(
        settings(layout, `local-submission: { path: ${join(folder, "posthorn.yaml", "no.sock")} }`),
      );
      assert.notEqual(wrong.status, 0);
      assert.match(wrong.text, /posthorn\.yaml\/no\.sock/);
      assert.deepEqual(which(), [false, true]);

      // What came while the socket was there is all in; the folder is looked into no more.
      assert.equal((await reload(off)).status, 0);
      assert.deepEqual(which(), [false, false]);
      assert.deepEqual(readdirSync(drop).toSorted(), ["refused", "taken"]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

test("where users may only send as themselves another sender is refused, and a mail refused later comes back", async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip("needs root");
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "posthorn-local-"));
  const wholeSettings = settings("single", "local-submission: { sender-rights: {}, drop-size: 50KiB }");
  try {
    {
      await using server = await startServer({ folder, wholeSettings });
      const other = sendmail(server, JOE, ["-f", "ada@posthorn.test", "bob@posthorn.test"], MAIL);
      assert.equal(other.status, 67);
      assert.match(other.text, /553 5\.7\.1 <ada@posthorn\.test>: Sender address refused: not owned by uid-60101/);
      assert.equal(sendmail(server, JOE, ["-f", "uid-60101@posthorn.test", "bob@posthorn.test"], MAIL).status, 0);
      // Root may.
      assert.equal(sendmail(server, 0, ["-f", "ada@posthorn.test", "bob@posthorn.test"], MAIL).status, 0);
    }
    const down = { folder } as TestServer;
    assert.equal(sendmail(down, JOE, ["-f", "ada@posthorn.test", "bob@posthorn.test"], MAIL).status, 0);
    const large = `Subject: large\n\n${"x".repeat(60_000)}\n`;
    const warned = sendmail(down, JOE, ["-f", "uid-60101@posthorn.test", "bob@posthorn.test"], large);
    assert.equal(warned.status, 75);
    assert.match(warned.text, /cannot wait in .*drop: it is larger than 51200 bytes/);
    // As one that was left before the setting was made smaller.
    const before = join(folder, "data", "drop", `${"l".repeat(32)}.mail`);
    writeFileSync(
      before,
      `{"posthorn":1,"sender":"uid-60101@posthorn.test","recipients":["bob@posthorn.test"]}\n${large}`,
    );
    chownSync(before, JOE, JOE);
    await using server = await startServer({ folder, wholeSettings });
    const [notice = ""] = await server.waitForMails("ada", 1);
    assert.match(notice, /Subject: Your mail was not sent/);
    assert.match(notice, /not owned by uid-60101/);
    assert.match(notice, /^Return-Path: <>/m);
    const [back = ""] = await server.waitForMails("uid-60101", 1);
    assert.match(back, /larger than 51200 bytes/);
    assert.match(back, /It was for bob@posthorn\.test/);
    assert.match(back, /Subject: large/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

for (const layout of LAYOUTS)
  test(`${layout}: one user cannot take all connections, and what sendmail then brings waits`, async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("needs root");
      return;
    }
    await using server = await startServer({
      layout,
      wholeSettings: settings(layout, "local-submission: { connections-per-user: 3 }"),
    });
    const path = join(server.folder, "data", "run", "submit.sock");
    const hold = async (): Promise<TestClient> => {
      const client = await smtpConnect(path);
      assert.match(await client.reply(), /^220 /);
      return client;
    };
    const held = await Promise.all([hold(), hold(), hold()]);
    // Whichever process would have got it.
    for (let tries = 0; tries < 3; tries++) {
      const refused = await smtpConnect(path);
      assert.match(await refused.reply(), /^421 4\.7\.0 /);
      refused.close();
    }
    assert.equal(sendmail(server, JOE, ["-f", "joe@posthorn.test", "ada@posthorn.test"], MAIL).status, 0);
    await server.waitForMails("ada", 1);
    // Its user has as many as he may.
    assert.deepEqual(sendmail(server, 0, ["carl@posthorn.test"], MAIL), { status: 0, text: "" });
    await server.waitForMails("carl", 1);
    // Those that have gone count no more.
    for (const client of held) client.close();
    for (let untilAt = Date.now() + 20_000; ;) {
      const client = await smtpConnect(path);
      const said = await client.reply();
      client.close();
      if (said.startsWith("220 ")) break;
      assert.ok(Date.now() < untilAt, said);
      await wait(50);
    }
  });
