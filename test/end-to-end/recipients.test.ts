import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LAYOUTS, startServer } from "../server.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { smtpConnect } from "../smtp-client.ts";

/** What stands where a host keeps it. */
const ALIASES = `
postmaster: root
root: ann
team: jane, joe
all: team, ann, far@elsewhere.test
office: all
jane-alias: jane
real: \\joe
list: jane, joe, far@elsewhere.test
owner-list: ann
staff: :include:{folder}/lists/staff
archive: "{folder}/archive.mbox"
loop-a: loop-b
loop-b: loop-a
half: loop-a, joe
closed: :fail: we have moved
later: :defer: painting
hole: :blackhole:
both: ann, ann-maria
`;
const VIRTUAL = `
info@virtual.test: jane
sales@virtual.test: far@elsewhere.test, joe
@virtual.test: ann
`;

/** Address given, the mailboxes (and hosts) that get it; or the reply. */
const EXPECTED: readonly (readonly [string, readonly string[] | RegExp])[] = [
  ["jane@example.test", ["jane"]],
  ["Jane+news@example.test", ["jane"]],
  ["postmaster@example.test", ["ann"]],
  ["postmaster", ["ann"]],
  ["root@example.test", ["ann"]],
  ["team@example.test", ["jane", "joe"]],
  ["team+x@example.test", ["jane", "joe"]],
  ["all@example.test", ["ann", "far@elsewhere.test", "jane", "joe"]],
  ["office@example.test", ["ann", "far@elsewhere.test", "jane", "joe"]],
  ["real@example.test", ["joe"]],
  ["list@example.test", ["far@elsewhere.test", "jane", "joe"]],
  ["staff@example.test", ["ann", "joe"]],
  ["archive@example.test", ["file"]],
  ["loop-a@example.test", /^550 5\.4\.6 .*loop-a@example\.test.*loop-b@example\.test/],
  ["closed@example.test", /^550 5\.1\.1 we have moved/],
  ["later@example.test", /^450 4\.2\.0 painting/],
  ["hole@example.test", []],
  ["nobody@example.test", /^550 5\.1\.1 /],
  ["shop+de@example.test", ["shop+de"]],
  ["shop+fr@example.test", /^550 5\.1\.1 /],
  ["ann-maria@example.test", ["ann-maria"]],
  ["ann-x@example.test", ["ann"]],
  ["both@example.test", ["ann", "ann-maria"]],
  ["info@virtual.test", ["jane"]],
  ["sales+q1@virtual.test", ["far+q1@elsewhere.test", "joe"]],
  ["whoever@virtual.test", ["ann"]],
  ["kim@boxes.test", ["boxes.test/kim"]],
  ["kim-lee@boxes.test", ["boxes.test/kim-lee"]],
  ["lee@boxes.test", /^550 5\.1\.1 /],
  ["far@elsewhere.test", /^550 5\.7\.1 /],
];

for (const layout of LAYOUTS) {
  test(`${layout}: mail for each address is where aliases, lists, virtual domains and users say`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "posthorn-recipients-"));
    chmodSync(folder, 0o777);
    await using far = await startScriptedHost();
    try {
      mkdirSync(join(folder, "lists"));
      writeFileSync(join(folder, "lists", "staff"), "# people\nann\njoe\n");
      writeFileSync(join(folder, "aliases"), ALIASES.replaceAll("{folder}", folder));
      writeFileSync(join(folder, "virtual"), VIRTUAL);
      await using server = await startServer({
        layout,
        settings: `
local:
  domains: example.test
  users: table:people
  aliases: table:aliases
  extensionDelimiter: "+-"
  includeFolders: ${folder}/lists
  virtual:
    - { domains: virtual.test, aliases: table:virtual }
    - { domains: boxes.test, users: [kim@boxes.test, kim-lee@boxes.test], action: boxes }
accounts: table:people
tables:
  people: { map: { jane: "{PLAIN}x", joe: "{PLAIN}x", ann: "{PLAIN}x", ann-maria: "{PLAIN}x", shop+de: "{PLAIN}x" } }
  aliases: { aliases: ${folder}/aliases }
  virtual: { file: ${folder}/virtual }
actions:
  boxes: { deliver: maildir, path: "${folder}/boxes/{domain}/{user}" }
  relay: { relay: { to: "smtp://127.0.0.1:${far.port}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { from: auth }, action: relay }
`,
      });
      const client = await smtpConnect(server.ports.smtp);
      await client.reply();
      await client.say("EHLO client.test");
      let marks = 0;
      for (const [address, expected] of EXPECTED) {
        const mark = `mark-${++marks}.`;
        await client.say("MAIL FROM:<sam@sender.test>");
        const reply = await client.say(`RCPT TO:<${address}>`);
        if (expected instanceof RegExp) {
          assert.match(reply, expected, address);
          await client.say("RSET");
          continue;
        }
        assert.match(reply, /^250 /, address);
        await client.say("DATA");
        assert.match(await client.say(`Subject: ${mark}\r\n\r\n${address}\r\n.`), /^250 /, address);
      }
      const found = (mark: string): readonly string[] => [
        ...["jane", "joe", "ann", "ann-maria", "shop+de"].flatMap((user) =>
          server
            .mailsOf(user)
            .filter((mail) => mail.includes(`Subject: ${mark}`))
            .map(() => user),
        ),
        ...far.mails
          .filter(({ content }) => content.includes(`Subject: ${mark}`))
          .flatMap(({ recipients }) => recipients),
        ...boxed(join(folder, "boxes"), mark),
        ...(existsSync(join(folder, "archive.mbox")) &&
        readFileSync(join(folder, "archive.mbox"), "utf8").includes(mark)
          ? ["file"]
          : []),
      ];
      for (const [at, [address, expected]] of EXPECTED.entries()) {
        if (expected instanceof RegExp) continue;
        const mark = `mark-${at + 1}.`;
        for (let tries = 0; tries < 100 && found(mark).length < expected.length; tries++)
          await new Promise((resolve) => setTimeout(resolve, 50));
        assert.deepEqual([...found(mark)].sort(), [...expected].sort(), `${address}\n${server.output().slice(-3000)}`);
      }
      // The list's owner is the sender of what went to its members, in the log as well.
      const listMail = far.mails.find(
        ({ recipients, mail }) =>
          recipients.includes("far@elsewhere.test") && mail.includes("<owner-list@example.test>"),
      );
      assert.ok(listMail !== undefined, far.mails.map(({ mail }) => mail).join(" "));
      await server.waitForOutput(
        /expand: <office@example\.test> is 4 targets: <office@example\.test> by [^ ]*aliases:\d+: all; /,
      );
      await server.waitForOutput(/orig_to=<office@example\.test>/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

function boxed(folder: string, mark: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((domain) =>
    readdirSync(join(folder, domain)).flatMap((user) =>
      ["new", "cur"].flatMap((part) => {
        const at = join(folder, domain, user, part);
        if (!existsSync(at)) return [];
        return readdirSync(at)
          .filter((file) => readFileSync(join(at, file), "utf8").includes(`Subject: ${mark}`))
          .map(() => `${domain}/${user}`);
      }),
    ),
  );
}
