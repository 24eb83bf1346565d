import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../../simulator/clock.ts";
import { replyText } from "../../../protocol/smtp/reply.ts";
import { restrictionWorld } from "../../../testing/restriction-world.ts";
import type { SessionFactsForRules } from "../policy.ts";
import { Rates } from "./rates.ts";
import { rateFinding, rateKey } from "./rate-finding.ts";
import { rateSettings } from "./rate-settings.ts";
import type { RestrictionAsk } from "./restriction.ts";

const HOUR = 3_600_000;
const ask = (changes: Partial<SessionFactsForRules> = {}, recipient = "Bob@Ours.example"): RestrictionAsk => ({
  facts: {
    listener: "smtp",
    clientAddress: "192.0.2.9",
    helo: "Mail.Good.Example",
    isEncrypted: false,
    sender: "Eve@Good.example",
    accepted: 0,
    ...changes,
  },
  recipient,
  stage: "rcpt",
});

function asking(written: object) {
  const clock = virtualClock(HOUR * 500);
  const rates = new Rates(clock);
  const settings = rateSettings.parse(written);
  const world = restrictionWorld({ clock, rates: { countRate: (one) => Promise.resolve(rates.count(one)) } });
  return { clock, rates, told: (one: RestrictionAsk) => rateFinding(world, "rate", settings, one) };
}

test("so many pass in the time, the next one is told when to come again, and then passes", async () => {
  const { clock, told } = asking({ by: "address", limit: "3/h" });
  for (let n = 0; n < 3; n++) assert.equal((await told(ask())).kind, "pass");
  const no = await told(ask());
  assert.ok(no.kind === "refuse");
  assert.match(replyText(no.reply), /^450 4\.7\.1 Too much mail \(recipients 3\/h\); try again in 1h$/);
  assert.equal(no.detail, "address 192.0.2.9");
  assert.equal((await told(ask({ clientAddress: "192.0.2.10" }))).kind, "pass");
  await clock.advance(HOUR);
  assert.equal((await told(ask())).kind, "pass");
});

test("who goes on trying is not locked out for longer", async () => {
  const { clock, told } = asking({ by: "address", limit: "1/h" });
  assert.equal((await told(ask())).kind, "pass");
  for (let n = 0; n < 59; n++) {
    await clock.advance(60_000);
    assert.equal((await told(ask())).kind, "refuse");
  }
  await clock.advance(60_000);
  assert.equal((await told(ask())).kind, "pass");
});

test("mail that is told to come again is counted when it has come again", async () => {
  const { told } = asking({ by: "address", limit: "1/h" });
  assert.equal((await told({ ...ask(), isWaiting: true })).kind, "pass");
  assert.equal((await told(ask())).kind, "pass");
  assert.equal((await told(ask())).kind, "refuse");
  assert.equal((await told({ ...ask(), isWaiting: true })).kind, "pass");
});

test("bytes are counted by their sum; one mail alone is never too large", async () => {
  const { told } = asking({ by: "sender", count: "bytes", limit: "1KiB/h" });
  const of = (sizeBytes: number, sender: string): RestrictionAsk => ({
    ...ask({ sender, more: { session: "1", protocol: "ESMTP", recipients: [], sizeBytes } }),
    stage: "end-of-data",
    recipient: "",
  });
  assert.equal((await told(of(600, "a@x.example"))).kind, "pass");
  assert.equal((await told(of(600, "a@x.example"))).kind, "refuse");
  assert.equal((await told(of(424, "a@x.example"))).kind, "pass");
  assert.equal((await told(of(5000, "b@x.example"))).kind, "pass");
  assert.equal((await told(of(1, "b@x.example"))).kind, "refuse");
});

test("each way of counting has its key, in one spelling", () => {
  const key = (by: string | string[], one = ask()): string | undefined =>
    rateKey(rateSettings.parse({ by, limit: "1/h" }), one);
  assert.equal(key("address"), "192.0.2.9");
  assert.equal(key("network"), "192.0.2.0/24");
  assert.equal(key("address", ask({ clientAddress: "2001:db8:1:2::3" })), "2001:db8:1:2::/64");
  assert.equal(key("account"), undefined);
  // Other writings may log in to the same account, by the rules of whoever checks its password.
  for (const account of ["Ada", "ada.", "\u00e1da", "a\u00adda"]) assert.equal(key("account", ask({ account })), "ada");
  assert.equal(key("helo"), "mail.good.example");
  assert.equal(key("sender"), "eve@good.example");
  assert.equal(key("sender", ask({ sender: "" })), "<>");
  assert.equal(key("sender-domain"), "good.example");
  assert.equal(key("sender-domain", ask({ sender: "" })), undefined);
  assert.equal(key("recipient"), "bob@ours.example");
  assert.equal(key("recipient-domain"), "ours.example");
  assert.equal(key(["network", "recipient"]), "192.0.2.0/24 bob@ours.example");
  assert.equal(key(["network", "account"]), undefined);
  assert.equal(key("address", ask({ clientAddress: undefined })), undefined);
  assert.equal(
    key("address", ask({ clientAddress: "2001:db8::1" })),
    key("address", ask({ clientAddress: "2001:db8::2" })),
  );
});

test("rates of one name are others where they count something else, or in another time", async () => {
  const clock = virtualClock(HOUR * 500);
  const rates = new Rates(clock);
  const world = restrictionWorld({ clock, rates: { countRate: (one) => Promise.resolve(rates.count(one)) } });
  const all = [
    { by: "account", limit: "5/1d" },
    { by: "account", limit: "3/h" },
    { by: "account", count: "bytes", limit: "1MiB/h" },
  ].map((written) => rateSettings.parse(written));
  const one = ask({ account: "ada", more: { session: "s", protocol: "ESMTP", recipients: [], sizeBytes: 1000 } });
  const told = async (): Promise<readonly string[]> => {
    const kinds: string[] = [];
    for (const settings of all) kinds.push((await rateFinding(world, "users", settings, one)).kind);
    return kinds;
  };
  for (let n = 0; n < 3; n++) assert.deepEqual(await told(), ["pass", "pass", "pass"]);
  assert.deepEqual(await told(), ["pass", "refuse", "pass"]);
  assert.deepEqual(
    rates.shown().map(({ rate, key, sum }) => [rate, key, sum]),
    [
      ["users", "ada", 3],
      ["users", "ada", 4],
      ["users", "ada", 4000],
    ],
  );
  assert.equal(rates.clear("ada"), 3);
});

test("counters have a bound; the one that was seen longest ago is forgotten", () => {
  const rates = new Rates(virtualClock(HOUR * 500), 3);
  const limit = { count: 1, perMs: HOUR };
  const count = (key: string): string =>
    rates.count({ rate: "r", of: "address recipients", key, amount: 1, limit }).kind;
  for (const key of ["a", "b", "c"]) assert.equal(count(key), "counted");
  assert.equal(count("a"), "full");
  assert.equal(count("d"), "counted");
  assert.equal(count("a"), "full");
  assert.equal(count("b"), "counted");
});

test("what is shown is the nearest to its limit first, and can be cleared by its key", () => {
  const rates = new Rates(virtualClock(HOUR * 500));
  const limit = { count: 4, perMs: HOUR };
  for (const [rate, key] of [
    ["r", "a"],
    ["r", "b"],
    ["r", "b"],
    ["s", "b"],
  ] as const)
    rates.count({ rate, of: "address recipients", key, amount: 1, limit });
  assert.deepEqual(
    rates.shown().map(({ rate, key, sum }) => [rate, key, sum]),
    [
      ["r", "b", 2],
      ["r", "a", 1],
      ["s", "b", 1],
    ],
  );
  assert.equal(rates.clear("b"), 2);
  assert.equal(rates.shown().length, 1);
});

test("settings: bytes in a time are a size in a time", () => {
  assert.equal(rateSettings.parse({ by: "account", count: "bytes", limit: "50MiB/1d" }).limit.count, 50 * 1024 * 1024);
  for (const bad of [
    { by: "account", count: "bytes", limit: "100" },
    { by: "account", limit: "50MiB/h" },
    { limit: "1/h" },
  ])
    assert.equal(rateSettings.safeParse(bad).success, false, JSON.stringify(bad));
});
