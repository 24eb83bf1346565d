import assert from "node:assert/strict";
import { test } from "node:test";
import type { NextHost } from "../../route/next-host.ts";
import { policyFinder, type PolicyFinder } from "./find-policy.ts";
import { parsePolicy, type TlsPolicy } from "./policy.ts";
import { maySharePolicy } from "./sharing.ts";

const hosts: readonly NextHost[] = [
  { name: "mx1.provider.example", address: { ip: "192.0.2.1", port: 25 }, preference: 10 },
  { name: "mx2.provider.example", address: { ip: "192.0.2.2", port: 25 }, preference: 20 },
];

function finder(policies: Readonly<Record<string, string>>): PolicyFinder {
  const parsed: Record<string, TlsPolicy> = {};
  for (const [key, text] of Object.entries(policies)) {
    const policy = parsePolicy(text);
    assert.ok(policy.ok);
    parsed[key] = policy.value;
  }
  return policyFinder({ policies: parsed, whereIs: (key) => key });
}

const mayShare = (policies: Readonly<Record<string, string>>): Promise<boolean> =>
  maySharePolicy(finder(policies), "customer.example", 25, hosts);

test("domains without a policy share sessions, also when one holds for their hosts or for everything", async () => {
  assert.equal(await mayShare({}), true);
  assert.equal(await mayShare({ "*": "encrypt" }), true);
  assert.equal(await mayShare({ "mx1.provider.example": "verify" }), true);
  assert.equal(await mayShare({ "192.0.2.2": "none" }), true);
  assert.equal(await mayShare({ "other.example": "secure" }), true);
});

test("a policy for the domain, with or without the port, or for all below a name above it, keeps it apart", async () => {
  assert.equal(await mayShare({ "customer.example": "may" }), false);
  assert.equal(await mayShare({ "customer.example:25": "encrypt" }), false);
  assert.equal(await mayShare({ "*.example": "encrypt" }), false);
});

test("a policy of a host or of all that checks the domain's name keeps it apart", async () => {
  assert.equal(await mayShare({ "mx2.provider.example": "secure" }), false);
  assert.equal(await mayShare({ "*": "secure" }), false);
  assert.equal(await mayShare({ "*": "verify match=nexthop" }), false);
  assert.equal(await mayShare({ "192.0.2.2": "verify match=hostname:dot-nexthop" }), false);
  assert.equal(await mayShare({ "*": "secure match=hostname" }), true);
});

test("what cannot be found out is a no", async () => {
  const broken: PolicyFinder = { find: () => Promise.resolve({ kind: "failed", text: "the table is away" }) };
  assert.equal(await maySharePolicy(broken, "customer.example", 25, hosts), false);
  const throwing: PolicyFinder = { find: () => Promise.reject(new Error("a bug")) };
  assert.equal(await maySharePolicy(throwing, "customer.example", 25, hosts), false);
});
