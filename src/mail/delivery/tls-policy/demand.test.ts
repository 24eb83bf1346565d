import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { TlsMode } from "../../route/next-host.ts";
import { allowsVariant, demandOf, type DemandRequest } from "./demand.ts";
import { TLS_LEVELS, type TlsPolicy } from "./policy.ts";
import { tlsClientSettings } from "./settings.ts";

const defaults = tlsClientSettings.parse({});
const MODES: readonly TlsMode[] = ["never", "may", "starttls", "implicit", "starttls-or-implicit"];

function demand(changes: Partial<DemandRequest> = {}, policy?: TlsPolicy, caFile?: string) {
  const request: DemandRequest = {
    mode: "may",
    verify: false,
    hasCredentials: false,
    isUnix: false,
    destination: "example.org",
    hostName: "mx.mail.example",
    host: "mx.mail.example[192.0.2.1]:25",
    relay: "example.org",
    ...changes,
  };
  const found = policy === undefined ? undefined : { policy, key: "Example.org", where: "posthorn.yaml:3:5" };
  return demandOf(request, found, defaults, caFile);
}

test("without a policy the relay's URL decides", () => {
  for (const [mode, level] of [
    ["never", "none"],
    ["may", "may"],
    ["starttls", "encrypt"],
    ["implicit", "encrypt"],
    ["starttls-or-implicit", "encrypt"],
  ] as const) {
    const demanded = demand({ mode });
    assert.deepEqual([demanded.mode, demanded.level, demanded.mustVerify], [mode, level, false]);
    assert.equal(demanded.rule, `relay example.org: ${level}`);
    assert.deepEqual(demanded.wanted, { by: "authorities", names: ["mx.mail.example"] });
  }
});

test("a policy decides where the relay leaves it open, and says so", () => {
  for (const [level, mode, mustVerify] of [
    ["none", "never", false],
    ["may", "may", false],
    ["encrypt", "starttls", false],
    ["fingerprint", "starttls", true],
    ["verify", "starttls", true],
    ["secure", "starttls", true],
  ] as const) {
    const demanded = demand({}, { level, ...(level === "fingerprint" ? { fingerprints: ["ab".repeat(32)] } : {}) });
    assert.deepEqual([demanded.mode, demanded.level, demanded.mustVerify], [mode, level, mustVerify]);
    assert.equal(demanded.rule, `posthorn.yaml:3:5 (key Example.org): ${level}`);
  }
});

test("a policy takes nothing away from a relay that asks for encryption, and adds to one that does not", () => {
  for (const mode of ["starttls", "implicit", "starttls-or-implicit"] as const) {
    for (const level of ["none", "may"] as const) {
      const demanded = demand({ mode }, { level });
      assert.deepEqual([demanded.mode, demanded.level, demanded.rule], [mode, "encrypt", "relay example.org: encrypt"]);
    }
    assert.deepEqual(
      [demand({ mode }, { level: "secure" }).mode, demand({ mode }, { level: "secure" }).mustVerify],
      [mode, true],
    );
  }
  assert.equal(demand({ mode: "never" }, { level: "may" }).mode, "never");
  assert.equal(demand({ mode: "never" }, { level: "encrypt" }).mode, "starttls");
  assert.equal(demand({ mode: "never" }, { level: "encrypt" }).rule, "posthorn.yaml:3:5 (key Example.org): encrypt");
});

test("none counts for nobody who logs in or asks for verification", () => {
  assert.equal(demand({ hasCredentials: true }, { level: "none" }).mode, "may");
  assert.equal(demand({ hasCredentials: true }, { level: "none" }).level, "encrypt");
  const verified = demand({ verify: true }, { level: "none" });
  assert.deepEqual([verified.mode, verified.mustVerify, verified.level], ["may", true, "verify"]);
});

test("no policy is about a unix socket", () => {
  const demanded = demand({ isUnix: true, mode: "never" }, { level: "secure" });
  assert.deepEqual([demanded.mode, demanded.mustVerify, demanded.found], ["never", false, undefined]);
});

test("verify is about the host, secure about the destination, and match about what it says", () => {
  assert.deepEqual(demand({}, { level: "verify" }).wanted, { by: "authorities", names: ["mx.mail.example"] });
  assert.deepEqual(demand({}, { level: "secure" }).wanted, {
    by: "authorities",
    names: ["example.org", ".example.org"],
  });
  assert.deepEqual(demand({ destination: "[192.0.2.1]:2525" }, { level: "secure" }).wanted, {
    by: "authorities",
    names: ["192.0.2.1"],
  });
  assert.deepEqual(demand({ destination: "[2001:db8::1]" }, { level: "secure" }).wanted, {
    by: "authorities",
    names: ["2001:db8::1"],
  });
  assert.deepEqual(
    demand({}, { level: "secure", match: ["hostname", "nexthop", "dot-nexthop", "other.example"] }).wanted,
    { by: "authorities", names: ["mx.mail.example", "example.org", ".example.org", "other.example"] },
  );
  assert.deepEqual(demand({}, { level: "fingerprint", fingerprints: ["aa"] }).wanted, {
    by: "fingerprint",
    fingerprints: ["aa"],
  });
});

test("the trait of a variant is all that differs, and it is never older than the policy allows", () => {
  const usual = demand().context;
  assert.deepEqual(demand({ variant: "tls1.2" }).context, { ...usual, maxVersion: "TLSv1.2" });
  assert.deepEqual(demand({ variant: "no-tickets" }).context, { ...usual, hasTickets: false });
  assert.equal(demand({ variant: "no-tickets" }).sessionKey, undefined);
  assert.match(demand({ variant: "no-hybrid-group" }).context.groups ?? "", /^X25519:P-256/);
  assert.match(demand({ variant: "rsa-only" }).context.signatures ?? "", /^rsa_/);
  assert.equal(allowsVariant("TLSv1.3", "tls1.2"), false);
  assert.equal(allowsVariant("TLSv1.2", "tls1.2"), true);
  assert.equal(allowsVariant("TLSv1.3", "no-hybrid-group"), true);
});

test("sessions are kept apart by host, name, level, what is wanted, and how the handshake is made", () => {
  const keys = [
    demand(),
    demand({ host: "mx.mail.example[192.0.2.2]:25" }),
    demand({ destination: "other.org" }, { level: "secure" }),
    demand({}, { level: "secure" }),
    demand({}, { level: "verify" }),
    demand({}, { level: "may", serverName: "x.example" }),
    demand({}, { level: "may", minVersion: "TLSv1.3" }),
    demand({}, undefined, "/ca.pem"),
    demand({ variant: "tls1.2" }),
  ].map((one) => one.sessionKey);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(demand({}, { level: "may", tickets: false }).sessionKey, undefined);
});

test("whatever relay and policy say together, what either demands holds", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...MODES),
      fc.boolean(),
      fc.boolean(),
      fc.option(fc.constantFrom(...TLS_LEVELS), { nil: undefined }),
      (mode, verify, hasCredentials, level) => {
        const demanded = demand({ mode, verify, hasCredentials }, level === undefined ? undefined : { level });
        const isAsked = !["never", "may"].includes(mode) || (level !== undefined && !["none", "may"].includes(level));
        if (isAsked) assert.ok(["starttls", "implicit", "starttls-or-implicit"].includes(demanded.mode));
        if (verify) assert.ok(demanded.mustVerify);
        if (demanded.mode === "never") assert.ok(!isAsked && (mode === "never" || (!verify && !hasCredentials)));
        if (level === "secure" || level === "verify" || level === "fingerprint") assert.ok(demanded.mustVerify);
      },
    ),
  );
});

test("the terms of a handshake are the policy's, whichever variant is used, without what is judged after it", () => {
  const usual = demand().terms;
  assert.equal(usual, "min-version=TLSv1.2");
  for (const variant of ["no-hybrid-group", "no-tickets", "rsa-only", "tls1.2"] as const)
    assert.equal(demand({ variant }).terms, usual);
  for (const policy of [
    { level: "secure", match: ["example.org"], caFile: "/ca.pem" },
    { level: "fingerprint", fingerprints: ["ab".repeat(32)] },
  ] as const)
    assert.equal(demand({}, policy).terms, usual);
  assert.equal(
    demand({}, { level: "encrypt", minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL", tickets: false }).terms,
    "min-version=TLSv1 max-version=TLSv1.1 ciphers=ALL tickets=no",
  );
  assert.equal(
    demand({}, { level: "may", serverName: "mx.example", certificate: "own" }).terms,
    "min-version=TLSv1.2 servername=mx.example certificate=own",
  );
});
