import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../foundation/clock.ts";
import { reply } from "../../protocol/smtp/reply.ts";
import { virtualClock } from "../../simulator/clock.ts";
import type { ConnectRequest, NetworkDelivery, RecipientTried, ResolveRequest } from "../delivery/delivery.ts";
import { calloutSettings } from "../envelope/restrictions/callout-settings.ts";
import type { Actions } from "../envelope/action-settings.ts";
import { createCallouts } from "./callouts.ts";

const actions: Actions = {
  relay: { kind: "relay", to: [], backup: false },
  inside: { kind: "relay", to: ["smtp://inside.example:2525"], backup: false },
  deliver: { kind: "deliver", as: "maildir" },
};

/** Next hosts that answer RCPT as a test wants, after 1 second. */
function world(
  answer: (recipient: string, host: string) => RecipientTried | "no-connection" | "never",
  hosts: (domain: string) => readonly string[] = () => ["mx.example"],
) {
  const clock = virtualClock(0);
  const connects: ConnectRequest[] = [];
  const resolves: ResolveRequest[] = [];
  const left: string[] = [];
  const open = new Map<string, string>();
  let atOnce = 0;
  let mostAtOnce = 0;
  const network: Pick<NetworkDelivery, "resolve" | "connect" | "tryRecipient" | "leave"> = {
    resolve(request) {
      resolves.push(request);
      if (request.target.kind === "domain" && request.target.domain === "nowhere.example")
        return Promise.resolve({
          ok: false,
          failure: { lasting: "permanent", status: "5.1.2", cause: { kind: "settings", text: "no such domain" } },
        });
      return Promise.resolve({
        ok: true,
        freshUntilAt: 0,
        hosts: hosts(request.target.kind === "domain" ? request.target.domain : "").map((name) => ({
          name,
          address: { ip: name === "hang.example" ? "192.0.2.2" : "192.0.2.1", port: 25 },
          preference: 10,
        })),
      });
    },
    async connect(request) {
      connects.push(request);
      open.set(request.session, request.host.name);
      if (answer("", request.host.name) === "no-connection") {
        const failure = {
          lasting: "temporary",
          status: "4.4.1",
          cause: { kind: "settings", text: "refused" },
        } as const;
        return { ok: false, failure, scope: "address", tookMs: 1 };
      }
      return { ok: true, session: request.session, facts: { host: request.host.name, extensions: [] }, tookMs: 1 };
    },
    async tryRecipient(session, { recipient }) {
      mostAtOnce = Math.max(mostAtOnce, ++atOnce);
      await sleep(clock, 1000);
      atOnce--;
      const told = answer(recipient, open.get(session) ?? "");
      if (told === "never") return new Promise<never>(() => {});
      return told === "no-connection" ? { kind: "failed", text: "gone" } : told;
    },
    leave: async (session) => void left.push(session),
  };
  const callouts = createCallouts({ network, clock, actions: () => actions, helo: () => "us.example" });
  const ask = async (address: string, changes: object = {}, action?: string) => {
    const terms = calloutSettings.parse({ of: "recipient", ...changes });
    const asked = callouts.callOut({ address, action, terms });
    await clock.advance(1000);
    return asked;
  };
  return { clock, ask, callouts, connects, resolves, left, most: () => mostAtOnce };
}

const said = (code: number, status: string, text: string, to: "MAIL" | "RCPT" = "RCPT"): RecipientTried => ({
  kind: "answered",
  to,
  reply: reply(code, status, text),
  host: "mx.example[192.0.2.1]:25",
});

test("what the next host says of an address is the answer, with its words; the session is left", async () => {
  const { ask, left } = world((recipient) =>
    recipient.startsWith("ada") ? said(250, "2.1.5", "Ok") : said(550, "5.1.1", "User unknown"),
  );
  assert.deepEqual(await ask("ada@far.example"), { kind: "taken" });
  assert.deepEqual(await ask("bob@far.example"), {
    kind: "refused",
    text: "host mx.example[192.0.2.1]:25 said: 550 5.1.1 User unknown (in reply to RCPT)",
  });
  assert.equal(left.length, 2);
});

test("it is remembered, for as long as the settings say", async () => {
  const { ask, clock, connects } = world(() => said(550, "5.1.1", "User unknown"));
  for (let n = 0; n < 3; n++) await ask("bob@far.example", { rememberBad: "1h" });
  assert.equal(connects.length, 1);
  await clock.advance(3_600_000);
  await ask("bob@far.example", { rememberBad: "1h" });
  assert.equal(connects.length, 2);
});

test("refusals that are about us, and not about the address, say nothing of it", async () => {
  for (const told of [
    said(554, "5.7.1", "blocked"),
    said(550, "5.7.1", "your network is listed"),
    said(450, "4.2.0", "Greylisted"),
    said(550, "5.1.8", "no null senders here", "MAIL"),
    { kind: "failed", text: "lost" } as const,
  ])
    assert.equal((await world(() => told).ask("bob@far.example")).kind, "unknown");
});

test("a host that cannot be had is not the last one asked", async () => {
  const { ask } = world(
    (_recipient, host) => (host === "b.example" ? said(250, "2.1.5", "Ok") : "no-connection"),
    () => ["a.example", "b.example"],
  );
  assert.deepEqual(await ask("ada@far.example"), { kind: "taken" });
});

test("a domain that has no hosts, for good, takes no mail", async () => {
  const { ask } = world(() => said(250, "2.1.5", "Ok"));
  assert.equal((await ask("ada@nowhere.example")).kind, "refused");
});

test("a recipient is asked for where its action sends it, a sender at its domain", async () => {
  const { ask, resolves, connects } = world(() => said(250, "2.1.5", "Ok"));
  await ask("ada@ours.example", {}, "inside");
  await ask("eve@far.example");
  assert.deepEqual(
    resolves.map(({ target }) =>
      target.kind === "domain" ? target.domain : target.kind === "host" ? target.host : "",
    ),
    ["inside.example", "far.example"],
  );
  assert.deepEqual(
    connects.map(({ destination, helo }) => [destination, helo]),
    [
      ["inside.example:2525", "us.example"],
      ["far.example", "us.example"],
    ],
  );
  assert.equal((await ask("ada@ours.example", {}, "deliver")).kind, "unknown");
});

test("who waits too long goes on, and the answer is there when they come again", async () => {
  const { callouts, clock, connects } = world(() => said(250, "2.1.5", "Ok"));
  const terms = { ...calloutSettings.parse("recipient"), wait: 300 };
  const first = callouts.callOut({ address: "ada@far.example", terms });
  await clock.advance(300);
  assert.equal((await first).kind, "unknown");
  await clock.advance(700);
  assert.deepEqual(await callouts.callOut({ address: "ada@far.example", terms }), { kind: "taken" });
  assert.equal(connects.length, 1);
});

test("questions about one address are one, and no more are asked at once than may be", async () => {
  const { callouts, clock, connects, most } = world(() => said(250, "2.1.5", "Ok"));
  const terms = calloutSettings.parse({ of: "recipient", atOnce: 2, wait: "1m" });
  const all = Array.from({ length: 12 }, (_, n) => callouts.callOut({ address: `a${n % 6}@far.example`, terms }));
  await clock.advance(5000);
  assert.ok((await Promise.all(all)).every(({ kind }) => kind === "taken"));
  assert.equal(connects.length, 6);
  assert.equal(most(), 2);
});

test("strangers' hosts that let us wait keep nobody from asking a host behind us", async () => {
  const { callouts, clock } = world((recipient) =>
    recipient.endsWith("@tarpit.example") ? "never" : said(250, "2.1.5", "Ok"),
  );
  const terms = calloutSettings.parse({ of: "recipient", wait: "8s" });
  const senders = Array.from({ length: 200 }, (_, n) => callouts.callOut({ address: `e${n}@tarpit.example`, terms }));
  const recipient = callouts.callOut({ address: "ada@ours.example", action: "inside", terms });
  await clock.advance(8000);
  assert.deepEqual(await recipient, { kind: "taken" });
  assert.ok((await Promise.all(senders)).every(({ kind }) => kind === "unknown"));
});

for (const [what, domainOf] of [
  ["for one domain", () => "slow.example"],
  ["for many domains", (n: number) => `slow${n}.example`],
] as const)
  test(`a host that lets us wait, ${what}, keeps nobody from asking others`, async () => {
    const { callouts, clock } = world(
      (_recipient, host) => (host === "hang.example" ? "never" : said(250, "2.1.5", "Ok")),
      (domain) => [domain.startsWith("slow") ? "hang.example" : "mx.example"],
    );
    const terms = calloutSettings.parse({ of: "recipient", wait: "8s" });
    const callOut = (address: string) => callouts.callOut({ address, action: "relay", terms });
    const slow = Array.from({ length: 300 }, (_, n) => callOut(`e${n}@${domainOf(n)}`));
    const others = Array.from({ length: 20 }, (_, n) => callOut(`ada${n}@far${n}.example`));
    await clock.advance(8000);
    assert.ok((await Promise.all(others)).every(({ kind }) => kind === "taken"));
    assert.ok((await Promise.all(slow)).every(({ kind }) => kind === "unknown"));
  });

test("behind a host that lets us wait there is time for the next one", async () => {
  const { callouts, clock, left } = world(
    (_recipient, host) => (host === "hang.example" ? "never" : said(250, "2.1.5", "Ok")),
    () => ["hang.example", "mx.example"],
  );
  const terms = calloutSettings.parse({ of: "recipient", wait: "2m" });
  const asked = callouts.callOut({ address: "ada@far.example", action: "relay", terms });
  await clock.advance(119_000);
  assert.deepEqual(await asked, { kind: "taken" });
  assert.equal(left.includes("callout-1"), true, "nobody stays in a session that is given up");
});

test("senders for whom there is no turn push out nothing that is known", async () => {
  const { callouts, clock, connects } = world((recipient) =>
    recipient.endsWith("@tarpit.example") ? "never" : said(250, "2.1.5", "Ok"),
  );
  const terms = calloutSettings.parse({ of: "sender", wait: "8s", mostRemembered: 100 });
  const inside = { address: "ada@ours.example", action: "inside", terms };
  const first = callouts.callOut(inside);
  await clock.advance(3000);
  assert.deepEqual(await first, { kind: "taken" });
  const senders = Array.from({ length: 300 }, (_, n) => callouts.callOut({ address: `e${n}@tarpit.example`, terms }));
  await clock.advance(8000);
  await Promise.all(senders);
  const before = connects.length;
  const again = callouts.callOut(inside);
  await clock.advance(3000);
  assert.deepEqual([await again, connects.length], [{ kind: "taken" }, before]);
});

test("what is remembered has a bound", async () => {
  const { ask, connects } = world(() => said(250, "2.1.5", "Ok"));
  for (let n = 0; n <= 100; n++) await ask(`a${n}@far.example`, { mostRemembered: 100 });
  await ask("a0@far.example", { mostRemembered: 100 });
  assert.equal(connects.length, 102);
});
