import assert from "node:assert/strict";
import { test } from "node:test";
import { madeUpResolver, noAnswers } from "./answers.ts";
import type { Trial } from "./case.ts";

function resolverOf(dns: Trial["dns"]) {
  const answers = noAnswers(false);
  answers.trial = { ...answers.trial, dns };
  return { resolver: madeUpResolver(answers), answers };
}

test("a made-up DNS answers with what the trial says of a name, whatever the case of its letters", async () => {
  const { resolver, answers } = resolverOf({
    "Example.org": { mx: ["5 mx.example.org", "mx2.example.org."], A: "192.0.2.1" },
    "192.0.2.7": { PTR: "client.example.net" },
  });
  const mx = await resolver.mx("EXAMPLE.ORG");
  assert.deepEqual(mx.kind === "found" && mx.records, [
    { preference: 5, exchange: "mx.example.org" },
    { preference: 10, exchange: "mx2.example.org" },
  ]);
  const ptr = await resolver.ptr("192.0.2.7");
  assert.deepEqual(ptr.kind === "found" && ptr.records, ["client.example.net"]);
  const txt = await resolver.txt("example.org");
  assert.equal(txt.kind === "none" && txt.because, "no-such-record");
  assert.deepEqual(answers.unexpected, []);
});

test("`none` and `fail` hold for all below a name, the nearest one wins, and `*` is for all others", async () => {
  const { resolver, answers } = resolverOf({
    "list.example": "none",
    "7.2.0.192.list.example": { A: "127.0.0.2" },
    "broken.example": "fail",
    "*": "none",
  });
  assert.equal((await resolver.ipv4("7.2.0.192.list.example")).kind, "found");
  assert.equal((await resolver.ipv4("8.2.0.192.list.example")).kind, "none");
  assert.equal((await resolver.mx("a.broken.example")).kind, "failed");
  assert.equal((await resolver.ipv6("elsewhere.example")).kind, "none");
  assert.deepEqual(answers.unexpected, []);
});

test("a name that the trial says nothing of is kept as what the network would have been asked, once", async () => {
  const { resolver, answers } = resolverOf({});
  assert.equal((await resolver.ipv4("a.example")).kind, "failed");
  assert.equal((await resolver.ipv4("a.example")).kind, "failed");
  assert.equal((await resolver.txt("a.example")).kind, "failed");
  assert.deepEqual(answers.unexpected, ["DNS: A of a.example", "DNS: TXT of a.example"]);
});
