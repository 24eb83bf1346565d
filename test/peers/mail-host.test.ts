/**
 * A host as Debian's postfix serves it (users with .forward files, /etc/aliases, virtual domains, lists) and as Posthorn does
 * from the same files: each of more than sixty addresses must end in the same places.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startScriptedHost, type ScriptedHost } from "../scripted-host.ts";
import { startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";
import { startPostfix } from "./postfix.ts";
import { hasPeer } from "./running.ts";

const USERS = Array.from({ length: 15 }, (_, n) => ({ name: `u${n + 1}`, uid: 3001 + n }));

/** `HOST` is the folder of the host it is for. */
const FORWARDS: Readonly<Record<string, string>> = {
  "u1/.forward": "",
  "u2/.forward": "\\u2, far2@elsewhere.test\n",
  "u3/.forward": "u1\n",
  "u4/.forward": "u4, u5\n",
  "u6/.forward": '"|cat >> HOST/out/u6"\n',
  "u7/.forward": "HOST/home/u7/saved\n",
  "u8/.forward": "u9@example.test\n",
  "u9/.forward": "u8@example.test\n",
  "u10/.forward": "# the team\nteam\n",
  "u11/.forward+lists": "far11@elsewhere.test\n",
  "u15/.forward": "team, far15@elsewhere.test, \\u15\n",
};

const ALIASES = `
postmaster: root
root: u1
mailer-daemon: postmaster
team: u1, u5
all: team, u12, far@elsewhere.test
office: all
dup: u1, u1, U1, team
u13: u13, u5
u14: u5
real14: \\u14
chain1: chain2
chain2: chain3
chain3: u12
loop-a: loop-b
loop-b: loop-a
half: loop-a, u5
staff: :include:HOST/lists/staff
filter: "|cat >> HOST/out/filter"
archive: HOST/out/archive
list: u5, far@elsewhere.test
owner-list: u12
quoted: "|cat >> 'HOST/out/quoted'", u12
remote: far@elsewhere.test
tovirtual: info@virtual.test
forwarder: u15
many: u1, u2,
  u5, u12
gone: nobody-here, u5
mixed: Team
`;

const VIRTUAL = `
info@virtual.test u1
sales@virtual.test far@elsewhere.test, u5@example.test
u12@virtual.test u12
chain@virtual.test info@virtual.test
fwd@virtual.test team@example.test
off@virtual.test office@example.test
@virtual.test u5
@other.test @virtual.test
abuse@other.test postmaster
`;

const ADDRESSES = [
  ...USERS.map(({ name }) => `${name}@example.test`),
  ..."U1 u1+x u11+lists u11+other u12+a+b u2+x u14+x".split(" ").map((name) => `${name}@example.test`),
  ..."postmaster root mailer-daemon team TEAM team+x all office dup real14 chain1 chain3 loop-a half"
    .split(" ")
    .map((name) => `${name}@example.test`),
  ..."staff filter archive list owner-list quoted remote tovirtual forwarder many gone mixed"
    .split(" ")
    .map((name) => `${name}@example.test`),
  ..."nobody-here u99 u99+x".split(" ").map((name) => `${name}@example.test`),
  "u5@localhost",
  "team@localhost",
  ..."info Info info+x sales sales+q u12 chain fwd off whoever whoever+x"
    .split(" ")
    .map((name) => `${name}@virtual.test`),
  ..."info sales abuse unlisted".split(" ").map((name) => `${name}@other.test`),
  "kim@boxes.test",
  "kim+x@boxes.test",
  "lee@boxes.test",
  "outside@elsewhere.test",
];

/** Where Posthorn's answer is another one on purpose, and what it is. */
const ON_PURPOSE: ReadonlyMap<string, readonly string[]> = new Map([
  // Postfix reads `\\u14` in an alias as u14 and asks its alias again; sendmail, Exim and OpenSMTPD mean the mailbox.
  ["real14@example.test", ["mailbox of u14"]],
]);

/** A host's folder: homes, lists, tables. */
function makeHost(folder: string): void {
  chmodSync(folder, 0o755);
  for (const part of ["home", "lists", "out", "boxes"]) mkdirSync(join(folder, part));
  chmodSync(join(folder, "out"), 0o777);
  chownSync(join(folder, "boxes"), 950, 950);
  for (const { name, uid } of USERS) {
    mkdirSync(join(folder, "home", name));
    chownSync(join(folder, "home", name), uid, uid);
  }
  for (const [file, text] of Object.entries(FORWARDS)) {
    const path = join(folder, "home", file);
    writeFileSync(path, text.replaceAll("HOST", folder), { mode: 0o644 });
    const uid = USERS.find(({ name }) => file.startsWith(`${name}/`))?.uid ?? 0;
    chownSync(path, uid, uid);
  }
  writeFileSync(join(folder, "lists", "staff"), "# people\nu5\nu12, far@elsewhere.test\n");
  writeFileSync(join(folder, "aliases"), ALIASES.replaceAll("HOST", folder));
  writeFileSync(join(folder, "virtual"), VIRTUAL);
}

/** Where the mail with a mark is. */
function placesOf(folder: string, far: ScriptedHost, mark: string): readonly string[] {
  const holds = (file: string): boolean => readFileSync(file, "latin1").includes(`Subject: ${mark}`);
  const places = [
    ...USERS.flatMap(({ name }) =>
      globSync(join(folder, "home", name, "Maildir/new/*"))
        .filter(holds)
        .map(() => `mailbox of ${name}`),
    ),
    ...globSync(join(folder, "boxes/*/*/new/*"))
      .filter(holds)
      .map((file) => file.slice(folder.length + 7).split("/new/")[0] ?? ""),
    ...globSync(join(folder, "out/*"))
      .filter(holds)
      .map((file) => `file ${file.slice(folder.length)}`),
    ...[join(folder, "home/u7/saved")].filter((file) => existsSync(file) && holds(file)).map(() => "u7's file"),
    ...far.mails
      .filter(({ content }) => new RegExp(`^Subject: ${mark}`, "m").test(content.split(/\r?\n\r?\n/)[0] ?? ""))
      .flatMap(({ recipients }) => recipients.map((recipient) => `relayed to ${recipient}`)),
  ];
  return places.sort();
}

async function sendAll(port: number): Promise<readonly string[]> {
  const client = await smtpConnect(port);
  await client.reply();
  await client.say("EHLO client.test");
  const replies: string[] = [];
  for (const [at, address] of ADDRESSES.entries()) {
    await client.say("MAIL FROM:<sam@sender.test>");
    const reply = await client.say(`RCPT TO:<${address}>`);
    replies.push(reply);
    if (!reply.startsWith("250")) {
      await client.say("RSET");
      continue;
    }
    await client.say("DATA");
    const end = await client.say(
      `From: sam@sender.test\r\nTo: x@example.test\r\nSubject: mark-${at}.\r\n\r\n${address}\r\n.`,
    );
    assert.match(end, /^250 /, address);
  }
  client.close();
  return replies;
}

test(`${ADDRESSES.length} addresses of a host end in the same places with Posthorn as with postfix`, async (t) => {
  if (!hasPeer("postfix", t)) return;
  const theirs = mkdtempSync(join(tmpdir(), "posthorn-their-host-"));
  const ours = mkdtempSync(join(tmpdir(), "posthorn-our-host-"));
  await using theirFar = await startScriptedHost();
  await using ourFar = await startScriptedHost();
  try {
    for (const folder of [theirs, ours]) makeHost(folder);
    writeFileSync(
      join(theirs, "passwd"),
      USERS.map(({ name, uid }) => `${name}:x:${uid}:${uid}::${theirs}/home/${name}:/bin/sh\n`).join(""),
    );
    writeFileSync(join(theirs, "group"), USERS.map(({ name, uid }) => `${name}:x:${uid}:\n`).join(""));
    writeFileSync(join(theirs, "boxes.map"), "kim@boxes.test boxes.test/kim/\n");
    await using postfix = await startPostfix({
      relayTo: theirFar.port,
      before: `cat ${theirs}/passwd >> /etc/passwd && cat ${theirs}/group >> /etc/group && postalias -c FOLDER/etc hash:${theirs}/aliases`,
      services: ["local unix - n n - - local"],
      settings: [
        "mydestination = example.test, localhost",
        "myorigin = example.test",
        "recipient_delimiter = +",
        `alias_maps = hash:${theirs}/aliases`,
        "local_recipient_maps = unix:passwd.byname $alias_maps",
        "home_mailbox = Maildir/",
        "virtual_alias_domains = virtual.test, other.test",
        `virtual_alias_maps = texthash:${theirs}/virtual`,
        "virtual_mailbox_domains = boxes.test",
        `virtual_mailbox_base = ${theirs}/boxes`,
        `virtual_mailbox_maps = texthash:${theirs}/boxes.map`,
      ],
    });
    const people = USERS.map(({ name, uid }) => `${name} ${uid}:${uid}:${ours}/home/${name}`);
    writeFileSync(join(ours, "people"), `${people.join("\n")}\n`);
    await using posthorn = await startServer({
      layout: "split",
      settings: `
local:
  domains: [example.test, localhost]
  users: table:people
  aliases: table:aliases
  includeFolders: ${ours}/lists
  defaultUser: daemon
  virtual:
    - { domains: [virtual.test, other.test], aliases: table:virtual }
    - { domains: boxes.test, users: kim@boxes.test, action: boxes }
mailbox: { user: recipient }
tables:
  people: { file: ${ours}/people }
  aliases: { aliases: ${ours}/aliases }
  virtual: { file: ${ours}/virtual }
actions:
  boxes: { deliver: maildir, path: "${ours}/boxes/{domain}/{user}", user: server }
  relay: { relay: { to: "smtp://127.0.0.1:${ourFar.port}" } }
`,
    });
    chmodSync(join(ours, "boxes"), 0o777);
    const theirReplies = await sendAll(Number(postfix.at)).catch((thrown: unknown) => {
      throw new Error(`postfix said no more; its log:\n${postfix.log()}`, { cause: thrown });
    });
    const ourReplies = await sendAll(posthorn.ports.smtp);
    const marks = ADDRESSES.map((_, at) => `mark-${at}.`);
    const all = (): readonly (readonly [readonly string[], readonly string[]])[] =>
      marks.map((mark) => [placesOf(theirs, theirFar, mark), placesOf(ours, ourFar, mark)]);
    // What is bounced comes nowhere, so it is waited until nothing changes any more.
    let last = "";
    for (let still = 0, tries = 0; still < 3 && tries < 40; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const now = JSON.stringify(all());
      still = now === last ? still + 1 : 0;
      last = now;
    }
    const differences = all().flatMap(([their, our], at) => {
      const address = ADDRESSES[at] ?? "";
      if (JSON.stringify(their) === JSON.stringify(our) || ON_PURPOSE.has(address)) return [];
      const told = [their.join(", "), theirReplies[at], our.join(", "), ourReplies[at]];
      return [`${address}: postfix ${told[0]} (${told[1]}); Posthorn ${told[2]} (${told[3]})`];
    });
    for (const [address, places] of ON_PURPOSE)
      assert.deepEqual(all()[ADDRESSES.indexOf(address)]?.[1], places, address);
    assert.ok(ADDRESSES.length >= 60);
    assert.deepEqual(differences, [], `${posthorn.output().slice(-6000)}\n${postfix.log().slice(-3000)}`);
  } finally {
    rmSync(theirs, { recursive: true, force: true });
    rmSync(ours, { recursive: true, force: true });
  }
});
