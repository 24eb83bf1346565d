import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { explain as command } from "../../admin/cli/settings/explain.ts";
import { parseGiven } from "../../admin/cli/command.ts";
import type { Explanation } from "../../admin/cli/settings/explanation.ts";
import type { World } from "../../admin/cli/world.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { explain } from "./explain.ts";
import { loadSettings } from "../settings/load-settings.ts";

const SETTINGS = `hostname: mx.example.org
state: ./state
srs: {}
local:
  domains: [example.org]
  users: [ann, bob]
  aliases: table:aliases
tables:
  aliases:
    file: aliases
actions:
  box:
    deliver: maildir
    path: ./boxes/{user}
  out:
    relay: { to: "smtps://relay.example.net:2465" }
    as: "@example.org"
  forbidden:
    reject: { text: not to them }
rules:
  - match: { rctp-to: no }
`;

/** The command's output, and what it found, for settings in a folder of their own. */
async function ask(
  yaml: string,
  ...argv: readonly string[]
): Promise<{ text: string; status: number; explained: Explanation | undefined; left: readonly string[] }> {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-explain-"));
  try {
    const file = join(folder, "posthorn.yaml");
    await writeFile(file, yaml);
    await writeFile(join(folder, "aliases"), "info: bob, carl@elsewhere.example\nloop: loop2\nloop2: loop\n");
    let text = "";
    let explained: Explanation | undefined;
    const world = {
      stdout: { write: (more: string) => void (text += more) },
      async explain(request) {
        const options = { file, directory: folder, clock: systemClock, isKeptElsewhere: () => true };
        const loaded = await loadSettings(options);
        assert.ok(loaded.ok, JSON.stringify(loaded));
        explained = await explain(request, loaded.value, systemClock);
        return explained;
      },
    } as Pick<World, "stdout" | "explain"> as World;
    const status = await command.run(parseGiven(command, [...argv]), world);
    assert.equal(existsSync(join(folder, "state")), false, "nothing is made");
    return { text: text.replaceAll(folder, "."), status, explained, left: await readdir(folder) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

const rules = (text: string): string => SETTINGS.replace("  - match: { rctp-to: no }\n", text);
const USUAL = rules(`  - match: { rcpt-to: enemy@example.net }
    action: forbidden
  - match: { for: local }
    action: box
  - match: { from: auth }
    action: out
`);

test("an alias is followed to a mailbox and to a next host, each with its action's place and its sender", async () => {
  const { text, status } = await ask(USUAL, "info@example.org", "--no-dns", "--from", "alice@third.example");
  assert.equal(status, 0);
  assert.match(text, /rule +\.\/posthorn\.yaml:\d+:\d+: no, rcpt-to does not hold: it is info@example\.org/);
  assert.match(text, /table +aliases \(alias\): info: found bob, carl@elsewhere\.example \(\.\/aliases:1\)/);
  assert.match(text, /alias +info@example\.org -> bob, carl@elsewhere\.example \(\.\/aliases:1\)/);
  assert.match(text, /user +bob@example\.org has a mailbox/);
  assert.match(
    text,
    /target +bob@example\.org \(by way of info@example\.org\)\n +sender +alice@third\.example\n +action +box \(\.\/posthorn\.yaml:12:3\)\n +place +maildir:\.\/boxes\/bob\n/,
  );
});

test("a stranger may not relay, and is told by which questions; who has logged in may", async () => {
  const stranger = await ask(USUAL, "x@example.com", "--no-dns");
  assert.equal(stranger.status, 1);
  assert.match(stranger.text, /no, from does not hold: it is 192\.0\.2\.1/);
  assert.match(stranger.text, /refused +550 5\.7\.1 relaying denied \(no rule matches\)/);
  const { text, status } = await ask(
    USUAL,
    "x@example.com",
    "--no-dns",
    "--auth",
    "ann",
    "--from",
    "ann@pc.example.org",
  );
  assert.equal(status, 0);
  assert.match(text, /sender +for x@example\.com: ann@example\.org \(as\)/);
  assert.match(text, /relay +smtps:\/\/relay\.example\.net:2465\n +tls +no policy/);
});

test("refusals by a rule, of unknown users and of loops say so, and the null sender stays null", async () => {
  const refused = await ask(USUAL, "enemy@example.net", "--no-dns", "--auth", "ann");
  assert.match(refused.text, /refused +550 5\.7\.1 not to them \(\.\/posthorn\.yaml:\d+:\d+\)/);
  assert.match(
    (await ask(USUAL, "nobody@example.org")).text,
    /user +nobody@example\.org is nobody here[^]*refused +550 5\.1\.1/,
  );
  assert.match((await ask(USUAL, "loop@example.org")).text, /refused +\d\d\d /);
  const { explained } = await ask(USUAL, "x@example.com", "--no-dns", "--auth", "ann", "--from", "<>");
  assert.equal(explained?.verdict.kind === "accepted" && explained.verdict.targets[0]?.sender, "");
});

test("forwarded mail shows the sender that SRS would make, though the server has no secret yet", async () => {
  const yaml = rules("  - match: { for: local }\n    action: box\n");
  const { explained } = await ask(yaml, "info@example.org", "--no-dns", "--from", "alice@third.example");
  assert.ok(explained?.verdict.kind === "accepted");
  const carl = explained.verdict.targets.find(({ recipient }) => recipient === "carl@elsewhere.example");
  assert.match(carl?.sender ?? "", /^SRS0=....=..=third\.example=alice@mx\.example\.org$/);
  assert.equal(carl?.delivery.kind, "relay");
});

test("JSON holds the same facts", async () => {
  const { text, explained } = await ask(USUAL, "bob@example.org", "--json");
  assert.deepEqual(
    JSON.parse(text.replaceAll("./", "")),
    JSON.parse(JSON.stringify(explained).replaceAll(/\/tmp\/posthorn-explain-[^/"]+\//g, "")),
  );
});

test("masquerading is shown where the listener does it", async () => {
  const yaml = `${USUAL}masquerade: { domains: [example.org] }\n`;
  const client = ["--listener", "submission", "--auth", "ann"];
  const { text } = await ask(yaml, "bob@example.org", "--from", "ann@pc.example.org", ...client);
  assert.match(text, /sender +ann@example\.org \(masqueraded; given ann@pc\.example\.org\)/);
});

test("a logged-in client is held to its own addresses where the listener does it", async () => {
  const yaml = `${USUAL}listeners: [{ name: submission, port: 2587, protocol: submission, sender-rights: {} }]\n`;
  const asked = ["x@example.com", "--no-dns", "--auth", "ann"];
  const other = await ask(yaml, ...asked, "--from", "bob@example.org");
  assert.equal(other.status, 1);
  assert.match(other.text, /refused +553 5\.7\.1 .*\(ann may not send as bob@example\.org\)/);
  assert.equal((await ask(yaml, ...asked, "--from", "ann@example.org")).status, 0);
});

test("a listener that wants TLS and a login refuses a client without, as in a session", async () => {
  const yaml = `${USUAL}listeners:
  - { name: smtp, port: 2525 }
  - { name: submission, port: 2587, protocol: submission, tls: require }
  - { name: submissions, port: 2465, protocol: submission, tls: implicit }
  - { name: partners, port: 2526, client-certificate: verify, client-authorities: ca.pem }
`;
  const at = (listener: string, ...more: string[]): ReturnType<typeof ask> =>
    ask(yaml, "bob@example.org", "--no-dns", "--listener", listener, ...more);
  const bare = await at("submission");
  assert.equal(bare.status, 1);
  assert.match(bare.text, /refused +530 5\.7\.0 Must issue a STARTTLS command first \(listener submission .*--tls/);
  const stranger = await at("submission", "--tls");
  assert.equal(stranger.status, 1);
  assert.match(stranger.text, /refused +530 5\.7\.0 Authentication required \(listener submission .*--auth ACCOUNT/);
  const own = await at("submission", "--auth", "ann");
  assert.equal(own.status, 0, "nobody logs in without TLS here");
  assert.match((await at("submissions")).text, /refused +530 5\.7\.0 Authentication required/);
  assert.equal((await at("submissions", "--auth", "ann")).status, 0);
  assert.match((await at("partners")).text, /refused +530 5\.7\.0 Must issue a STARTTLS command first/);
  assert.equal((await at("partners", "--tls")).status, 0);
  // A program of this host comes by no listener, and the other listener wants neither.
  assert.equal((await at("submission", "--client", "local")).status, 0);
  assert.equal((await at("smtp")).status, 0);
});

test("filters that are asked at the listener are named, those of another one are not", async () => {
  const yaml = `${USUAL}filters:
  virus: { clamd: "127.0.0.1:3310" }
  spam: { spamc: "127.0.0.1:783" }
  both: { chain: [virus, spam] }
filtered-by: both
listeners: [{ name: smtp, port: 2525 }, { name: inner, port: 2526, filtered-by: [] }]
`;
  assert.match((await ask(yaml, "bob@example.org")).text, /^filters +virus, spam: not asked here/m);
  assert.doesNotMatch((await ask(yaml, "bob@example.org", "--listener", "inner")).text, /^filters/m);
});

test("what only a server asks is not told as if it had nothing against the mail", async () => {
  const yaml = `${USUAL}restrictions: [{ policy: "inet:127.0.0.1:10023" }, { greylist: {} }]\n`;
  const { text } = await ask(yaml, "bob@example.org", "--no-dns");
  assert.match(text, /before +policy 127\.0\.0\.1:10023: not asked here/);
  assert.match(text, /before +greylist: not asked here/);
});

test("what a policy server is taken to have said when it cannot be asked is not said of one that was not asked", async () => {
  for (const said of ["OK", "554 5.7.1 no", "DISCARD"]) {
    const yaml = `${USUAL}restrictions: [{ policy: { at: "inet:127.0.0.1:10023", default: "${said}" } }, { helo: friend }]\n`;
    const { text } = await ask(yaml, "bob@example.org", "--no-dns", "--helo", "friend");
    assert.match(text, /before +policy 127\.0\.0\.1:10023: not asked here/, said);
    assert.match(text, /550 5\.7\.1 <friend>/, said);
  }
});

test("what is no address, no client and no listener is refused with a word about it", async () => {
  await assert.rejects(ask(USUAL, "a b@c"), /expected an address/);
  await assert.rejects(ask(USUAL, "a@b.example", "--client", "pc"), /--client: expected an address or local/);
  await assert.rejects(ask(USUAL, "a@b.example", "--from", "a@@"), /--from: expected an address/);
  await assert.rejects(ask(USUAL, "a@b.example", "--listener", "nope"), /there is no listener nope/);
});

test("restrictions are shown one by one; without DNS those that need it say nothing", async () => {
  const restricted = `${USUAL}restrictions:
  - permit: [auth, 198.51.100.0/24]
  - { helo: unqualified, warn-only: true }
  - { sender: unknown-domain }
  - { helo: ours, name: not us }
`;
  const given = ["bob@example.org", "--no-dns", "--from", "a@nowhere.example", "--helo"];
  const passed = await ask(restricted, ...given, "friend");
  assert.equal(passed.status, 0);
  assert.match(passed.text, /before +permit auth,198\.51\.100\.0\/24: nothing against it/);
  assert.match(
    passed.text,
    /before +helo unqualified: would refuse if it were more than a warning: 504 5\.5\.2 <friend>/,
  );
  assert.match(passed.text, /before +sender unknown-domain: DNS was not asked/);
  const refused = await ask(restricted, ...given, "mx.example.org");
  assert.equal(refused.status, 1);
  assert.match(refused.text, /before +not us: would refuse: 550 5\.7\.1/);
  assert.doesNotMatch(refused.text, /rule /);
  const permitted = await ask(restricted, ...given, "mx.example.org", "--client", "198.51.100.7");
  assert.equal(permitted.status, 0);
  assert.doesNotMatch(permitted.text, /not us/);
});

test("a client of this host has a name, as in a session, without the DNS", async () => {
  const named = `${USUAL}restrictions:
  - { client-name: missing, name: nameless }
  - { client-name: localhost, name: here }
`;
  const own = await ask(named, "bob@example.org", "--no-dns", "--client", "127.0.0.1");
  assert.match(own.text, /before +nameless: nothing against it/);
  assert.match(own.text, /before +here: would refuse: 554 5\.7\.1/);
  const stranger = await ask(named, "bob@example.org", "--no-dns");
  assert.match(stranger.text, /before +nameless: DNS was not asked/);
  assert.match(stranger.text, /before +here: nothing against it/);
});

test("an action that virtual and primary domains share delivers by the recipient's domain", async () => {
  const yaml = `hostname: mx.example.org
state: ./state
local:
  domains: [example.org]
  users: table:people
  virtual:
    - { domains: [shop.example], users: [alice, bob], action: hosted }
mailbox: { user: recipient }
tables:
  people:
    map:
      alice: "1000:1000:/home/alice"
      bob: "1001:1001:/home/bob"
      alice@shop.example: "5001:5001:/vhome/shop/alice"
actions:
  hosted: { deliver: maildir, path: "{home}/{domain}/Maildir" }
rules:
  - match: { for: local }
    action: hosted
`;
  const placeOf = async (address: string): Promise<string> =>
    (await ask(yaml, address, "--no-dns")).text.replace(/^[^]*\n +action[^\n]*\n/, "");
  assert.match(await placeOf("alice@shop.example"), /maildir:\/vhome\/shop\/alice\/shop\.example\/Maildir[^]*uid 5001/);
  assert.match(await placeOf("alice@example.org"), /maildir:\/home\/alice\/example\.org\/Maildir[^]*uid 1000/);
  // Whoever has no rights of his own there is not bob of this host, and the server has no home.
  assert.match(await placeOf("bob@shop.example"), /bob@shop\.example by hosted is the server's own.*\{home\}/);
});

test("a command is said to run as whoever's rights it has, not as whose mail it gets", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const yaml = `hostname: mx.example.org
state: ./state
processes: { layout: single }
local: { domains: [example.org], users: [ann] }
actions: { deliver: { deliver: command, command: "cat" } }
`;
  const { text } = await ask(yaml, "ann@example.org", "--no-dns");
  assert.match(text, /\|cat/);
  assert.match(text, /nobody \(uid \d+\)/);
  return undefined;
});
