import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { TLS_REASONS } from "./finding.ts";
import type { Flight, FlightEvent } from "../flight/flight.ts";
import { firstLine, guessForeign } from "./foreign.ts";
import { errorNumbers } from "./openssl-error.ts";
import { explain } from "./reasons.ts";
import type { Evidence, RawEnd, TlsPhase } from "./reasons.ts";

type Step = readonly [direction: "in" | "out", what: string, detail?: string];

function flight(role: "server" | "client", ...steps: readonly Step[]): Flight {
  const events = steps.map(([direction, what, detail], n): FlightEvent => {
    const isNote = what === "FIN" || what === "RST";
    return { atMs: n, direction, what, bytes: isNote ? 0 : 100, ...(detail === undefined ? {} : { detail }) };
  });
  return { role, startedAt: 0, events, omitted: 0, bytes: { in: 0, out: 0 }, wire: [] };
}

const evidence = (changes: Partial<Evidence>): Evidence => ({
  role: "server",
  flight: flight("server", ["in", "ClientHello"], ["out", "ServerHello"], ["out", "encrypted"]),
  end: "error",
  phase: "handshake",
  afterMs: 62,
  ...changes,
});

/** As OpenSSL writes it, with a name that no rule may depend on. */
const opensslError = (reason: number, library = 20): Error => {
  const packed = (((library << 23) >>> 0) + reason).toString(16).toUpperCase().padStart(8, "0");
  return new Error(`00FE:error:${packed}:SSL routines:some_function:words that change:../some/file.c:1601:\n`);
};

test("an error is known by its number, never by its name", () => {
  assert.deepEqual(errorNumbers(opensslError(1048)), { reason: 1048, alert: 48, text: "words that change" });
  assert.deepEqual(errorNumbers(opensslError(193)), { reason: 193, alert: undefined, text: "words that change" });
  assert.equal(errorNumbers(opensslError(193, 11)).reason, undefined);
  assert.equal(errorNumbers(opensslError(102, 11)).reason, undefined);
  const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  assert.deepEqual(errorNumbers(reset), { code: "ECONNRESET", text: "read ECONNRESET" });
});

test("a record that does not decrypt is a bad one, whichever part of OpenSSL says so", () => {
  const inTls = explain(evidence({ error: opensslError(281), phase: "open" }));
  const inCiphers = explain(evidence({ error: opensslError(102, 57), phase: "open" }));
  assert.deepEqual([inTls.reason, inCiphers.reason], ["bad-record", "bad-record"]);
  assert.equal(inCiphers.sentence, inTls.sentence);
});

test("the alert of a client about certificates is about ours, that of a server about our own as a client", () => {
  for (const [number, asServer, asClient] of [
    [48, "certificate-unknown-authority", "client-certificate-rejected"],
    [45, "certificate-expired", "client-certificate-rejected"],
    [42, "certificate-rejected", "client-certificate-rejected"],
    [46, "certificate-rejected", "client-certificate-rejected"],
    [116, "certificate-rejected", "client-certificate-missing"],
    [70, "version-mismatch", "version-mismatch"],
    [120, "alpn-mismatch", "alpn-mismatch"],
    [112, "no-certificate-for-name", "no-certificate-for-name"],
    [20, "bad-record", "bad-record"],
    [51, "decrypt-error", "decrypt-error"],
    [80, "peer-alert", "peer-alert"],
    [199, "peer-alert", "peer-alert"],
  ] as const) {
    const error = opensslError(1000 + number);
    assert.equal(explain(evidence({ error })).reason, asServer, `${number} to a server`);
    const ours = flight("client", ["out", "ClientHello"], ["in", "ServerHello"], ["in", "encrypted"]);
    const found = explain(evidence({ role: "client", flight: ours, error }));
    assert.equal(found.reason, asClient, `${number} to a client`);
    assert.deepEqual([found.alert?.number, found.alert?.from], [number, "peer"]);
  }
});

test("an alert that travelled in clear counts as one that the library told of", () => {
  const seen = flight(
    "server",
    ["in", "ClientHello"],
    ["out", "ServerHello"],
    ["in", "Alert", "fatal unknown_ca (48)"],
  );
  const found = explain(evidence({ flight: seen, end: "fin" }));
  assert.equal(found.reason, "certificate-unknown-authority");
  assert.equal(found.lastFromUs, "ServerHello");
  assert.equal(found.lastFromPeer, "ClientHello");
});

test("what the driver knows for certain, and our own verdict, go before everything else", () => {
  assert.equal(
    explain(evidence({ context: { known: "keeper-unavailable" }, error: opensslError(193) })).reason,
    "keeper-unavailable",
  );
  const problem = { kind: "wrong-name", text: "the certificate is for mx1.example, not for mx.example" } as const;
  const found = explain(evidence({ role: "client", end: "local", context: { verdict: { result: "FAIL", problem } } }));
  assert.equal(found.reason, "verification-failed");
  assert.match(found.sentence, /for mx1\.example, not for mx\.example/);
});

test("a server of TLS 1.2 that refuses a client after an empty certificate wanted one", () => {
  const steps: Step[] = [
    ["out", "ClientHello"],
    ["in", "ServerHello"],
    ["in", "CertificateRequest"],
  ];
  const empty = flight("client", ...steps, ["out", "Certificate", "none"]);
  const found = explain(evidence({ role: "client", flight: empty, error: opensslError(1040) }));
  assert.equal(found.reason, "client-certificate-missing");
  const shown = flight("client", ...steps, ["out", "Certificate", "1 certificate, 900 bytes"]);
  assert.equal(explain(evidence({ role: "client", flight: shown, error: opensslError(1040) })).reason, "peer-alert");
});

test("no certificate of ours at all is our fault, and says so", () => {
  const found = explain(evidence({ error: opensslError(118), context: { ownKeys: [] } }));
  assert.deepEqual([found.reason, found.fault], ["no-own-certificate", "ours"]);
  assert.equal(
    explain(evidence({ error: opensslError(118), context: { ownKeys: ["ec"] } })).reason,
    "no-shared-signature",
  );
});

test("who does not speak TLS is known by the first words", () => {
  for (const [shown, guess] of [
    ["EHLO foo.example\\x0d\\x0a", "smtp"],
    ["220 mx.example ESMTP\\x0d\\x0a", "smtp"],
    ["220-mx", "smtp"],
    ["GET / HTTP/1.1", "http"],
    ["HTTP/1.1 400 Bad Request", "http"],
    ["* OK IMAP4rev1", "other"],
    ["SSH-2.0-x", "other"],
    ["2200", "other"],
  ] as const) {
    assert.equal(guessForeign(shown), guess, shown);
  }
  assert.equal(firstLine("EHLO a\\x0d\\x0aMAIL"), "EHLO a");
});

const noText = fc.constant(undefined);
const anyEvidence = fc.record({
  role: fc.constantFrom("server", "client" as const),
  end: fc.constantFrom<RawEnd>("fin", "fin-mid-record", "rst", "timeout", "local", "error"),
  phase: fc.constantFrom<TlsPhase>("plaintext", "handshake", "open", "closing"),
  afterMs: fc.nat(100_000),
  error: fc.oneof(
    noText,
    fc.integer({ min: 90, max: 1260 }).map((reason) => opensslError(reason)),
    fc.string(),
  ),
  known: fc.oneof(noText, fc.constantFrom(...TLS_REASONS)),
  steps: fc.array(
    fc.tuple(
      fc.constantFrom("in", "out" as const),
      fc.constantFrom(
        "ClientHello",
        "part of a ClientHello",
        "ServerHello",
        "Certificate",
        "encrypted",
        "Alert",
        "not TLS",
        "FIN",
        "ChangeCipherSpec",
      ),
      fc.oneof(noText, fc.constantFrom("fatal unknown_ca (48)", "EHLO x", "GET / HTTP/1.1", "none")),
    ),
    { maxLength: 8 },
  ),
});

test("whatever happened there is a reason, a whole sentence and a cure, on one line each and without leftovers", () => {
  fc.assert(
    fc.property(anyEvidence, ({ role, end, phase, afterMs, error, known, steps }) => {
      const seen = flight(
        role,
        ...steps.map(
          ([direction, what, detail]): Step =>
            [direction, what, ...(detail === undefined ? [] : [detail])] as unknown as Step,
        ),
      );
      const found = explain({ role, end, phase, afterMs, error, flight: seen, context: { known } });
      for (const text of [found.sentence, found.cure]) {
        assert.match(text, /^[A-Z`][^\n]*[.]$/, text);
        assert.doesNotMatch(text, /undefined|NaN|\[object| {2}|\.\.|, ,/, text);
      }
      assert.ok(TLS_REASONS.includes(found.reason));
    }),
    { numRuns: 1000 },
  );
});
