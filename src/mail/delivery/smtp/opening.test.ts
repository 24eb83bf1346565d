import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Reply } from "../../../protocol/smtp/reply.ts";
import type { TlsMode } from "../../route/next-host.ts";
import { beginOpening, onOpeningInput, type OpeningAction, type OpeningInput, type OpeningPlan } from "./opening.ts";

function plan(changes: Partial<OpeningPlan> = {}): OpeningPlan {
  return {
    protocol: "smtp",
    helo: "us.example",
    tls: "may",
    mustVerify: false,
    hasCredentials: false,
    isConfidential: false,
    host: "mx[192.0.2.1]:25",
    ...changes,
  };
}

const said = (code: number, ...lines: string[]): OpeningInput => {
  const reply: Reply = { code, lines: lines.length === 0 ? [""] : lines };
  return { on: "reply", reply };
};

function play(given: OpeningPlan, inputs: readonly OpeningInput[]): (OpeningAction | undefined)[] {
  const first = beginOpening(given);
  let [opening] = first;
  const actions = [first[1]];
  for (const input of inputs) {
    const step = onOpeningInput(opening, input);
    [opening] = step;
    actions.push(step[1]);
  }
  return actions;
}

const words = (action: OpeningAction | undefined): string =>
  action === undefined ? "wait" : action.do === "send" ? action.text.trim() : action.do;

test("what was offered in the clear is forgotten under TLS", () => {
  const actions = play(plan({ hasCredentials: true }), [
    said(220),
    said(250, "mx", "STARTTLS", "AUTH PLAIN"),
    said(220),
    { on: "encrypted" },
    said(250, "mx"),
  ]);
  assert.deepEqual(actions.map(words), ["wait", "EHLO us.example", "STARTTLS", "startTls", "EHLO us.example", "fail"]);
  const last = actions.at(-1);
  assert.ok(last?.do === "fail" && last.failure.cause.kind === "auth" && last.failure.cause.reason === "not-offered");
});

test("a login by certificate takes EXTERNAL and nothing else, and a password's login never takes EXTERNAL", () => {
  const dialogue = (offered: string): OpeningInput[] => [
    said(220),
    said(250, "mx", "STARTTLS"),
    said(220),
    { on: "encrypted" },
    said(250, "mx", `AUTH ${offered}`),
  ];
  const last = (isExternal: boolean, offered: string) =>
    play(plan({ hasCredentials: true, isExternal }), dialogue(offered)).at(-1);
  assert.deepEqual(last(true, "PLAIN EXTERNAL"), { do: "beginAuth", mechanism: "EXTERNAL" });
  assert.deepEqual(last(false, "EXTERNAL PLAIN"), { do: "beginAuth", mechanism: "PLAIN" });
  for (const [isExternal, offered] of [
    [true, "PLAIN LOGIN"],
    [false, "EXTERNAL"],
  ] as const) {
    const action = last(isExternal, offered);
    assert.ok(action?.do === "fail" && action.failure.cause.kind === "auth", offered);
    assert.equal(action.failure.cause.reason, "no-mechanism");
    assert.equal(action.failure.lasting, "temporary");
  }
  // The certificate stood for in plaintext would be nobody's.
  const plain = play(plan({ hasCredentials: true, isExternal: true }), [said(220), said(250, "mx", "AUTH EXTERNAL")]);
  assert.equal(words(plain.at(-1)), "fail");
});

test("STARTTLS that is refused means plaintext where that is allowed, and a deferral where it is not", () => {
  const dialogue = [said(220), said(250, "mx", "STARTTLS"), said(454)];
  const last = (given: Partial<OpeningPlan>) => words(play(plan(given), dialogue).at(-1));
  assert.equal(last({}), "ready");
  assert.equal(last({ tls: "starttls" }), "fail");
  assert.equal(last({ tls: "starttls-or-implicit" }), "another");
  assert.equal(last({ mustVerify: true }), "fail");
  assert.equal(last({ hasCredentials: true }), "fail");
  assert.equal(last({ tls: "never" }), "fail");
});

test("mechanisms are tried from the best to the plainest, each once, and a cancelled one gives way", () => {
  const actions = play(plan({ tls: "implicit", hasCredentials: true }), [
    { on: "encrypted" },
    said(220),
    said(250, "mx", "AUTH LOGIN PLAIN SCRAM-SHA-256"),
    { on: "response", text: "bixz", isFirst: true },
    said(334, "zzz"),
    { on: "response", text: undefined, isFirst: false },
    said(501),
    { on: "response", text: "AAA=", isFirst: true },
    said(534),
    { on: "response", text: undefined, isFirst: true },
    said(535),
  ]);
  assert.deepEqual(actions.map(words), [
    "startTls",
    "wait",
    "EHLO us.example",
    "beginAuth",
    "AUTH SCRAM-SHA-256 bixz",
    "answerChallenge",
    "*",
    "beginAuth",
    "AUTH PLAIN AAA=",
    "beginAuth",
    "AUTH LOGIN",
    "fail",
  ]);
});

test("a password refused once is shown in one other form at most, so that we look like nobody who guesses", () => {
  const hello = [{ on: "encrypted" } as const, said(220), said(250, "mx", "AUTH SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN")];
  const first = { on: "response", text: "AAA=", isFirst: true } as const;
  const actions = play(plan({ tls: "implicit", hasCredentials: true }), [...hello, first, said(535), first, said(535)]);
  assert.deepEqual(actions.map(words).slice(3), [
    "beginAuth",
    "AUTH SCRAM-SHA-256 AAA=",
    "beginAuth",
    "AUTH PLAIN AAA=",
    "fail",
  ]);
});

test("a login is tied to the TLS connection where there is something to tie it to, and the host offers it", () => {
  const offer = said(250, "mx", "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN");
  const first = { on: "response", text: "AAA=", isFirst: true } as const;
  const chosen = (canBind: boolean) =>
    words(
      play(plan({ tls: "implicit", hasCredentials: true }), [{ on: "encrypted", canBind }, said(220), offer, first]).at(
        -1,
      ),
    );
  assert.equal(chosen(true), "AUTH SCRAM-SHA-256-PLUS AAA=");
  assert.equal(chosen(false), "AUTH SCRAM-SHA-256 AAA=");
});

test("LMTP says LHLO and has no older greeting to fall back on", () => {
  const actions = play(plan({ protocol: "lmtp", tls: "never" }), [said(220), said(500)]);
  assert.deepEqual(actions.map(words), ["wait", "LHLO us.example", "fail"]);
});

test("whatever comes, nothing throws; credentials leave only in confidence, mail only as encrypted as it must be", () => {
  const codes = fc.constantFrom(220, 250, 334, 235, 354, 421, 450, 454, 500, 501, 504, 534, 535, 554);
  const lines = fc.subarray(["STARTTLS", "AUTH PLAIN LOGIN", "SIZE", "PIPELINING"]);
  const input: fc.Arbitrary<OpeningInput> = fc.oneof(
    { weight: 5, arbitrary: fc.tuple(codes, lines).map(([code, offered]) => said(code, "mx", ...offered)) },
    {
      weight: 2,
      arbitrary: fc.constantFrom<OpeningInput>({ on: "encrypted" }, { on: "encrypted", problem: "self-signed" }),
    },
    fc.constant<OpeningInput>({ on: "handshake-failed", text: "no" }),
    fc
      .tuple(fc.option(fc.constant("AA=="), { nil: undefined }), fc.boolean())
      .map(([text, isFirst]) => ({ on: "response", text, isFirst }) as const),
    fc.constant<OpeningInput>({ on: "untrusted" }),
  );
  const given = fc.record({
    protocol: fc.constantFrom("smtp" as const, "lmtp" as const),
    tls: fc.constantFrom<TlsMode>("never", "may", "starttls", "implicit", "starttls-or-implicit"),
    mustVerify: fc.boolean(),
    hasCredentials: fc.boolean(),
  });
  fc.assert(
    fc.property(given, fc.array(input, { maxLength: 12 }), (changes, inputs) => {
      const asked = plan(changes);
      let [opening, action] = beginOpening(asked);
      for (const one of inputs) {
        // The driver only speaks of handshakes that were asked for.
        if ((one.on === "encrypted" || one.on === "handshake-failed") && action?.do !== "startTls") continue;
        [opening, action] = onOpeningInput(opening, one);
        if (action?.do === "beginAuth") assert.ok(opening.isEncrypted);
        if (action?.do === "ready") {
          const mustEncrypt = !["never", "may"].includes(asked.tls) || (asked.mustVerify && asked.tls === "may");
          if (mustEncrypt) assert.ok(opening.isEncrypted);
          if (asked.hasCredentials) assert.ok(opening.isEncrypted);
        }
        if (action?.do === "another") {
          assert.equal(asked.tls, action.tls === "never" ? "may" : "starttls-or-implicit");
          assert.ok(action.tls !== "never" || (!asked.hasCredentials && !asked.mustVerify));
        }
      }
    }),
    { numRuns: 2000 },
  );
});
