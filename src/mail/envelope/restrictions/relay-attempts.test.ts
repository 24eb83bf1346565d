import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOfPath } from "../../../protocol/address/path.ts";
import { parseCommandText } from "../../../protocol/smtp/command.ts";
import { inlineTable, type Tables } from "../../../service/table/tables.ts";
import { localNames } from "../local-names.ts";
import { noRedirections, restrictionWorld } from "../../../testing/restriction-world.ts";
import type { Judgement, SessionFactsForRules } from "../policy.ts";
import { rulesPolicy } from "../rules.ts";
import { senderRights } from "../sender-rights.ts";
import { actionsSettings } from "../action-settings.ts";
import { localSettings, senderRightsSettings } from "../settings.ts";
import { submissionPolicy } from "../submission.ts";
import { restrictionsOf, restrictionsPolicy } from "./restrictions.ts";
import { restrictionsSettings } from "./settings.ts";

/**
 * Strangers who want mail for elsewhere to leave by this host: each way of writing such a recipient, with each sender and
 * each thing that strangers can say about themselves, through parser, restrictions, submission and the rules as they come.
 */
const VICTIM = "victim@elsewhere.example";

/** In angle brackets, as RCPT has it. */
const RECIPIENTS: readonly string[] = [
  VICTIM,
  "VICTIM@ELSEWHERE.EXAMPLE",
  "victim@elsewhere.example.",
  "victim@elsewhere.example..",
  // Source routes (RFC 5321 section 4.1.2), the first host being us.
  "@ours.example:victim@elsewhere.example",
  "@ours.example,@elsewhere.example:victim@elsewhere.example",
  "@mx.ours.example:victim@elsewhere.example",
  "@[192.0.2.1]:victim@elsewhere.example",
  "@localhost:victim@elsewhere.example",
  "@:victim@elsewhere.example",
  "@ours.example:@ours.example:victim@elsewhere.example",
  "@ours.example,victim@elsewhere.example",
  // The percent hack.
  "victim%elsewhere.example@ours.example",
  "victim%elsewhere.example@mx.ours.example",
  "victim%elsewhere.example@localhost",
  "victim%elsewhere.example@[127.0.0.1]",
  "victim%elsewhere.example@[192.0.2.1]",
  "victim%elsewhere.example@[IPv6:::1]",
  "victim%elsewhere.example",
  "victim%elsewhere.example%ours.example@ours.example",
  "victim%elsewhere.example@elsewhere.example",
  '"victim%elsewhere.example"@ours.example',
  "%elsewhere.example@ours.example",
  "victim%elsewhere.example@",
  // UUCP.
  "elsewhere.example!victim",
  "elsewhere.example!victim@ours.example",
  "ours.example!elsewhere.example!victim",
  "ours.example!elsewhere.example!victim@ours.example",
  '"elsewhere.example!victim"@ours.example',
  "elsewhere.example!victim%elsewhere.example@ours.example",
  // An address as a local part.
  '"victim@elsewhere.example"@ours.example',
  '"victim@elsewhere.example"',
  '"victim@elsewhere.example"@localhost',
  '"victim@elsewhere.example"@[127.0.0.1]',
  '"victim\\@elsewhere.example"@ours.example',
  "victim\\@elsewhere.example@ours.example",
  "victim@elsewhere.example@ours.example",
  "victim@ours.example@elsewhere.example",
  '"@ours.example:victim@elsewhere.example"@ours.example',
  '"victim@ours.example"@elsewhere.example',
  '"\\"victim@elsewhere.example\\""@ours.example',
  '""@elsewhere.example',
  "@elsewhere.example",
  // Domains that look like ours.
  "victim@ours.example.elsewhere.example",
  "victim@sub.ours.example",
  "victim@notours.example",
  "victim@ours.example@elsewhere.example",
  "victim@ours.example\u0000.elsewhere.example",
  "victim@ours.example .elsewhere.example",
  "victim@ours.example,elsewhere.example",
  "victim@ours.example;elsewhere.example",
  "victim@elsewhere.example#ours.example",
  "victim@elsewhere.example?@ours.example",
  "victim@elsewhere.example/ours.example",
  "victim@ours",
  "victim@.ours.example",
  "victim@ours..example",
  "victim@örs.example",
  "victim@xn--ours-.example",
  "victim@ｅlsewhere.example",
  "victim@ours。example.elsewhere.example",
  "víctim@elsewhere.example",
  // Address literals.
  "victim@[198.51.100.1]",
  "victim@[198.51.100.1",
  "victim@198.51.100.1",
  "victim@[IPv6:2001:db8::1]",
  "victim@[2001:db8::1]",
  "victim@[127.0.0.2]",
  "victim@[0.0.0.0]",
  "victim@[127.1]",
  "victim@[2130706433]",
  "victim@[0x7f.1]",
  "victim@[IPv6:::ffff:127.0.0.1]",
  "victim@[IPv6:::ffff:198.51.100.1]",
  "victim@[ours.example]",
  "victim@[tag:ours.example]",
  "victim@#3325256705",
  // Words that mean something elsewhere.
  "postmaster@elsewhere.example",
  "Postmaster@Elsewhere.Example",
  '"postmaster"@elsewhere.example',
  "postmaster%elsewhere.example",
  "postmaster@elsewhere.example@ours.example",
  "|/bin/sh@ours.example",
  "/tmp/victim@ours.example",
  ":include:/etc/passwd@ours.example",
  '"|/usr/sbin/sendmail victim@elsewhere.example"@ours.example',
  '"/var/mail/victim"@ours.example',
  "SRS0=aaaa=bb=elsewhere.example=victim@ours.example",
  "SRS0=AAAA=BB=elsewhere.example=victim@srs.ours.example",
  "SRS1=aaaa=ours.example==bbbb=cc=elsewhere.example=victim@ours.example",
  "prvs=1234=victim@elsewhere.example",
  "bounce+victim=elsewhere.example@ours.example",
  "bob+victim=elsewhere.example@ours.example",
  "victim+@elsewhere.example",
  // What closes a path and goes on.
  "bob@ours.example> <victim@elsewhere.example",
  "bob@ours.example>,<victim@elsewhere.example",
  "bob@ours.example,victim@elsewhere.example",
  "bob@ours.example victim@elsewhere.example",
  "bob@ours.example\tvictim@elsewhere.example",
  "(bob@ours.example)victim@elsewhere.example",
  "victim@elsewhere.example(bob@ours.example)",
  "victim(@ours.example)@elsewhere.example",
  "bob: victim@elsewhere.example;@ours.example",
  "smtp:[elsewhere.example]@ours.example",
  "victim@smtp:elsewhere.example",
  "X.400:/C=xx/@elsewhere.example",
  "IMCEASMTP-victim+40elsewhere+2Eexample@ours.example",
  "IMCEASMTP-victim+40elsewhere+2Eexample",
  "a:b@elsewhere.example",
];

const SENDERS = ["", "bob@ours.example", "postmaster@ours.example", "root@localhost", "friend@partner.example"];

/** What a stranger can say without proving it, and what was left of a login that failed: nothing. */
const STRANGERS: readonly Partial<SessionFactsForRules>[] = [
  {},
  { helo: "mx.ours.example" },
  { helo: "[127.0.0.1]" },
  { helo: "partner.example", isEncrypted: true },
  { clientName: "localhost" },
  { clientAddress: "::ffff:203.0.113.9" },
  { clientAddress: "0.0.0.0" },
  { certificate: { fingerprints: ["00"], isVerified: true, names: ["ours.example"], mayRelay: false } },
];

const RESTRICTIONS = [
  { permit: ["auth", "certificate", "local", "192.0.2.0/24"] },
  { helo: ["mx.ours.example", "table:partners"], verdict: "permit" },
  { sender: "table:partners", verdict: "permit" },
  { clientName: "localhost", verdict: "permit" },
  { recipient: "@elsewhere.example", verdict: "permit" },
  { permit: "any" },
];

function policyWith(local: object, restrictions: readonly object[], says = "DUNNO") {
  const tables: Tables = new Map([
    ["partners", inlineTable("partners", { kind: "list", items: ["partner.example", "<>", "@ours.example"] })],
    ["aliases", inlineTable("aliases", { kind: "map", entries: { sales: "bob" } })],
  ]);
  const parsed = localSettings.parse({ domains: ["ours.example", "localhost", "[127.0.0.1]", "[IPv6:::1]"], ...local });
  const hostname = "mx.ours.example";
  const rules = rulesPolicy(
    { hostname, local: parsed, actions: actionsSettings.parse({}), srsSecrets: ["secret"], now: () => 0 },
    tables,
  );
  const names = localNames(parsed, hostname, tables);
  const submitting = submissionPolicy(rules, {
    rightsAt: () => senderRights(senderRightsSettings.parse({}), tables, names, "+"),
    quota: { spend: () => Promise.resolve({ ok: true }) },
  });
  const world = restrictionWorld({
    tables,
    local: names,
    ownNames: [hostname],
    ownAddresses: ["192.0.2.1"],
    askPolicy: () => Promise.resolve({ kind: "action", action: says }),
  });
  const all = restrictionsOf(restrictionsSettings.parse(restrictions), world);
  return restrictionsPolicy(submitting, { restrictionsAt: () => all, targetsOf: noRedirections });
}

const stranger: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "203.0.113.9",
  helo: "stranger.example",
  isEncrypted: false,
  sender: "",
  accepted: 0,
};
const OURS = new Set(["ours.example", "mx.ours.example", "localhost", "[127.0.0.1]", "[ipv6:::1]"]);

/** Whether what was accepted would leave this host. */
function leaves(judgement: Judgement): boolean {
  if (judgement.kind === "reject") return false;
  return judgement.targets.some(({ action, recipient, target }) => {
    const domain = recipient.slice(recipient.lastIndexOf("@") + 1).toLowerCase();
    return action !== "deliver" || !OURS.has(domain) || target?.kind === "command" || target?.kind === "file";
  });
}

test("there are a hundred ways to ask, and no two alike", () => {
  assert.ok(new Set(RECIPIENTS).size >= 100, String(new Set(RECIPIENTS).size));
});

for (const [words, local] of [
  ["anybody has a mailbox", {}],
  ["users are listed and names have aliases", { users: ["bob"], aliases: "table:aliases" }],
] as const)
  test(`no stranger's way of writing a recipient makes mail leave this host, where ${words}`, async () => {
    let judged = 0;
    for (const restrictions of [[], RESTRICTIONS]) {
      const policy = policyWith(local, restrictions);
      for (const written of RECIPIENTS) {
        const command = parseCommandText(`RCPT TO:<${written}>`, { isInternational: true });
        if (!command.ok || command.value.verb !== "RCPT") continue;
        const recipient = addressOfPath(command.value.to);
        for (const facts of STRANGERS)
          for (const sender of SENDERS) {
            const judgement = await policy.judgeRecipient({ ...stranger, ...facts, sender }, recipient);
            assert.equal(
              leaves(judgement),
              false,
              `${written} from <${sender}> ${JSON.stringify({ facts, judgement })}`,
            );
            judged++;
          }
      }
    }
    // Else the parser would have refused all, and nothing would have been shown.
    assert.ok(judged > 2000, String(judged));
  });

/** All that a policy server, or whoever is taken for one, can say to have mail go somewhere. */
const SAID: readonly string[] = [
  "OK",
  "PERMIT",
  "250 2.1.5 go on",
  "1",
  "permit_mynetworks",
  "permit_sasl_authenticated",
  "RELAY",
  "FILTER smtp:[elsewhere.example]",
  "FILTER smtp:[198.51.100.1]:25",
  "FILTER relay:elsewhere.example",
  "FILTER smtps://elsewhere.example",
  "FILTER lmtp:unix:/run/x.sock",
  "FILTER |/usr/sbin/sendmail",
  "FILTER __proto__",
  "FILTER toString",
  "BCC victim@elsewhere.example",
  "REDIRECT victim@elsewhere.example",
  "PREPEND Bcc: victim@elsewhere.example",
  "DUNNO\naction=OK",
];

test("nothing that a policy server says lets a stranger's mail for elsewhere in", async () => {
  for (const says of SAID)
    for (const defaults of [{}, { default: "OK" }]) {
      const entry = { policy: { at: "inet:127.0.0.1:10023", ...defaults } };
      for (const restrictions of [[entry], [entry, ...RESTRICTIONS], [...RESTRICTIONS.slice(0, 2), entry]]) {
        const policy = policyWith({}, restrictions, says);
        for (const facts of STRANGERS)
          for (const sender of SENDERS) {
            const judgement = await policy.judgeRecipient({ ...stranger, ...facts, sender }, VICTIM);
            assert.equal(
              judgement.kind,
              "reject",
              `${says} from <${sender}> ${JSON.stringify({ facts, restrictions })}`,
            );
          }
      }
    }
});

test("a policy server's FILTER names an action of the settings, or goes nowhere", async () => {
  for (const says of SAID.filter((one) => one.startsWith("FILTER"))) {
    const policy = policyWith({}, [{ policy: "inet:127.0.0.1:10023" }], says);
    const judgement = await policy.judgeRecipient(stranger, "bob@ours.example");
    assert.ok(judgement.kind === "reject" && judgement.reply.code === 451, says);
  }
});

test("who answers for a policy server's address by being permitted early is no relay either", async () => {
  const policy = policyWith({}, [
    { permit: "any", when: "connect" },
    { permit: "any", when: "end-of-data" },
    { permit: "any" },
  ]);
  assert.equal((await policy.judgeStage?.(stranger, "connect"))?.kind, "accept");
  assert.equal((await policy.judgeRecipient(stranger, VICTIM)).kind, "reject");
});

test("the same recipients leave for those who may relay, so the test can fail", async () => {
  const policy = policyWith({}, RESTRICTIONS);
  for (const facts of [
    { clientAddress: "127.0.0.1" },
    { clientAddress: undefined },
    { account: "bob", sender: "bob@ours.example" },
    { certificate: { fingerprints: ["00"], isVerified: true, names: [], mayRelay: true } },
  ])
    assert.equal(leaves(await policy.judgeRecipient({ ...stranger, ...facts }, VICTIM)), true);
});

test("who has logged in relays only as somebody whose address is the account's", async () => {
  const policy = policyWith({}, RESTRICTIONS);
  const judgement = await policy.judgeRecipient({ ...stranger, account: "bob", sender: "eve@ours.example" }, VICTIM);
  assert.equal(judgement.kind, "reject");
});
