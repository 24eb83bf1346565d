import assert from "node:assert/strict";
import { test } from "node:test";
import { furthest, TlsReturns, WITHIN_MS } from "./tls-returns.ts";

const PEER = "in 192.0.2.7";

test("a client that comes back within a minute and gets its TLS is linked to its failure, with the mail it brought", () => {
  const returns = new TlsReturns();
  assert.deepEqual(returns.failed(PEER, "1 smtp-1", 100, 0), []);
  assert.equal(returns.connected(PEER, "1 smtp-2", 5_000)[0]?.next.how, "plaintext");
  assert.deepEqual(returns.up(PEER, "1 smtp-2", 5_100), [
    { failure: 100, next: { at: 5_000, session: "smtp-2", how: "tls", mails: 0 } },
  ]);
  assert.equal(returns.kept("1 smtp-2")[0]?.next.mails, 1);
  assert.deepEqual(returns.ended("1 smtp-2", "DATA"), [
    { failure: 100, next: { at: 5_000, session: "smtp-2", how: "tls", mails: 1, after: "DATA" } },
  ]);
  assert.deepEqual(returns.ended("1 smtp-2", "DATA"), [], "told once");
});

test("a client that comes back without TLS and leaves after MAIL is told as such", () => {
  const returns = new TlsReturns();
  returns.failed(PEER, "1 smtp-1", 100, 0);
  returns.connected(PEER, "1 smtp-2", 1_000);
  assert.deepEqual(returns.ended("1 smtp-2", "MAIL"), [
    { failure: 100, next: { at: 1_000, session: "smtp-2", how: "plaintext", mails: 0, after: "MAIL" } },
  ]);
});

test("the session that failed is not its own return, and neither is one after the minute or of another process", () => {
  const returns = new TlsReturns();
  returns.failed(PEER, "1 smtp-1", 100, 0);
  assert.deepEqual(returns.connected(PEER, "1 smtp-1", 10), []);
  assert.deepEqual(returns.ended("1 smtp-1", "STARTTLS"), []);
  assert.deepEqual(returns.connected(PEER, "1 smtp-2", WITHIN_MS + 1), []);
  returns.failed(PEER, "1 smtp-3", 200, 100_000);
  assert.equal(returns.connected(PEER, "2 smtp-3", 100_500)[0]?.failure, 200);
});

test("a client that comes back and fails again answers the first failure, and waits with the second", () => {
  const returns = new TlsReturns();
  returns.failed(PEER, "1 smtp-1", 100, 0);
  assert.deepEqual(returns.failed(PEER, "1 smtp-2", 200, 900), [
    { failure: 100, next: { at: 900, session: "smtp-2", how: "failed", mails: 0 } },
  ]);
  assert.deepEqual(
    returns.connected(PEER, "1 smtp-3", 1_500).map(({ failure }) => failure),
    [200],
  );
});

test("a STARTTLS that fails after the connection was seen makes that connection a failed return", () => {
  const returns = new TlsReturns();
  returns.failed(PEER, "1 smtp-1", 100, 0);
  returns.connected(PEER, "1 smtp-2", 500);
  assert.deepEqual(returns.failed(PEER, "1 smtp-2", 200, 700), [
    { failure: 100, next: { at: 500, session: "smtp-2", how: "failed", mails: 0 } },
  ]);
  assert.deepEqual(returns.kept("1 smtp-2"), [], "it is followed no longer");
});

test("as a client, going on in plaintext with the same attempt counts as the return", () => {
  const returns = new TlsReturns();
  returns.failed("out 192.0.2.9", "3 out-1", 100, 0);
  assert.equal(returns.plain("out 192.0.2.9", "3 out-1", 200)[0]?.next.how, "plaintext");
});

test("peers are kept within a bound", () => {
  const returns = new TlsReturns();
  for (let at = 0; at < 10_000; at++) returns.failed(`in ${at}`, `1 smtp-${at}`, at, at);
  assert.deepEqual(returns.connected("in 0", "1 smtp-x", 1), []);
  assert.equal(returns.connected("in 9999", "1 smtp-y", 10_000).length, 1);
});

test("how far a session got is read from the tally of its commands", () => {
  assert.equal(furthest("ehlo=1 mail=1 quit=1 commands=3"), "MAIL");
  assert.equal(furthest("ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4"), "RCPT");
  assert.equal(furthest("quit=1 commands=1"), "CONNECT");
  assert.equal(furthest(""), "CONNECT");
});
