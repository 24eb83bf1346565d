import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../processes.ts";
import { LAYOUTS, ROOT, startServer, type TestServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

const EXAMPLE = join(ROOT, "docs", "examples", "opensmtpd-filter.py");

/** The answer to the end of a mail in a session of its own. */
async function send(port: number, subject: string): Promise<string> {
  const client = await smtpConnect(port);
  await client.reply();
  await client.say("EHLO client.test");
  await client.say("MAIL FROM:<a@client.test>");
  await client.say("RCPT TO:<joe@example.test>");
  await client.say("DATA");
  const answer = await client.say(`Subject: ${subject}\r\n\r\n..one dot\r\ntext\r\n.`);
  client.close();
  return answer;
}

/** One for each process that receives mail, as soon as that has had a session. */
function programsOf(server: TestServer): readonly number[] {
  return treeOf(server.process.pid ?? 0)
    .filter(({ pid }) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("opensmtpd-filter.py");
      } catch {
        return false;
      }
    })
    .map(({ pid }) => pid);
}

for (const layout of LAYOUTS)
  test(`a program says what it thinks of mail, dies, and no mail is lost or passes unseen (${layout})`, async () => {
    await using server = await startServer({
      layout,
      settings: `
local: { domains: [example.test], users: [joe] }
filters:
  subjects: { process: ["${EXAMPLE}", "cheap watches"] }
  no-spam: { builtin: { phase: [helo, ehlo], match: { helo: "/^spam/" }, action: { reject: "550 5.7.1 not you" } } }
  incoming: { chain: [no-spam, subjects] }
filteredBy: [incoming]
`,
    });
    const { smtp } = server.ports;
    assert.match(await send(smtp, "hello"), /^250 /, server.output());
    const [mail = ""] = await server.waitForMails("joe", 1);
    assert.match(mail, /^X-Came-From: .*\r?\nSubject: hello\r?\n\r?\n\.one dot\r?\ntext\r?\n/m);
    assert.match(await send(smtp, "CHEAP WATCHES now"), /^550 5\.7\.1 nobody wants cheap watches/);

    const greedy = await smtpConnect(smtp);
    await greedy.reply();
    assert.match(await greedy.say("EHLO spam.example"), /^550 5\.7\.1 not you/);
    greedy.close();

    const receivers = layout === "split" ? 2 : 1;
    for (let tries = 0; programsOf(server).length < receivers; tries++) {
      assert.ok(tries < 100, "not each process that receives has its program");
      assert.match(await send(smtp, "cheap watches"), /^550 /);
    }
    for (const pid of programsOf(server)) process.kill(pid, "SIGKILL");
    await server.waitForOutput(/subjects: .*opensmtpd-filter\.py was ended by SIGKILL; it may be started again in/);
    assert.match(await send(smtp, "while it rests"), /^451 4\.\d\.\d /);
    const until = Date.now() + 60_000;
    for (let answer = ""; !answer.startsWith("250 ");) {
      assert.ok(Date.now() < until, `${answer}\n${server.output().slice(-3000)}`);
      await wait(200);
      answer = await send(smtp, "again");
    }
    assert.match((await server.waitForMails("joe", 2)).join(), /Subject: again/);
    assert.equal(server.mailsOf("joe").length, 2);
    assert.equal(await server.stop(), 0);
    assert.deepEqual(programsOf(server), []);
  });

/** Does not end when nobody speaks with it any more, and writes down which process it is. */
const STUBBORN = `#!/bin/sh
trap "" TERM
echo $$ > "$1"
echo "register|filter|smtp-in|mail-from"
echo "register|ready"
while IFS="|" read -r kind version at subsystem phase session token rest; do
  if [ "$kind" = filter ]; then echo "filter-result|$session|$token|proceed"; fi
done
exec sleep 300
`;

test("a program of settings that are gone ends with the server, though it does not want to", async () => {
  await using server = await startServer({
    layout: "single",
    settings: "local: { domains: [example.test], users: [joe] }\n",
  });
  const program = join(server.folder, "stubborn.sh");
  const note = join(server.folder, "stubborn.pid");
  writeFileSync(program, STUBBORN);
  chmodSync(program, 0o755);
  const local = "local: { domains: [example.test], users: [joe] }";
  server.rewrite({
    settings: `${local}\nfilters: { stubborn: { process: ["${program}", "${note}"] } }\nfilteredBy: [stubborn]\n`,
  });
  assert.equal((await server.posthorn("reload")).status, 0, server.output());
  const client = await smtpConnect(server.ports.smtp);
  await client.reply();
  await client.say("EHLO client.test");
  assert.match(await client.say("MAIL FROM:<a@client.test>"), /^250 /);
  const pid = Number(readFileSync(note, "utf8"));
  assert.ok(existsSync(`/proc/${pid}`));
  server.rewrite({ settings: `${local}\n` });
  assert.equal((await server.posthorn("reload")).status, 0, server.output());
  assert.match(await client.say("RSET"), /^250 /);
  assert.equal(await server.stop(), 0);
  try {
    assert.equal(existsSync(`/proc/${pid}`), false, "the program is there without its server");
  } finally {
    if (existsSync(`/proc/${pid}`)) process.kill(pid, "SIGKILL");
    client.close();
  }
});
