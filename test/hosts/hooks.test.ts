import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { LAYOUTS, startServer } from "../server.ts";
import { smtpConnect, type TestClient } from "../smtp-client.ts";

const LOCAL = "local: { domains: [example.test], users: [joe, ann] }\n";

/** A folder that the server's workers may read; the modules in it may be changed while it runs. */
function modules(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-hooks-"));
  chmodSync(folder, 0o755);
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, code] of Object.entries(files)) writeFileSync(join(folder, name), code);
  return folder;
}

async function greeted(port: number): Promise<TestClient> {
  const client = await smtpConnect(port);
  await client.reply();
  assert.match(await client.say("EHLO client.test"), /^250/);
  return client;
}

/** The reply to the end of a mail; or what came instead of it. */
async function send(client: TestClient, subject: string, to = "joe@example.test"): Promise<string> {
  assert.match(await client.say("MAIL FROM:<a@client.test>"), /^250/);
  const taken = await client.say(`RCPT TO:<${to}>`);
  if (!taken.startsWith("250")) {
    await client.say("RSET");
    return taken;
  }
  assert.match(await client.say("DATA"), /^354/);
  return client.say(`Subject: ${subject}\r\n\r\nHello.\r\n.`);
}

const HOOKS = `
import { addHeader, addRecipient, chooseAction, defer, defineHooks, discard, quarantine, reject, tag } from "posthorn";
import { word } from "./word.ts";
export default defineHooks({
  onHelo: ({ name }) => (name === "bad.test" ? reject("Not you") : tag("greeted")),
  async onRcpt({ recipient }) {
    if (recipient.startsWith("ann")) return defer(450, "4.2.0", "Ann is out");
    Promise.reject(new Error("nobody waits for this"));
    return undefined;
  },
  async onMessage(mail) {
    switch (mail.subject) {
      case "refuse": return reject(554, "5.6.0", \`\${(await mail.text()).length} letters are too many\`);
      case "throw": throw new Error("a fault in the hook");
      case "away": return discard();
      case "odd": return quarantine("looks odd");
      case "hang": return new Promise(() => {});
      default: return [addHeader("X-Hook", word), addHeader("X-Tags", mail.session.tags.join())];
    }
  },
});
`;

for (const layout of LAYOUTS) {
  test(
    `hooks in a module refuse, change and keep back mail, and their faults cost no mail (${layout})`,
    { timeout: 240_000 },
    async (t) => {
      const folder = modules(t, { "hooks.ts": HOOKS, "word.ts": `export const word: string = "one";` });
      const filters = (more: string): string =>
        `${LOCAL}filters: { mine: { module: "${join(folder, "hooks.ts")}", message-timeout: 1s${more} } }\nfiltered-by: [mine]\n`;
      await using server = await startServer({ layout, settings: filters(""), readyWithinMs: 90_000 });
      const client = await greeted(server.ports.smtp);
      assert.match(await send(client, "plain"), /^250/);
      const [mail = ""] = await server.waitForMails("joe", 1);
      assert.match(mail, /^X-Hook: one\r?$/m);
      assert.match(mail, /^X-Tags: greeted\r?$/m);
      await server.waitForOutput(/filter mine: failed behind its answer: nobody waits for this \(hooks\.ts:\d+:/);

      assert.equal(await send(client, "refuse"), "554 5.6.0 8 letters are too many");
      assert.match(await send(client, "plain", "ann@example.test"), /^450 4\.2\.0 Ann is out/);
      assert.match(await send(client, "throw"), /^451 4\.7\.1/);
      await server.waitForOutput(/onMessage of .*hooks\.ts threw: a fault in the hook \(hooks\.ts:\d+/);
      assert.match(await send(client, "hang"), /^451 4\.7\.1/);
      assert.match(await send(client, "away"), /^250/);
      assert.match(await send(client, "odd"), /^250/);
      const bad = await smtpConnect(server.ports.smtp);
      await bad.reply();
      assert.match(await bad.say("EHLO bad.test"), /^550 5\.7\.1 Not you/);
      bad.close();

      // A fault lets mail pass where the settings say so; the module is read anew, with what it imports.
      writeFileSync(join(folder, "word.ts"), `export const word: string = "another";`);
      server.rewrite({ settings: filters(", on-failure: accept") });
      assert.equal((await server.posthorn("reload")).status, 0);
      const later = await greeted(server.ports.smtp);
      assert.match(await send(later, "throw"), /^250/);
      assert.match(await send(later, "plain"), /^250/);
      const mails = await server.waitForMails("joe", 3);
      assert.ok(mails.some((one) => /^X-Hook: another\r?$/m.test(one)));

      // One that cannot be loaded is refused, and the old one goes on.
      writeFileSync(join(folder, "hooks.ts"), "export default {");
      assert.notEqual((await server.posthorn("reload")).status, 0);
      assert.match(await send(await greeted(server.ports.smtp), "plain"), /^250/);
      client.close();
      later.close();
    },
  );

  test(
    `an endless loop in a thread of hooks is ended, and others go on (${layout})`,
    { timeout: 240_000 },
    async (t) => {
      const folder = modules(t, {
        "loop.ts": `
        import { addHeader, defineHooks } from "posthorn";
        export default defineHooks({
          onMessage(mail) {
            if (mail.subject === "loop") for (;;);
            return addHeader("X-Thread", "yes");
          },
        });`,
      });
      await using server = await startServer({ layout, settings: LOCAL, readyWithinMs: 90_000 });
      // Threads are a right that a worker has from its start: reload gives it to those that come.
      server.rewrite({
        settings: `${LOCAL}filters: { mine: { module: { file: "${join(folder, "loop.ts")}", worker: true, stuck-after: 500ms } } }\nfiltered-by: [mine]\n`,
      });
      assert.equal((await server.posthorn("reload")).status, 0);
      const [one, two] = [await greeted(server.ports.smtp), await greeted(server.ports.smtp)];
      const looping = send(one, "loop");
      assert.match(await send(two, "plain", "ann@example.test"), /^(?:250|451)/);
      assert.match(await looping, /^451 4\.7\.1/);
      await server.waitForOutput(/filter mine: its thread has ended: it is stuck/);
      assert.match(await send(one, "again"), /^250/);
      assert.match((await server.waitForMails("joe", 1))[0] ?? "", /^X-Thread: yes\r?$/m);
      one.close();
      two.close();
    },
  );
}

const IN_LINE = `
import { addHeader, defineConfig, defineHooks, reject } from "posthorn";
export default defineConfig({
  hostname: "mx.posthorn.test", state: "./data", user: "nobody", processes: { layout: "split", ingress: 2, egress: 2 },
  listeners: [{ name: "smtp", address: "127.0.0.1", port: {smtp} }],
  local: { domains: ["example.test"], users: ["joe"] },
  filters: {
    mine: {
      hooks: defineHooks({
        onMail: ({ sender }) => (sender === "bad@client.test" ? reject("Not you") : undefined),
        onMessage: ({ subject }) => addHeader("X-In-Line", subject),
      }),
    },
  },
  filteredBy: ["mine"],
});
`;

test("hooks in line in posthorn.config.ts run in the processes that receive mail", { timeout: 240_000 }, async () => {
  await using server = await startServer({
    layout: "split",
    settingsFile: "posthorn.config.ts",
    wholeSettings: IN_LINE,
    readyWithinMs: 90_000,
  });
  const client = await greeted(server.ports.smtp);
  assert.match(await client.say("MAIL FROM:<bad@client.test>"), /^550 5\.7\.1 Not you/);
  assert.match(await send(client, "hello"), /^250/);
  const [mail = ""] = await server.waitForMails("joe", 1);
  assert.match(mail, /^X-In-Line: hello\r?$/m);
  client.close();
});
