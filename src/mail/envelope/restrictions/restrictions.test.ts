import assert from "node:assert/strict";
import { test } from "node:test";
import { replyText, reply } from "../../../protocol/smtp/reply.ts";
import { inlineTable } from "../../../service/table/tables.ts";
import { zoneResolver } from "../../../testing/dns-zone.ts";
import { noRedirections, restrictionWorld } from "../../../testing/restriction-world.ts";
import type { PolicyStep } from "../policy-trace.ts";
import type { EnvelopePolicy, Judgement, SessionFactsForRules } from "../policy.ts";
import type { GreylistAnswer } from "./greylist.ts";
import type { PolicyTold } from "./policy-service.ts";
import { restrictionsOf, restrictionsPolicy } from "./restrictions.ts";
import { restrictionsSettings } from "./settings.ts";

const zone = zoneResolver({
  "good.example MX": ["10 mail.good.example"],
  "address.example A": ["198.51.100.9"],
  "six.example AAAA": ["2001:db8::9"],
  "null.example MX": ["0 "],
  "empty.example TXT": ["nothing"],
  "broken.example MX": "fail",
  "half.example TXT": ["x"],
  "half.example AAAA": "fail",
  "192.0.2.10 PTR": ["mail.good.example"],
  "mail.good.example A": ["192.0.2.10"],
  "192.0.2.11 PTR": ["boasting.example"],
  "boasting.example A": ["203.0.113.1"],
  "192.0.2.12 PTR": "fail",
  "192.0.2.13 PTR": ["slow.example"],
  "slow.example A": "fail",
});
const world = restrictionWorld({
  tables: new Map([
    ["bad", inlineTable("bad", { kind: "list", items: ["192.0.2.66", "evil.example", "spam@mixed.example", "<>"] })],
    ["nets", inlineTable("nets", { kind: "list", items: ["!203.0.113.7", "203.0.113.0/24"] })],
  ]),
  resolver: zone,
  local: { isLocalDomain: (domain) => Promise.resolve(domain === "ours.example") },
  isListed: (address) =>
    Promise.resolve(address === "away@ours.example" ? { failed: "the table is away" } : address === "ada@ours.example"),
  ownNames: ["mx.ours.example"],
  ownAddresses: ["127.0.0.1", "192.0.2.1", "2001:db8::1"],
});
const stranger: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.10",
  clientName: "mail.good.example",
  helo: "mail.good.example",
  isEncrypted: false,
  sender: "eve@good.example",
  accepted: 0,
};

function policyOf(written: readonly object[], inner: Judgement = ACCEPT, trace?: (step: PolicyStep) => void) {
  const restrictions = restrictionsOf(restrictionsSettings.parse(written), world);
  const rules: EnvelopePolicy = { judgeRecipient: () => Promise.resolve(inner) };
  return restrictionsPolicy(rules, {
    restrictionsAt: (at) => (at === "smtp" ? restrictions : []),
    targetsOf: noRedirections,
    trace,
  });
}
const ACCEPT: Judgement = { kind: "accept", targets: [], rule: "rule 1" };
const UNKNOWN: Judgement = { kind: "reject", reply: reply(550, "5.1.1", "User unknown"), because: "" };

async function told(
  written: readonly object[],
  facts: Partial<SessionFactsForRules> = {},
  recipient = "bob@ours.example",
  inner?: Judgement,
): Promise<string> {
  const judgement = await policyOf(written, inner).judgeRecipient({ ...stranger, ...facts }, recipient);
  return judgement.kind === "accept" ? "ok" : `${replyText(judgement.reply)} [${judgement.restriction ?? "rules"}]`;
}

test("the first entry that permits or refuses decides, in the order of the settings", async () => {
  const reject = { reject: ["192.0.2.0/24"] };
  const permit = { permit: ["auth", "192.0.2.10"] };
  assert.equal(await told([permit, reject]), "ok");
  assert.match(
    await told([reject, permit]),
    /^554 5\.7\.1 <mail\.good\.example\[192\.0\.2\.10\]>: .*\[reject 192\.0\.2\.0\/24\]$/,
  );
  assert.equal(await told([permit, reject], { clientAddress: "192.0.2.11", account: "ada" }), "ok");
  assert.match(await told([permit, reject], { clientAddress: "192.0.2.11" }), /^554/);
  assert.equal(await told([reject], { clientAddress: "198.51.100.1" }), "ok");
});

test("what is permitted is still for the rules to take or refuse", async () => {
  assert.equal(await told([{ permit: "any" }], {}, "bob@ours.example", UNKNOWN), "550 5.1.1 User unknown [rules]");
  assert.equal(
    await told([{ sender: "eve@good.example", verdict: "permit" }], {}, "bob@elsewhere.example", UNKNOWN),
    "550 5.1.1 User unknown [rules]",
  );
});

test("clients are refused by tables of networks, with exceptions", async () => {
  const written = [{ reject: "table:nets" }];
  assert.match(await told(written, { clientAddress: "203.0.113.8" }), /^554/);
  assert.equal(await told(written, { clientAddress: "203.0.113.7" }), "ok");
});

test("a client's name may be missing or not confirmed; what the DNS cannot say makes the mail wait", async () => {
  const nameless = { clientName: undefined };
  const missing = [{ clientName: "missing", code: 550 }];
  const unconfirmed = [{ clientName: "unconfirmed", code: 550 }];
  assert.equal(await told(unconfirmed), "ok");
  assert.match(await told(missing, { ...nameless, clientAddress: "192.0.2.99" }), /^550 5\.7\.25 .*reverse hostname/);
  assert.equal(await told(missing, { ...nameless, clientAddress: "192.0.2.11" }), "ok");
  assert.match(await told(unconfirmed, { ...nameless, clientAddress: "192.0.2.11" }), /^550 5\.7\.25/);
  assert.match(await told(unconfirmed, { ...nameless, clientAddress: "192.0.2.12" }), /^450 4\.4\.3/);
  assert.match(await told(unconfirmed, { ...nameless, clientAddress: "192.0.2.13" }), /^450 4\.4\.3/);
  assert.equal(await told(unconfirmed, { ...nameless, clientAddress: "192.0.2.10" }), "ok");
  assert.match(await told([{ clientName: "*.good.example" }]), /^554 5\.7\.1 <mail\.good\.example\[/);
});

test("names in EHLO: no host name, no domain, ours, unknown", async () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["invalid", "mail.good.example", /^ok/],
    ["invalid", "under_score.example", /^ok/],
    ["invalid", "[192.0.2.10]", /^ok/],
    ["invalid", "[IPv6:2001:db8::5]", /^ok/],
    ["invalid", "192.0.2.10", /^501 5\.5\.2 <192\.0\.2\.10>: Helo command rejected: Invalid name/],
    ["invalid", "[2001:db8::5]", /^501/],
    ["invalid", "-x.example", /^501/],
    ["invalid", "a..b", /^501/],
    ["invalid", "[300.1.1.1]", /^501/],
    ["unqualified", "friend", /^504 5\.5\.2/],
    ["unqualified", "friend.", /^504/],
    ["unqualified", "a.b", /^ok/],
    ["unqualified", "[192.0.2.10]", /^ok/],
    ["ours", "MX.Ours.Example", /^550 5\.7\.1/],
    ["ours", "ours.example.", /^550/],
    ["ours", "[192.0.2.1]", /^550/],
    ["ours", "192.0.2.1", /^550/],
    ["ours", "[IPv6:2001:db8:0::1]", /^550/],
    ["ours", "theirs.example", /^ok/],
    ["unknown", "good.example", /^ok/],
    ["unknown", "six.example", /^ok/],
    ["unknown", "null.example", /^ok/],
    ["unknown", "nowhere.example", /^450 4\.7\.1/],
    ["unknown", "half.example", /^450 4\.4\.3/],
    ["evil.example", "EVIL.example", /^550/],
    ["table:bad", "evil.example", /^550/],
  ];
  for (const [check, helo, expected] of cases)
    assert.match(await told([{ helo: check }], { helo }), expected, `${check} ${helo}`);
});

test("this host may call itself by its name", async () => {
  for (const clientAddress of [undefined, "127.0.0.5", "::1", "192.0.2.1", "::ffff:192.0.2.1"])
    assert.equal(await told([{ helo: "ours" }], { helo: "mx.ours.example", clientAddress }), "ok");
});

test("senders whose domain takes no answer are refused, and only for the moment when the DNS fails", async () => {
  const written = [{ sender: "unknown-domain", code: 550 }];
  const cases: readonly (readonly [string, RegExp])[] = [
    ["", /^ok/],
    ["a@good.example", /^ok/],
    ["a@GOOD.example", /^ok/],
    ["a@address.example", /^ok/],
    ["a@six.example", /^ok/],
    ["a@ours.example", /^ok/],
    ["a@[192.0.2.5]", /^ok/],
    ["a@nowhere.example", /^550 5\.1\.8 <a@nowhere\.example>: Sender address rejected: Domain not found/],
    ["a@empty.example", /^550/],
    ["a@null.example", /^550 5\.7\.27/],
    ["a@broken.example", /^450 4\.4\.3/],
    ["a@half.example", /^450 4\.4\.3/],
  ];
  for (const [sender, expected] of cases) assert.match(await told(written, { sender }), expected, sender);
});

test("the recipient's domain is asked for only where the mail goes elsewhere", async () => {
  const written = [{ recipient: "unknown-domain" }];
  assert.equal(await told(written), "ok");
  assert.match(await told(written, {}, "x@nowhere.example"), /^450 4\.1\.2/);
  assert.match(await told(written, {}, "x@null.example"), /^556 5\.1\.10/);
  assert.match(await told(written, {}, "x@broken.example"), /^450 4\.4\.3/);
  assert.equal(await told(written, {}, "postmaster"), "ok");
});

test("a sender of our own domains whom nobody has there is refused; a table that is away makes it wait", async () => {
  const written = [{ sender: "unlisted" }];
  assert.equal(await told(written, { sender: "ada@ours.example" }), "ok");
  assert.match(await told(written, { sender: "nobody@ours.example" }), /^550 5\.1\.0/);
  assert.match(await told(written, { sender: "away@ours.example" }), /^451 4\.3\.0/);
  assert.equal(await told(written, { sender: "nobody@good.example" }), "ok");
});

test("senders by address, domain and table, the null sender among them", async () => {
  assert.match(await told([{ sender: "@good.example" }]), /^554/);
  assert.match(await told([{ sender: "table:bad" }], { sender: "Spam@Mixed.example" }), /^554/);
  assert.equal(await told([{ sender: "table:bad" }], { sender: "ham@mixed.example" }), "ok");
  assert.match(await told([{ sender: "table:bad" }], { sender: "" }), /^554/);
  assert.match(await told([{ sender: "<>" }], { sender: "" }), /^554/);
  assert.match(await told([{ sender: "table:gone" }]), /^451/);
});

test("a notice goes to so many recipients and no more", async () => {
  const written = [{ nullSenderRecipients: 2 }];
  assert.equal(await told(written, { sender: "", accepted: 1 }), "ok");
  assert.match(await told(written, { sender: "", accepted: 2 }), /^550 5\.5\.3/);
  assert.equal(await told(written, { accepted: 2 }), "ok");
});

test("trouble waits for a refusal for good, by a later entry or by the rules", async () => {
  const trouble = { sender: "unknown-domain" };
  const facts = { sender: "a@broken.example" };
  assert.match(await told([trouble], facts), /^450 4\.4\.3/);
  assert.match(await told([trouble, { reject: "any" }], facts), /^554/);
  assert.match(await told([trouble], facts, "bob@ours.example", UNKNOWN), /^550 5\.1\.1/);
  assert.match(await told([trouble, { permit: "any" }], facts), /^450 4\.4\.3/);
  assert.match(await told([{ sender: ["unknown-domain", "@broken.example"] }], facts), /^554/);
});

test("where nobody knows whether a client is permitted, what stands behind refuses it for the moment only", async () => {
  const reject = { reject: ["192.0.2.0/24"] };
  const away = { permit: "table:away" };
  assert.match(await told([away, reject]), /^451 4\.3\.0 .*\[permit table:away\]$/);
  assert.match(await told([{ sender: "table:away", verdict: "permit" }, reject]), /^451 4\.3\.0/);
  // In front of it, or by the rules, which ask for no permit, it is refused for good.
  assert.match(await told([reject, away]), /^554/);
  assert.match(await told([away, reject], {}, "bob@ours.example", UNKNOWN), /^550 5\.1\.1/);
  // Where it would change nothing, nobody waits.
  assert.equal(await told([away]), "ok");
  assert.equal(await told([away, { permit: "auth" }, { reject: "any" }], { account: "ada" }), "ok");
  assert.match(await told([away, { permit: "auth" }, reject]), /^451 4\.3\.0/);
  // A policy server permits as well.
  const silent = restrictionWorld({ askPolicy: () => Promise.resolve({ kind: "failed", text: "no answer" }) });
  const policy = { policy: "inet:127.0.0.1:10023" };
  const judge = (written: readonly object[]) => {
    const restrictions = restrictionsOf(restrictionsSettings.parse(written), silent);
    const rules: EnvelopePolicy = { judgeRecipient: () => Promise.resolve(ACCEPT) };
    const all = restrictionsPolicy(rules, { restrictionsAt: () => restrictions, targetsOf: noRedirections });
    return all.judgeRecipient(stranger, "bob@ours.example");
  };
  const judged = await judge([policy, reject]);
  assert.ok(judged.kind === "reject" && judged.reply.code === 451);
  // Nobody waits for one that is only to warn, whatever it would have said.
  const warned = await judge([{ ...policy, warnOnly: true }, reject]);
  assert.ok(warned.kind === "reject" && warned.reply.code === 554);
});

test("warn-only refuses nothing and says what it would have refused", async () => {
  const written = [
    { helo: "unqualified", warnOnly: true },
    { reject: "any", warnOnly: true, name: "all of them" },
    { sender: "unknown-domain", warnOnly: true },
  ];
  const judgement = await policyOf(written).judgeRecipient(
    { ...stranger, helo: "friend", sender: "a@broken.example" },
    "bob@ours.example",
  );
  assert.equal(judgement.kind, "accept");
  assert.deepEqual(
    judgement.notes?.map(({ restriction }) => restriction),
    ["helo unqualified", "all of them", "sender unknown-domain"],
  );
  assert.match(judgement.notes?.[0]?.text ?? "", /^504 5\.5\.2 <friend>/);
  assert.ok(judgement.notes?.every(({ isWarning }) => isWarning === true));
});

test("warn-only is about refusals: a policy server that says OK permits, as with Postfix's warn_if_reject", async () => {
  const says: PolicyTold[] = [
    { kind: "action", action: "OK" },
    { kind: "action", action: "REJECT" },
  ];
  const written = [
    { policy: "inet:127.0.0.1:1", warnOnly: true },
    { reject: "any", name: "behind" },
  ];
  const restrictions = restrictionsOf(restrictionsSettings.parse(written), {
    ...world,
    askPolicy: () => Promise.resolve(says.shift() ?? { kind: "failed", text: "gone" }),
  });
  const policy = restrictionsPolicy(
    { judgeRecipient: () => Promise.resolve(ACCEPT) },
    { restrictionsAt: () => restrictions, targetsOf: noRedirections },
  );
  const judge = (): Promise<Judgement> => policy.judgeRecipient(stranger, "bob@ours.example");
  assert.equal((await judge()).kind, "accept");
  for (const _ of ["it refuses", "it fails"]) {
    const judged = await judge();
    assert.ok(judged.kind === "reject" && judged.reply.code === 554 && judged.restriction === "behind");
    assert.equal(judged.notes?.[0]?.isWarning, true);
  }
});

test("what others behind have to say is told as well", async () => {
  const own = { restriction: "sender-rights", text: "553 5.7.1 not yours", isWarning: true };
  const written = [{ helo: "unqualified", warnOnly: true }];
  const judgement = await policyOf(written, { ...ACCEPT, notes: [own] }).judgeRecipient(
    { ...stranger, helo: "friend" },
    "bob@ours.example",
  );
  assert.deepEqual(
    judgement.notes?.map(({ restriction }) => restriction),
    ["helo unqualified", "sender-rights"],
  );
});

test("a recipient that has to come again is counted by no rate behind", async () => {
  let counted = 0;
  let answer: GreylistAnswer = { kind: "wait", leftMs: 300_000, isNew: true };
  const counting = restrictionWorld({
    rates: {
      countRate: () => {
        counted += 1;
        return Promise.resolve({ kind: "counted" });
      },
    },
    greylist: {
      askGreylist: () => Promise.resolve(answer),
    },
  });
  const written = restrictionsSettings.parse([{ greylist: {} }, { rate: { by: "address", limit: "3/h" } }]);
  const restrictions = restrictionsOf(written, counting);
  const policy = restrictionsPolicy(
    { judgeRecipient: () => Promise.resolve(ACCEPT) },
    { restrictionsAt: () => restrictions, targetsOf: noRedirections },
  );
  assert.equal((await policy.judgeRecipient(stranger, "bob@ours.example")).kind, "reject");
  assert.equal(counted, 0);
  answer = { kind: "pass", because: "known" };
  assert.equal((await policy.judgeRecipient(stranger, "bob@ours.example")).kind, "accept");
  assert.equal(counted, 1);
});

test("what a filter puts in a recipient's place is judged, and counted and greylisted as the one that was given", async () => {
  const asked: string[] = [];
  const counting = restrictionWorld({
    rates: {
      countRate: () => {
        asked.push("rate");
        return Promise.resolve({ kind: "counted" });
      },
    },
    greylist: {
      askGreylist: () => {
        asked.push("greylist");
        return Promise.resolve({ kind: "pass", because: "known" });
      },
    },
  });
  const policyWith = (written: readonly object[]) => {
    const restrictions = restrictionsOf(restrictionsSettings.parse(written), counting);
    return restrictionsPolicy(
      { judgeRecipient: () => Promise.resolve(ACCEPT) },
      { restrictionsAt: () => restrictions, targetsOf: noRedirections },
    );
  };
  const closed = { recipient: "closed@ours.example" };
  const policy = policyWith([{ greylist: {} }, { rate: { by: "address", limit: "3/h" } }, closed]);
  const first = await policy.judgeRecipient(stranger, "bob@ours.example");
  assert.ok(first.kind === "accept" && first.permittedAt === undefined);
  assert.deepEqual(asked, ["greylist", "rate"]);
  const instead = {};
  assert.equal((await policy.judgeRecipient({ ...stranger, instead }, "ada@ours.example")).kind, "accept");
  assert.equal((await policy.judgeRecipient({ ...stranger, instead }, "closed@ours.example")).kind, "reject");
  assert.deepEqual(asked, ["greylist", "rate"]);

  // Whoever permitted the first one is not asked of the second: what stands behind is not, either.
  const open = policyWith([{ greylist: {} }, { recipient: "bob@ours.example", verdict: "permit" }, closed]);
  const permitted = await open.judgeRecipient(stranger, "bob@ours.example");
  assert.ok(permitted.kind === "accept" && permitted.permittedAt === 1);
  const moved = { ...stranger, instead: { permittedAt: permitted.permittedAt } };
  assert.equal((await open.judgeRecipient(moved, "closed@ours.example")).kind, "accept");
});

test("code and text are the operator's, and the status follows the code", async () => {
  assert.equal(
    await told([{ helo: "unknown", code: 554, text: "go away", name: "strangers" }], { helo: "nowhere.example" }),
    "554 5.7.1 go away [strangers]",
  );
  assert.equal(
    await told([{ reject: "any", code: 421 }]),
    "421 4.7.1 <mail.good.example[192.0.2.10]>: Client host rejected: Access denied [reject any]",
  );
});

test("text and a code of 4xx are the operator's for who is to come again, too", async () => {
  const world = restrictionWorld({
    greylist: { askGreylist: () => Promise.resolve({ kind: "wait", leftMs: 1000, isNew: true }) },
    resolver: zoneResolver({ "10.2.0.192.bl.example A": ["127.0.0.2"] }),
  });
  const words = async (written: object): Promise<string> => {
    const [restriction] = restrictionsOf(restrictionsSettings.parse([written]), world);
    const found = await restriction?.judge({ facts: stranger, recipient: "bob@ours.example", stage: "rcpt" });
    return found !== undefined && "reply" in found ? replyText(found.reply) : "";
  };
  assert.equal(await words({ greylist: {}, text: "later, please", code: 451 }), "451 4.7.1 later, please");
  const list = { dnsLists: { lists: ["bl.example"], reject: 5, defer: 1 } };
  assert.equal(await words({ ...list, text: "later, please", code: 554 }), "450 4.7.1 later, please");
  const failing = restrictionWorld({
    greylist: { askGreylist: () => Promise.resolve({ kind: "failed", text: "disk full" }) },
  });
  const [restriction] = restrictionsOf(restrictionsSettings.parse([{ greylist: {}, text: "later, please" }]), failing);
  const found = await restriction?.judge({ facts: stranger, recipient: "bob@ours.example", stage: "rcpt" });
  assert.ok(found?.kind === "wait");
  assert.match(replyText(found.reply), /^451 4\.3\.0 a lookup failed here/);
  assert.equal(restrictionsSettings.safeParse([{ greylist: {}, code: 550 }]).success, false);
});

test("the code for refusals is not one for those that a policy server says are for the moment", async () => {
  const words = async (says: string | undefined, written: object): Promise<string> => {
    const told = says === undefined ? { kind: "failed", text: "" } : { kind: "action", action: says };
    const asked = restrictionWorld({ askPolicy: () => Promise.resolve(told as PolicyTold) });
    const [restriction] = restrictionsOf(restrictionsSettings.parse([written]), asked);
    const found = await restriction?.judge({ facts: stranger, recipient: "bob@ours.example", stage: "rcpt" });
    return found !== undefined && "reply" in found ? replyText(found.reply) : "";
  };
  const policy = "inet:127.0.0.1:10023";
  assert.match(await words("REJECT no", { policy, code: 550, text: "go away" }), /^550 5\.7\.1 go away/);
  assert.match(await words("DEFER later", { policy, code: 550 }), /^450 4\.7\.1 .*later/);
  assert.match(await words("451 4.2.0 later", { policy, code: 550, text: "come again" }), /^451 4\.2\.0 come again/);
  assert.match(await words("DEFER later", { policy, code: 421 }), /^421 4\.7\.1 .*later/);
  assert.match(await words(undefined, { policy: { at: policy, default: "DEFER later" }, code: 550 }), /^450/);
});

test("questions carry no mail, and other listeners have restrictions of their own", async () => {
  assert.equal(await told([{ reject: "any" }], { accepted: undefined }), "ok");
  assert.equal(await told([{ reject: "any" }], { listener: "other" }), "ok");
});

test("each step is told to whoever wants it explained", async () => {
  const steps: PolicyStep[] = [];
  const written = [{ helo: "unqualified" }, { reject: "any", warnOnly: true }, { permit: "any" }, { reject: "any" }];
  await policyOf(written, ACCEPT, (step) => steps.push(step)).judgeRecipient(stranger, "bob@ours.example");
  assert.deepEqual(
    steps.map((step) => (step.step === "restriction" ? `${step.restriction}: ${step.finding}` : step.step)),
    ["helo unqualified: pass", "reject any: refuse", "permit any: permit"],
  );
});

test("settings refuse what cannot be meant", () => {
  for (const [written, problem] of [
    [{}, /exactly one of/],
    [{ helo: "ours", sender: "<>" }, /exactly one of/],
    [{ helo: "ours", verdict: "permit" }, /passes a test/],
    [{ permit: "any", verdict: "reject" }, /goes with/],
    [{ permit: "any", warnOnly: true }, /nothing to warn of/],
    [{ helo: "two words" }, /expected invalid, unqualified/],
    [{ reject: "any", code: 250 }, /400/],
    [{ sender: "!table:bad" }, /no ! in front/],
    [{ helo: ["*.example.net", "!mx.example.net"] }, /no ! in front/],
    [{ recipient: "!ada@ours.example", verdict: "permit" }, /no ! in front/],
  ] as const) {
    const parsed = restrictionsSettings.safeParse([written]);
    assert.match(JSON.stringify(parsed.error?.issues ?? "accepted"), problem, JSON.stringify(written));
  }
  assert.deepEqual(restrictionsSettings.parse([]), []);
});
