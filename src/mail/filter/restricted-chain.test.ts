import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { noRedirections, restrictionWorld } from "../../testing/restriction-world.ts";
import { testFacts, testMail } from "../../testing/filter-mail.ts";
import type { EnvelopePolicy, Judgement, SessionFactsForRules } from "../envelope/policy.ts";
import { restrictionsOf, restrictionsPolicy } from "../envelope/restrictions/restrictions.ts";
import { restrictionsSettings } from "../envelope/restrictions/settings.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { scriptedFilter, type Script } from "../../testing/scripted-filter.ts";
import { FilterChain } from "./chain.ts";
import type { FilterQuestion } from "./filter.ts";
import { RestrictedChain } from "./restricted-chain.ts";

const who: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.9",
  clientName: "mail.good.example",
  helo: "mail.good.example",
  isEncrypted: false,
  sender: "eve@good.example",
  accepted: 0,
  more: { session: "s1", protocol: "ESMTP", recipients: [{ given: "bob@example.org" }] },
};
const ACCEPT: Judgement = { kind: "accept", targets: [], rule: "rule 1" };
const UNKNOWN: Judgement = { kind: "reject", reply: reply(550, "5.1.1", "User unknown"), because: "" };

/** A session whose policy server says what `says` says of each question: its stage, and its attributes. */
function session(
  written: readonly object[],
  says: (state: string, asked: ReadonlyMap<string, string>) => string = () => "DUNNO",
  inner: Judgement = ACCEPT,
  placed = true,
  isFull = false,
  filters?: FilterChain,
) {
  const asked: ReadonlyMap<string, string>[] = [];
  const world = restrictionWorld({
    rates: { countRate: () => Promise.resolve(isFull ? { kind: "full", againAt: 1000 } : { kind: "counted" }) },
    askPolicy(_settings, request) {
      const attributes = new Map(
        request.split("\n").map((line) => [line.split("=")[0] ?? "", line.replace(/^[^=]*=/, "")]),
      );
      asked.push(attributes);
      return Promise.resolve({ kind: "action", action: says(attributes.get("protocol_state") ?? "", attributes) });
    },
  });
  const restrictions = restrictionsOf(restrictionsSettings.parse(written), world);
  const rules: EnvelopePolicy = { judgeRecipient: () => Promise.resolve(inner) };
  const policy = restrictionsPolicy(rules, {
    restrictionsAt: () => restrictions,
    targetsOf: placed ? (to) => Promise.resolve([{ recipient: to, action: "deliver" }]) : noRedirections,
  });
  const chain = new RestrictedChain(policy, "smtp", filters);
  const ask = (stage: "connect" | "auth" | "mail" | "data") => chain.ask({ stage, facts: testFacts() }, who);
  const helo = (name: string) =>
    chain.ask({ stage: "helo", verb: "EHLO", name, facts: testFacts() } satisfies FilterQuestion, who);
  return {
    chain,
    asked,
    ask,
    helo,
    rcpt: (recipient = "bob@example.org", more: Partial<SessionFactsForRules> = {}) =>
      chain.judgeRecipient({ ...who, ...more }, recipient),
    judge: () => chain.judge(testMail("Subject: x\n\nbody\n"), who),
  };
}

const policyAt = (when: string, more: object = {}) => [{ policy: "inet:127.0.0.1:10023", when, name: "ps", ...more }];
const code = (judgement: { readonly kind: string; readonly reply?: { readonly code: number } }): string =>
  judgement.reply === undefined ? judgement.kind : `${judgement.kind} ${judgement.reply.code}`;

test("a refusal found at connect waits for RCPT, where it is told with the restriction's name", async () => {
  const { chain, ask, rcpt } = session([{ reject: "192.0.2.0/24", when: "connect", name: "bad" }]);
  assert.ok(chain.wants("connect"));
  assert.equal(chain.wants("data"), false);
  assert.equal((await ask("connect")).kind, "proceed");
  const judged = await rcpt();
  assert.ok(judged.kind === "reject");
  assert.equal(judged.reply.code, 554);
  assert.equal(judged.restriction, "bad");
});

test("a refusal at once ends the session at connect, and refuses the command elsewhere", async () => {
  const connect = session([{ reject: "192.0.2.0/24", when: "connect", answer: "at-once" }]);
  const outcome = await connect.ask("connect");
  assert.equal(outcome.kind, "disconnect");
  const helo = session([{ helo: "evil.example", when: "helo", answer: "at-once" }]);
  assert.equal((await helo.helo("evil.example")).kind, "refuse");
  assert.equal((await helo.helo("good.example")).kind, "proceed");
});

test("another EHLO is judged anew, and so is each mail's sender", async () => {
  const { helo, rcpt } = session([{ helo: "evil.example", when: "helo" }]);
  await helo("evil.example");
  assert.equal(code(await rcpt()), "reject 550");
  await helo("good.example");
  assert.equal(code(await rcpt()), "accept");

  let verdict = "REJECT";
  const mail = session(policyAt("mail"), () => verdict);
  mail.chain.begin();
  await mail.ask("mail");
  assert.equal(code(await mail.rcpt()), "reject 554");
  verdict = "DUNNO";
  mail.chain.begin();
  await mail.ask("mail");
  assert.equal(code(await mail.rcpt()), "accept");
});

test("what is wanted at connect, EHLO or AUTH is done to every mail of the session, until it is asked anew", async () => {
  for (const stage of ["connect", "helo", "auth"] as const) {
    let verdict = "HOLD look at it";
    const { chain, ask, helo, rcpt, judge } = session(policyAt(stage), () => verdict);
    const again = (): Promise<unknown> => (stage === "helo" ? helo("mail.good.example") : ask(stage));
    const mail = async (): Promise<string> => {
      chain.begin();
      assert.equal(code(await rcpt()), "accept");
      return chain.wants("message") ? (await judge()).fate.kind : "keep";
    };
    await again();
    assert.equal(await mail(), "quarantine", stage);
    assert.equal(await mail(), "quarantine", stage);
    verdict = "DUNNO";
    await again();
    assert.equal(await mail(), "keep", stage);
  }
});

test("what waits from an earlier stage gives way to a refusal for good by the rules", async () => {
  const { ask, rcpt } = session(policyAt("connect"), () => "DEFER_IF_PERMIT later", UNKNOWN);
  await ask("connect");
  assert.equal(code(await rcpt()), "reject 550");
  const other = session(policyAt("connect"), () => "DEFER_IF_PERMIT later");
  await other.ask("connect");
  assert.equal(code(await other.rcpt()), "reject 450");
});

test("rates of messages are counted when content is announced, and refuse there", async () => {
  const { chain, ask } = session(
    [{ rate: { by: "sender", count: "messages", limit: "1/h" } }],
    undefined,
    ACCEPT,
    true,
    true,
  );
  assert.ok(chain.wants("data"));
  const outcome = await ask("data");
  assert.ok(outcome.kind === "refuse" && outcome.reply.code === 450);
});

test("a permit holds at every stage behind it in its list", async () => {
  const { ask, rcpt, asked } = session(
    [{ permit: "192.0.2.0/24" }, ...policyAt("data"), ...policyAt("connect")],
    () => "REJECT",
  );
  assert.equal((await ask("connect")).kind, "proceed");
  assert.equal(code(await rcpt()), "accept");
  assert.equal((await ask("data")).kind, "proceed");
  assert.equal(asked.length, 0);
});

test("who has logged in since is not refused for what stands behind his permit, and still for what stands in front", async () => {
  const behind = session([
    { permit: "auth" },
    { reject: "192.0.2.0/24", when: "connect" },
    { helo: "evil.example", when: "helo" },
  ]);
  await behind.ask("connect");
  await behind.helo("evil.example");
  assert.equal(code(await behind.rcpt()), "reject 554");
  assert.equal(code(await behind.rcpt("bob@example.org", { account: "ada" })), "accept");
  const between = session([
    { helo: "evil.example", when: "helo" },
    { permit: "auth" },
    { reject: "192.0.2.0/24", when: "connect" },
  ]);
  await between.ask("connect");
  await between.helo("evil.example");
  assert.equal(code(await between.rcpt("bob@example.org", { account: "ada" })), "reject 550");
  await between.helo("good.example");
  assert.equal(code(await between.rcpt("bob@example.org", { account: "ada" })), "accept");
});

test("a refusal hides nothing that stands in front of it from whom a permit between them lets in later", async () => {
  const bad = { reject: "192.0.2.0/24", when: "connect", name: "bad" };
  const of = async (says: string, written: readonly object[]): Promise<string> => {
    const { chain, ask, rcpt, judge } = session(written, () => says);
    await ask("connect");
    chain.begin();
    assert.equal(code(await rcpt()), "reject 554", says);
    const judged = await rcpt("bob@example.org", { account: "ada" });
    return judged.kind === "accept" && chain.wants("message") ? (await judge()).fate.kind : code(judged);
  };
  const inFront = [...policyAt("connect"), { permit: "auth" }, bad];
  assert.equal(await of("DEFER_IF_PERMIT later", inFront), "reject 450");
  assert.equal(await of("HOLD look", inFront), "quarantine");
  const behind = [{ permit: "auth" }, ...policyAt("connect"), bad];
  assert.equal(await of("DEFER_IF_PERMIT later", behind), "accept");
  assert.equal(await of("HOLD look", behind), "accept");
});

test("what was wanted of the mail before RCPT is not done to mail for those alone whom a permit in front of it lets in by then", async () => {
  const permit = { recipient: "postmaster@example.org", verdict: "permit" };
  for (const stage of ["connect", "mail"] as const) {
    const { chain, ask, rcpt, judge } = session([permit, ...policyAt(stage)], () => "HOLD look");
    if (stage === "connect") await ask("connect");
    const fateFor = async (...recipients: readonly string[]): Promise<string> => {
      chain.begin();
      if (stage === "mail") await ask("mail");
      for (const one of recipients) assert.equal(code(await rcpt(one)), "accept");
      return chain.wants("message") ? (await judge()).fate.kind : "keep";
    };
    assert.equal(await fateFor("postmaster@example.org"), "keep", stage);
    assert.equal(await fateFor("postmaster@example.org", "bob@example.org"), "quarantine", stage);
    assert.equal(await fateFor("bob@example.org", "postmaster@example.org"), "quarantine", stage);
    // A filter put somebody else in the place of the one who was permitted.
    chain.begin();
    if (stage === "mail") await ask("mail");
    await rcpt("postmaster@example.org");
    assert.equal(code(await rcpt("bob@example.org", { instead: { permittedAt: 0 } })), "accept");
    assert.equal(chain.wants("message"), false, stage);
  }
  // A question in the middle of the mail is about none of its recipients.
  const asking = session([permit, ...policyAt("connect")], () => "HOLD look");
  await asking.ask("connect");
  asking.chain.begin();
  await asking.rcpt("postmaster@example.org");
  assert.equal(code(await asking.rcpt("bob@example.org", { accepted: undefined })), "accept");
  assert.equal(asking.chain.wants("message"), false);
  // Nobody knows whether they are permitted: they wait, as where it is found at the same stage.
  const unknown = session([{ recipient: "table:away", verdict: "permit" }, ...policyAt("connect")], () => "HOLD look");
  await unknown.ask("connect");
  assert.equal(code(await unknown.rcpt()), "reject 451");
});

test("whom a filter puts in the place of one who was permitted is not refused for what stands behind that permit", async () => {
  const { ask, rcpt } = session([
    { recipient: "postmaster@example.org", verdict: "permit" },
    { reject: "192.0.2.0/24", when: "connect" },
  ]);
  await ask("connect");
  assert.equal(code(await rcpt("postmaster@example.org")), "accept");
  assert.equal(code(await rcpt("ada@example.org", { instead: { permittedAt: 0 } })), "accept");
  assert.equal(code(await rcpt("ada@example.org", { instead: {} })), "reject 554");
});

test("of entries of one name, at several stages, each stands where it stands", async () => {
  const { ask, helo, rcpt } = session([...policyAt("connect"), { permit: "auth" }, ...policyAt("helo")], (state) =>
    state === "EHLO" ? "REJECT" : "DUNNO",
  );
  await ask("connect");
  await helo("mail.good.example");
  assert.equal(code(await rcpt()), "reject 554");
  assert.equal(code(await rcpt("bob@example.org", { account: "ada" })), "accept");
});

test("who may be permitted, and nobody knows, is refused for the moment for what stands behind, at every stage", async () => {
  const bad = { reject: "192.0.2.0/24", when: "connect", answer: "at-once", name: "bad" };
  const { ask, rcpt } = session([{ permit: "auth" }, { permit: "table:away" }, bad]);
  assert.equal((await ask("connect")).kind, "proceed");
  assert.equal(code(await rcpt()), "reject 451");
  assert.equal(code(await rcpt("bob@example.org", { account: "ada" })), "accept");
  // The table went away behind the refusal: what was refused then waits now.
  const later = session([{ helo: "mail.good.example", when: "helo", name: "bad" }, { permit: "auth" }]);
  await later.helo("mail.good.example");
  assert.equal(code(await later.rcpt()), "reject 550");
  const unknown = session([
    { sender: "table:away", verdict: "permit" },
    { helo: "mail.good.example", when: "helo", name: "bad" },
  ]);
  await unknown.helo("mail.good.example");
  assert.equal(code(await unknown.rcpt()), "reject 451");
});

test("at DATA and behind it the server knows how many recipients there are, and one mail has one instance", async () => {
  const { chain, ask, rcpt, asked, judge } = session(
    ["rcpt", "data", "end-of-data"].flatMap((when) => policyAt(when)),
    (state) => (state === "END-OF-MESSAGE" ? "REJECT" : "DUNNO"),
  );
  chain.begin();
  await rcpt();
  await ask("data");
  const sifted = await judge();
  assert.ok(sifted.fate.kind === "refuse" && sifted.fate.reply.code === 554);
  chain.begin();
  await rcpt();
  const of = (name: string): readonly string[] => asked.map((one) => one.get(name) ?? "");
  assert.deepEqual(of("protocol_state"), ["RCPT", "DATA", "END-OF-MESSAGE", "RCPT"]);
  assert.deepEqual(of("recipient_count"), ["0", "1", "1", "0"]);
  assert.deepEqual(of("recipient"), ["bob@example.org", "bob@example.org", "bob@example.org", "bob@example.org"]);
  assert.equal(of("size")[2], String("Subject: x\r\n\r\nbody\r\n".length));
  const [first, second, third, next] = of("instance");
  assert.ok(first === second && second === third && third !== next);
});

test("a field is put in front of those that the client sent, and forgotten with the mail", async () => {
  const { chain, rcpt, judge } = session(policyAt("rcpt"), () => "PREPEND X-Grey: waited");
  chain.begin();
  assert.equal(chain.wants("message"), false);
  await rcpt();
  assert.ok(chain.wants("message"));
  const sifted = await judge();
  assert.equal(sifted.header.toString(), "X-Grey: waited\r\nSubject: x\r\n");
  assert.ok(sifted.isChanged);
  chain.begin();
  assert.equal(chain.wants("message"), false);
});

test("a server holds, discards, redirects, copies and chooses the action of a mail", async () => {
  const of = async (says: string, placed = true) => {
    const { chain, rcpt, judge } = session(policyAt("rcpt"), () => says, ACCEPT, placed);
    chain.begin();
    assert.equal(code(await rcpt()), "accept", says);
    return judge();
  };
  const held = (await of("HOLD look")).fate;
  assert.ok(held.kind === "quarantine" && held.by.because === "look");
  assert.equal((await of("DISCARD")).fate.kind, "discard");
  const redirected = await of("REDIRECT box@ours.example");
  assert.deepEqual([redirected.added, redirected.removed], [["box@ours.example"], ["bob@example.org"]]);
  const copied = await of("BCC box@ours.example");
  assert.deepEqual([copied.added, copied.removed], [["box@ours.example"], []]);
  assert.equal((await of("FILTER relay")).action?.action, "relay");
  // Nobody may lose a mail to an address that is none.
  const lost = (await of("REDIRECT nobody@far.example", false)).fate;
  assert.ok(lost.kind === "refuse" && lost.reply.code === 451);
});

test("a filter that passes mail on gets none that is held or discarded, and the rest for whom it is now", async () => {
  const of = async (says: string) => {
    const shown: string[][] = [];
    const judge: Script["judge"] = ({ facts }) => {
      shown.push(facts.mail.recipients.map(({ address }) => address));
      return { fate: { kind: "handed-over", reply: reply(250, "2.0.0", "Ok") } };
    };
    const clock = virtualClock(0);
    const proxy = scriptedFilter("proxy", { handsOver: true, judge }, { clock });
    const filters = new FilterChain([proxy], testFacts(), { clock, tables: new Map() });
    const { chain, rcpt, judge: judged } = session(policyAt("rcpt"), () => says, ACCEPT, true, false, filters);
    chain.begin();
    assert.equal(code(await rcpt()), "accept", says);
    return [(await judged()).fate.kind, shown];
  };
  assert.deepEqual(await of("DUNNO"), ["handed-over", [["bob@example.org"]]]);
  assert.deepEqual(await of("HOLD look"), ["quarantine", []]);
  assert.deepEqual(await of("DISCARD"), ["discard", []]);
  assert.deepEqual(await of("REDIRECT box@ours.example"), ["handed-over", [["box@ours.example"]]]);
  assert.deepEqual(await of("BCC box@ours.example"), ["handed-over", [["bob@example.org", "box@ours.example"]]]);
});

test("a destination that is no action of ours is never gone to", async () => {
  const { chain, rcpt } = session(policyAt("rcpt"), () => "FILTER smtp:[203.0.113.1]:25");
  chain.begin();
  assert.equal(code(await rcpt()), "reject 451");
  const named = session(
    [{ policy: { at: "inet:127.0.0.1:1", filters: { "smtp:[127.0.0.1]:10025": "relay" } } }],
    () => "FILTER smtp:[127.0.0.1]:10025",
  );
  named.chain.begin();
  assert.equal(code(await named.rcpt()), "accept");
  assert.equal((await named.judge()).action?.action, "relay");
});

test("warn-only changes and refuses nothing at any stage, and says what it would", async () => {
  for (const says of ["REJECT", "PREPEND X-Grey: waited", "DISCARD", "DEFER_IF_REJECT x"]) {
    const { chain, ask, rcpt, judge } = session(
      ["connect", "rcpt", "end-of-data"].flatMap((when) => policyAt(when, { warnOnly: true })),
      (state) => (state === "END-OF-MESSAGE" && says.startsWith("PREPEND") ? "DISCARD" : says),
    );
    chain.begin();
    const outcome = await ask("connect");
    assert.equal(outcome.kind, "proceed");
    assert.equal(outcome.notes?.length, 1);
    const judged = await rcpt();
    assert.equal(judged.kind, "accept");
    assert.equal(judged.notes?.length, 1, says);
    const sifted = await judge();
    assert.deepEqual([sifted.fate.kind, sifted.isChanged, sifted.notes?.length], ["keep", false, 1], says);
  }
});

test("DEFER_IF_REJECT makes a later refusal for good one for now", async () => {
  const { rcpt } = session(policyAt("rcpt"), () => "DEFER_IF_REJECT 4.3.0 wait", UNKNOWN);
  const judged = await rcpt();
  assert.ok(judged.kind === "reject");
  assert.equal(judged.reply.code, 450);
  assert.match(judged.because, /else 550 5\.1\.1/);
  assert.equal(code(await session(policyAt("rcpt"), () => "DEFER_IF_REJECT wait").rcpt()), "accept");
});

test("what a restriction said of a command is nothing where a filter refuses that command", async () => {
  const clock = virtualClock(0);
  const no = { kind: "refuse", reply: reply(550, "5.7.1", "no") } as const;
  const refusing = scriptedFilter(
    "f",
    {
      at: ["helo", "auth"],
      ask: (question) => (question.stage === "helo" && question.name !== "refused.example" ? { kind: "proceed" } : no),
    },
    { clock },
  );
  const says = (_state: string, asked: ReadonlyMap<string, string>): string =>
    asked.get("helo_name") === "bad.example" ? "REJECT" : asked.get("policy_context") === "login" ? "HOLD" : "DUNNO";
  const login = policyAt("auth", { policy: { at: "inet:127.0.0.1:10023", context: "login" }, name: "login" });
  const filters = new FilterChain([refusing], testFacts(), { clock, tables: new Map() });
  const { ask, helo, rcpt, chain } = session([...policyAt("helo"), ...login], says, ACCEPT, true, false, filters);
  const judged = async (): Promise<string> => {
    chain.begin();
    return code(await rcpt());
  };
  await helo("bad.example");
  assert.equal((await helo("refused.example")).kind, "refuse");
  assert.equal(await judged(), "reject 554", "the name in force is the one before");
  await helo("good.example");
  assert.equal((await ask("auth")).kind, "refuse");
  assert.equal(await judged(), "accept");
  assert.equal(chain.wants("message"), false, "nobody has logged in whose mail is to be held");
});
