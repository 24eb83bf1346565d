import assert from "node:assert/strict";
import { test } from "node:test";
import type { TlsReason } from "../../service/tls/finding/finding.ts";
import type { ClientHelloFacts, Flight } from "../../service/tls/flight/flight.ts";
import { tlsFacts } from "../../testing/tls-facts.ts";
import { differencesOf } from "./tls-differences.ts";
import type { TlsRecord } from "./tls-journal.ts";

function hello(changes: Partial<ClientHelloFacts> = {}): ClientHelloFacts {
  return {
    versions: ["TLSv1.3", "TLSv1.2"],
    ciphers: [0x1301, 0x1302],
    groups: [29, 23],
    keyShares: [29],
    signatures: [0x0403],
    extensions: [0, 10, 13],
    serverName: "mx.example",
    alpn: [],
    offersResumption: false,
    ja4: "t13-good",
    ...changes,
  };
}

function flight(facts: Partial<ClientHelloFacts>, last = "ClientHello"): Flight {
  return {
    role: "server",
    startedAt: 0,
    events: [{ atMs: 0, direction: "in", what: last, bytes: 10 }],
    omitted: 0,
    hello: hello(facts),
    bytes: { in: 10, out: 0 },
    wire: [],
  };
}

const common = {
  at: 0,
  session: "s",
  direction: "in",
  peer: "c[192.0.2.1]",
  address: "192.0.2.1",
  place: "smtp",
} as const;

function failed(reason: TlsReason, ofFlight: Flight | undefined, certificate?: string): TlsRecord {
  const finding = { reason, role: "server", fault: "peer", sentence: "", cure: "", afterMs: 1 } as const;
  return {
    kind: "failure",
    row: { ...common, id: 1, wasUp: false, finding, certificate, ja4: ofFlight?.hello?.ja4 },
    flight: ofFlight,
  };
}

function worked(ofFlight: Flight | undefined, certificate = "ab12"): TlsRecord {
  const ownCertificate = { fingerprint: certificate, keyKind: "ec", notAfterAt: 1 };
  return {
    kind: "session",
    row: { ...common, id: 2, facts: tlsFacts({ ownCertificate, clientFingerprint: "t13-good" }) },
    flight: ofFlight,
  };
}

test("the result comes first, then what bears on the reason, then other differences, then what is the same", () => {
  const differences = differencesOf(
    failed("version-mismatch", flight({ versions: ["TLSv1.0"], ja4: "t10-old", alpn: ["smtp"] }), "ab12"),
    worked(flight({})),
  );
  const names = differences.map(({ what }) => what);
  assert.deepEqual(names.slice(0, 3), ["result", "client software (JA4)", "versions offered"]);
  assert.deepEqual(
    differences.find(({ what }) => what === "versions offered"),
    {
      what: "versions offered",
      one: "TLSv1.0",
      other: "TLSv1.3 TLSv1.2",
      isSame: false,
    },
  );
  assert.ok(names.indexOf("ALPN offered") > 2);
  const firstSame = differences.findIndex(({ isSame }) => isSame);
  assert.ok(differences.slice(firstSame).every(({ isSame }) => isSame));
  assert.equal(differences.find(({ what }) => what === "our certificate")?.isSame, true);
});

test("short lists are shown whole; of long ones each side shows what only it has", () => {
  const groups = (one: readonly number[], other: readonly number[]): readonly (string | undefined)[] => {
    const found = differencesOf(failed("no-shared-group", flight({ groups: one })), worked(flight({ groups: other })));
    const { one: a, other: b } = found.find(({ what }) => what === "groups offered") ?? {};
    return [a, b];
  };
  assert.deepEqual(groups([29, 24], [29, 4588]), ["X25519 secp384r1", "X25519 X25519MLKEM768"]);
  const common = [23, 25, 30, 256, 257, 258, 259];
  assert.deepEqual(groups([...common, 24], [...common, 4588]), [
    "the 7 in common and secp384r1",
    "the 7 in common and X25519MLKEM768",
  ]);
  assert.deepEqual(groups(common, [...common, 4588]), ["only the 7 in common", "the 7 in common and X25519MLKEM768"]);
});

test("the same ciphers in another order are a difference, and made-up values are none", () => {
  const one = failed("other", flight({ ciphers: [0x1302, 0x1301], groups: [0x0a0a, 29, 23] }));
  const differences = differencesOf(one, worked(flight({ groups: [0x1a1a, 29, 23] })));
  const ciphers = differences.find(({ what }) => what === "ciphers offered");
  assert.match(ciphers?.one ?? "", /^TLS_AES_256_GCM_SHA384 TLS_AES_128/);
  assert.equal(differences.find(({ what }) => what === "groups offered")?.isSame, true);
});

test("without recorded flights the rows still tell the certificate and the client's software", () => {
  const differences = differencesOf(failed("certificate-rejected", undefined, "cd34"), worked(undefined));
  assert.deepEqual(
    differences.slice(0, 2).map(({ what, one, other }) => [what, one, other]),
    [
      ["result", "failed: certificate-rejected", "worked: TLSv1.3, TLS_AES_256_GCM_SHA384"],
      ["our certificate", "cd34", "ab12"],
    ],
  );
  assert.equal(
    differences.some(({ what }) => what === "ciphers offered"),
    false,
  );
});
