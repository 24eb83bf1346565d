import assert from "node:assert/strict";
import { test } from "node:test";
import type { DnsAnswer, Resolver } from "../../protocol/dns/resolver.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { clientName } from "./client-name.ts";

function found<Record>(...records: readonly Record[]): Promise<DnsAnswer<readonly Record[]>> {
  return Promise.resolve({ kind: "found", records, ttlMs: 1000, secure: false });
}

function none(): Promise<DnsAnswer<never>> {
  return Promise.resolve({ kind: "none", because: "no-such-name", ttlMs: 1000, secure: false });
}

function resolver(parts: Partial<Resolver>): Resolver {
  return { mx: none, ipv4: none, ipv6: none, ptr: none, txt: none, ...parts };
}

test("a name counts when its addresses include the client's, and only then", async () => {
  const clock = virtualClock(0);
  const honest = resolver({ ptr: () => found("Mail.Example.", "x"), ipv4: () => found("192.0.2.9", "192.0.2.1") });
  assert.equal(await clientName(honest, clock, "192.0.2.1", 1000), "mail.example");
  const boasting = resolver({ ptr: () => found("big.example"), ipv4: () => found("198.51.100.1") });
  assert.equal(await clientName(boasting, clock, "192.0.2.1", 1000), undefined);
  assert.equal(await clientName(resolver({}), clock, "192.0.2.1", 1000), undefined);
});

test("an IPv6 client is compared as an address, not as text", async () => {
  const dns = resolver({ ptr: () => found("six.example"), ipv6: () => found("2001:0db8:0:0:0:0:0:1") });
  assert.equal(await clientName(dns, virtualClock(0), "2001:db8::1", 1000), "six.example");
});

test("a second name is tried, and a name that is no host name never", async () => {
  const asked: string[] = [];
  const dns = resolver({
    ptr: () => found("evil\r\n250 ok", "one.example", "two.example"),
    ipv4: (name) => {
      asked.push(name);
      return name === "two.example" ? found("192.0.2.1") : none();
    },
  });
  assert.equal(await clientName(dns, virtualClock(0), "192.0.2.1", 1000), "two.example");
  assert.deepEqual(asked, ["one.example", "two.example"]);
});

test("a DNS that does not answer, or fails, leaves the client without a name in time", async () => {
  const clock = virtualClock(0);
  const silent = resolver({ ptr: () => new Promise(() => {}) });
  let name: string | undefined = "not yet";
  void clientName(silent, clock, "192.0.2.1", 1000).then((given) => (name = given));
  await clock.advance(999);
  assert.equal(name, "not yet");
  await clock.advance(1);
  assert.equal(name, undefined);
  const broken = resolver({ ptr: () => Promise.reject(new Error("x")) });
  assert.equal(await clientName(broken, clock, "192.0.2.1", 1000), undefined);
});
