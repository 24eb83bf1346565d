import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { CaseOutcome } from "../../admin/cli/settings/policy-world.ts";
import { runPolicyTests } from "./run-policy-tests.ts";

const SETTINGS = `
hostname: mx.example.org
local: { domains: [example.org], users: [bob, ann], aliases: table:aliases }
tables:
  aliases: { map: { team@example.org: "bob@example.org, ann@example.org" } }
  friends: { redis: { hosts: 192.0.2.250, commands: { string: "GET %{key}" } } }
filters:
  mine: { module: ./hooks.ts }
  scanner: { rspamd: "http://192.0.2.251:11333" }
filtered-by: [mine, scanner]
actions:
  archive: { deliver: maildir, path: /tmp/archive }
restrictions:
  - name: known-domains
    sender: unknown-domain
rules:
  - match: { for: local }
    action: deliver
  - match: { auth: any }
    action: relay
`;

const HOOKS = `
import { chooseAction, defineHooks, quarantine, reject, tag, addHeader } from "posthorn";
export default defineHooks({
  onRcpt: ({ recipient }) => (recipient === "ann@example.org" ? reject(550, "5.2.1", "On leave") : undefined),
  onMessage: (mail) =>
    mail.subject === "archive" ? [chooseAction("archive"), tag("kept")]
    : mail.subject === "odd" ? quarantine("looks odd")
    : addHeader("X-Seen", "by hooks"),
});
`;

function folder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const made = mkdtempSync(join(tmpdir(), "posthorn-policy-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  for (const [name, text] of Object.entries({ "posthorn.yaml": SETTINGS, "hooks.ts": HOOKS, ...files }))
    writeFileSync(join(made, name), text);
  return made;
}

async function run(cwd: string, files: readonly string[] = []): Promise<readonly CaseOutcome[]> {
  const told: CaseOutcome[] = [];
  const settings = join(cwd, "posthorn.yaml");
  const { outcomes } = await runPolicyTests({ settings, files, cwd }, (outcome) => told.push(outcome));
  assert.deepEqual(told, outcomes);
  return outcomes;
}

test("cases that hold pass: recipients, actions, header, tags, quarantine, refusals of restrictions and hooks", async (t) => {
  const cwd = folder(t, {
    "cases.yaml": `
- name: a list goes to its members
  to: team@example.org
  dns: { example.com: { MX: 10 mx.example.com } }
  filters: { scanner: accept }
  expect: { verdict: accept, recipients: [ann@example.org, bob@example.org], action: deliver, header: { X-Seen: /^by/ } }
- name: senders from nowhere come again
  from: a@nowhere.example
  to: bob@example.org
  dns: { "*": none }
  expect: { verdict: defer, code: 450, stage: rcpt, restriction: known-domains, text: Domain not found }
- name: one whose domain cannot be looked up comes again
  from: a@nowhere.example
  to: bob@example.org
  dns: { nowhere.example: fail }
  expect: defer
- name: a hook refuses one of two
  to: [bob@example.org, ann@example.org]
  dns: { example.com: { A: 192.0.2.9 } }
  filters: { scanner: { tags: [clean], header: { X-Score: "1" } } }
  expect: { verdict: accept, refused: ann@example.org, recipients: bob@example.org, tags: clean, header: { X-Score: "1" } }
- name: a hook chooses the action
  to: bob@example.org
  dns: { "*": { A: 192.0.2.9 } }
  filters: { scanner: accept }
  fields: { Subject: archive }
  expect: { action: archive, tags: kept, absent: X-Seen }
- name: a hook keeps a mail back
  to: bob@example.org
  dns: { "*": { A: 192.0.2.9 } }
  filters: { scanner: accept }
  fields: { Subject: odd }
  expect: { verdict: quarantine, because: looks odd }
- name: the scanner refuses
  to: bob@example.org
  dns: { "*": { A: 192.0.2.9 } }
  filters: { scanner: { verdict: reject, code: 554, text: It is spam } }
  expect: { verdict: reject, stage: message, code: 554, text: is spam }
- name: accounts relay, with TLS
  listener: submission
  auth: bob
  from: bob@example.org
  to: x@elsewhere.example
  dns: { "*": { MX: 10 mx.elsewhere.example } }
  filters: { scanner: accept }
  at: "2030-01-02T03:04:05Z"
  expect: { verdict: accept, action: relay, sender: bob@example.org, header: { Received: "/with ESMTPSA.*2 Jan 2030/s" } }
`,
  });
  const outcomes = await run(cwd);
  assert.equal(outcomes.length, 8);
  for (const outcome of outcomes)
    assert.deepEqual([outcome.differences, outcome.unexpected, outcome.problem], [[], [], undefined], outcome.name);
});

test("who sends as a list with nobody in it is somebody; whom nobody has is not", async (t) => {
  const lists = mkdtempSync(join(tmpdir(), "posthorn-lists-"));
  t.after(() => rmSync(lists, { recursive: true, force: true }));
  writeFileSync(join(lists, "news"), "# nobody yet\n");
  const cwd = folder(t, {
    "posthorn.yaml": `
hostname: mx.example.org
local: { domains: [example.org], users: [bob], aliases: table:aliases, include-folders: ${lists} }
tables:
  aliases: { map: { news@example.org: ":include:${lists}/news" } }
restrictions:
  - sender: unlisted
rules:
  - match: { for: local }
    action: deliver
`,
    "cases.yaml": `
- { name: list, from: news@example.org, to: bob@example.org, expect: accept }
- { name: nobody, from: eve@example.org, to: bob@example.org, expect: { verdict: reject, code: 550, text: User unknown } }
- { name: to the list, to: news@example.org, expect: { verdict: reject, code: 550, text: nobody is in this list } }
`,
  });
  for (const { name, differences, unexpected, problem } of await run(cwd))
    assert.deepEqual([differences, unexpected, problem], [[], [], undefined], name);
});

test("tags that come with the content, added recipients, and refusals at every stage are as the server has them", async (t) => {
  const settings = SETTINGS.replace(
    "rules:",
    `  - { name: not-this-one, helo: late.example, when: data }
rules:
  - { name: junk, match: { tag: spam }, action: archive }
  - { name: closed, match: { tag: virus }, action: no }
  - { name: gone, match: { mail-from: "@gone.example" }, action: no }`,
  ).replace("actions:", "actions:\n  no: { reject: { text: not here } }");
  const cwd = folder(t, {
    "posthorn.yaml": settings.replaceAll("[bob, ann]", "[bob, ann, eve]"),
    "hooks.ts": `
import { addRecipient, defineHooks } from "posthorn";
export default defineHooks({
  onMessage: (mail) => (mail.subject === "copy" ? addRecipient("team@example.org") : undefined),
});
`,
    "cases.yaml": `
- name: a rule that asks for a tag has the last word
  to: eve@example.org
  dns: { "*": { A: 192.0.2.9 } }
  filters: { scanner: { tags: [spam] } }
  expect: { verdict: accept, rule: junk, action: archive, tags: spam }
- name: a rule may refuse what has a tag
  to: eve@example.org
  dns: { "*": { A: 192.0.2.9 } }
  filters: { scanner: { tags: [virus] } }
  expect: { verdict: reject, stage: message, rule: closed, text: not here }
- name: who is added is found by the rules
  to: eve@example.org
  dns: { "*": { A: 192.0.2.9 } }
  filters: { scanner: accept }
  fields: { Subject: copy }
  expect: { verdict: accept, recipients: [ann@example.org, bob@example.org, eve@example.org] }
- name: a rule that refuses has a name
  to: eve@example.org
  from: a@gone.example
  dns: { "*": { A: 192.0.2.9 } }
  expect: { verdict: reject, stage: rcpt, rule: gone }
- name: so has a restriction of another stage
  to: eve@example.org
  helo: late.example
  dns: { "*": { A: 192.0.2.9 } }
  expect: { verdict: reject, stage: data, restriction: not-this-one }
`,
  });
  const outcomes = await run(cwd);
  assert.equal(outcomes.length, 5);
  for (const outcome of outcomes)
    assert.deepEqual([outcome.differences, outcome.unexpected, outcome.problem], [[], [], undefined], outcome.name);
});

test("what is not as expected is told with what was found, and where the case stands", async (t) => {
  const cwd = folder(t, {
    "cases.yaml": `
- name: wrong
  to: bob@example.org
  dns: { "*": { A: 192.0.2.9 } }
  filters: { scanner: accept }
  expect: { verdict: reject, action: relay, header: { X-Seen: nobody }, tags: [a] }
`,
  });
  const [outcome] = await run(cwd, ["cases.yaml"]);
  assert.equal(outcome?.isPassed, false);
  assert.match(outcome?.where ?? "", /^cases\.yaml:2:/);
  assert.deepEqual(
    outcome?.differences.map(({ what, expected, found }) => [what, expected, found.replace(/ queued as .*/, "")]),
    [
      ["verdict", "reject", "accept at message (250 2.0.0 Ok:"],
      ["action", "relay", "deliver"],
      ["header X-Seen", "nobody", "by hooks"],
      ["tags", "a", "none"],
    ],
  );
});

test("what would need the network, and is not answered for, fails the case and is named", async (t) => {
  const cwd = folder(t, {
    "posthorn.yaml": SETTINGS.replace("match: { auth: any }", "match: { from: any, mail-from: table:friends }"),
    "cases.yaml": `
- { name: dns, to: bob@example.org, expect: defer }
- { name: filter, to: bob@example.org, dns: { "*": { A: 192.0.2.9 } }, expect: defer }
- { name: table, to: x@elsewhere.example, from: a@b.example, dns: { "*": { A: 192.0.2.9 } }, filters: { scanner: accept }, expect: defer }
- { name: answered, to: x@elsewhere.example, from: a@b.example, dns: { "*": { A: 192.0.2.9 } }, filters: { scanner: accept }, tables: { friends: { a@b.example: "yes" } }, expect: accept }
`,
  });
  const outcomes = await run(cwd);
  assert.deepEqual(
    outcomes.map(({ name, isPassed }) => [name, isPassed]),
    [
      ["dns", false],
      ["filter", false],
      ["table", false],
      ["answered", true],
    ],
  );
  const [dns, filter, table] = outcomes.map(({ unexpected }) => unexpected.join("; "));
  assert.match(dns ?? "", /DNS: MX of example\.com/);
  assert.match(filter ?? "", /filter scanner \(rspamd\)/);
  assert.match(table ?? "", /table friends \(redis\): a@b\.example/);
});

test("tests in code hold sessions of their own, and one that throws fails alone", async (t) => {
  const cwd = folder(t, {
    "mail.policy.test.ts": `
import { policyTest } from "posthorn";
const world = { dns: { "*": { A: "192.0.2.9" } }, filters: { scanner: "accept" } } as const;
policyTest("as a case", { ...world, to: "bob@example.org", expect: { action: "deliver" } });
policyTest("as a function", async ({ session, expect }) => {
  const found = await session({ ...world, to: "ann@example.org" });
  if (found.text !== "550 5.2.1 On leave") throw new Error(found.text);
  await expect({ ...world, to: "bob@example.org" }, "accept");
});
policyTest("that fails", async ({ expect }) => { await expect({ ...world, to: "bob@example.org" }, "discard"); });
policyTest("that is misspelt", { ...world, to: "bob@example.org", expect: { verdict: "acept" } });
policyTest("that forgets", async ({ session }) => { await session({ to: "bob@example.org" }); });
`,
  });
  const outcomes = await run(cwd);
  assert.deepEqual(
    outcomes.map(({ name, isPassed }) => [name, isPassed]),
    [
      ["as a case", true],
      ["as a function", true],
      ["that fails", false],
      ["that is misspelt", false],
      ["that forgets", false],
    ],
  );
  assert.match(outcomes[2]?.problem ?? "", /verdict: expected discard, found accept/);
  assert.equal(
    outcomes[3]?.problem,
    'expect.verdict: expected one of accept, reject, defer, discard, quarantine, disconnect, got "acept"; did you mean accept?',
  );
  assert.match(outcomes[4]?.problem ?? "", /DNS: MX of example\.com/);
});

test("a file that is wrong is refused with the place", async (t) => {
  const cwd = folder(t, { "cases.yaml": "- { too: bob@example.org, expect: accept }\n" });
  await assert.rejects(run(cwd), {
    code: "SETTINGS_INVALID",
    message: /cases\.yaml:1:5: cases\[0\]\.too: .*did you mean/,
  });
  await assert.rejects(run(cwd, ["none.yaml"]), { code: "USAGE", message: /none\.yaml does not exist/ });
});

test("clients of this host have the name that they have in a session", async (t) => {
  const cwd = folder(t, {
    "hooks.ts": `
import { addHeader, defineHooks } from "posthorn";
export default defineHooks({ onMessage: ({ session }) => addHeader("X-Client", session.client.name ?? "none") });
`,
    "posthorn.yaml": SETTINGS.replace(
      "restrictions:",
      "listeners: [{ name: in, port: 2525 }, { name: here, path: ./in.sock }]\nrestrictions:",
    ),
    "cases.yaml": `
- { name: socket, listener: here, client: local, to: bob@example.org, dns: { "*": { A: 192.0.2.9 } }, filters: { scanner: accept }, expect: { header: { X-Client: localhost } } }
- { name: loopback, client: 127.0.0.1, to: bob@example.org, dns: { "*": { A: 192.0.2.9 } }, filters: { scanner: accept }, expect: { header: { X-Client: localhost } } }
- { name: stranger, to: bob@example.org, dns: { "*": { A: 192.0.2.9 } }, filters: { scanner: accept }, expect: { header: { X-Client: none } } }
`,
  });
  const outcomes = await run(cwd);
  assert.deepEqual(
    outcomes.filter(({ isPassed }) => !isPassed),
    [],
  );
  assert.equal(outcomes.length, 3);
});
