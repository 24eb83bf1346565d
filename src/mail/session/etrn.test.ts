import assert from "node:assert/strict";
import { test } from "node:test";
import { dialogue } from "../../testing/dialogue.ts";
import { eventLog } from "../../testing/reception.ts";
import type { Woken } from "../queue/queue.ts";

const code = (replies: readonly string[]): string => replies.map((text) => text.slice(0, 3)).join(" ");

/** One ETRN and what is said to it when the scheduler answers so. */
function asked(argument: string, outcome: Woken): { readonly wish: unknown; readonly said: readonly string[] } {
  const talk = dialogue({ mayEtrn: () => true });
  talk.say("EHLO client.example");
  assert.deepEqual(talk.say(`ETRN ${argument}`), [], "nothing is said before the scheduler has spoken");
  const wish = talk.asked[0];
  return { wish, said: talk.give({ kind: "woken", outcome }) };
}

test("it is offered where it may be used, and nowhere else", () => {
  assert.match(
    dialogue({ mayEtrn: () => true })
      .say("EHLO x")
      .join("\n"),
    /\bETRN\b/,
  );
  assert.doesNotMatch(dialogue().say("EHLO x").join("\n"), /\bETRN\b/);
  assert.doesNotMatch(
    dialogue({ mayEtrn: () => true, protocol: "lmtp" })
      .say("LHLO x")
      .join("\n"),
    /\bETRN\b/,
  );
  const refused = dialogue();
  refused.say("EHLO x");
  assert.equal(code(refused.say("ETRN example.org")), "502");
  assert.deepEqual(refused.asked, []);
});

test("each outcome has the reply that RFC 1985 gives it", () => {
  const woken = { kind: "woken" } as const;
  assert.deepEqual(asked("Example.ORG", { ...woken, envelopes: 3 }), {
    wish: { do: "wake", domain: "example.org", withSubdomains: false },
    said: ["253 2.0.0 OK, 3 pending messages for node Example.ORG started"],
  });
  assert.deepEqual(asked("@example.org", { ...woken, envelopes: 0 }), {
    wish: { do: "wake", domain: "example.org", withSubdomains: true },
    said: ["251 2.0.0 OK, no messages waiting for node @example.org"],
  });
  assert.equal(code(asked("example.org", woken).said), "252");
  assert.equal(code(asked("example.org", { ...woken, isStarting: true }).said), "250");
  assert.equal(code(asked("example.org", { kind: "not-allowed" }).said), "459");
  assert.equal(code(asked("example.org", { kind: "failed", text: "the table is away" }).said), "458");
});

test("what is no domain is refused without asking anybody, and so is a queue by name", () => {
  const talk = dialogue({ mayEtrn: () => true });
  talk.say("EHLO x");
  for (const [argument, expected] of [
    ["", "501"],
    ["exa mple", "501"],
    ["@", "501"],
    ["[192.0.2.1]", "501"],
    ["-x-.example", "501"],
    ["#urgent", "458"],
  ] as const) {
    assert.equal(code(talk.say(`ETRN ${argument}`)), expected, argument);
    assert.deepEqual(talk.asked, [], argument);
  }
});

test("an international domain is asked for by its A-labels", () => {
  assert.deepEqual(asked("München.example", { kind: "woken", envelopes: 1 }).wish, {
    do: "wake",
    domain: "xn--mnchen-3ya.example",
    withSubdomains: false,
  });
});

test("not before EHLO, not in a transaction, not without the encryption or login that the listener wants", () => {
  const talk = dialogue({ mayEtrn: () => true });
  assert.equal(code(talk.say("ETRN example.org")), "503");
  talk.say("EHLO x");
  talk.say("MAIL FROM:<a@b.example>");
  assert.equal(code(talk.say("ETRN example.org")), "503");
  const encrypted = dialogue({ mayEtrn: () => true, tls: "require" });
  encrypted.say("EHLO x");
  assert.equal(code(encrypted.say("ETRN example.org")), "530");
  const loggedIn = dialogue({ mayEtrn: () => true, auth: "require", tls: "off" });
  loggedIn.say("EHLO x");
  assert.equal(code(loggedIn.say("ETRN example.org")), "530");
});

test("while the answer is awaited no command is heard, and afterwards the session goes on where it was", () => {
  const talk = dialogue({ mayEtrn: () => true });
  talk.say("EHLO x");
  talk.say("ETRN example.org");
  assert.deepEqual(talk.say("NOOP"), []);
  talk.give({ kind: "woken", outcome: { kind: "woken", envelopes: 1 } });
  assert.equal(code(talk.say("MAIL FROM:<a@b.example>")), "250");
});

test("who asks too often is told to come later, and the log says what everybody was told", () => {
  const log = eventLog();
  const talk = dialogue({ mayEtrn: () => true }, { emit: log.emit });
  talk.say("EHLO x");
  talk.say("ETRN example.org");
  talk.give({ kind: "woken", outcome: { kind: "woken", envelopes: 2 } });
  assert.deepEqual(log.lines.slice(-1), [
    "ETRN example.org from client.example[192.0.2.9]: 253 2.0.0 OK, 2 pending messages for node example.org started",
  ]);
  const { allowance } = talk.world;
  Object.assign(talk.world, { allowance: { ...allowance, take: (what: string) => what !== "etrn" } });
  assert.equal(code(talk.say("ETRN example.org")), "458");
  assert.match(log.lines.at(-1) ?? "", /limit exceeded: ETRN in a minute/);
});

test("who speaks for another with XCLIENT asks with the other's right, not with its own", () => {
  const filter = { address: "192.0.2.9", port: 4242, name: "filter.example" };
  const mayEtrn = ({ address }: { readonly address?: string | undefined }): boolean => address !== "203.0.113.7";
  const talk = dialogue({ mayXclient: () => true, mayEtrn }, { peer: filter });
  assert.match(talk.say("EHLO x").join("\n"), /\bETRN\b/);
  talk.say("XCLIENT ADDR=203.0.113.7 NAME=stranger.example");
  assert.doesNotMatch(talk.say("EHLO x").join("\n"), /\bETRN\b/);
  assert.equal(code(talk.say("ETRN example.org")), "502");
});
