import { test } from "node:test";
import assert from "node:assert/strict";
import { createSecureContext } from "node:tls";
import { virtualClock } from "../../simulator/clock.ts";
import { SessionCache, type KeptSession } from "./session-cache.ts";

const context = createSecureContext();
const kept = (name: string, changes: Partial<KeptSession> = {}): KeptSession => ({
  session: Buffer.from(name),
  shown: { certificates: [Buffer.from(name)], isTrusted: true },
  context,
  serverName: "mx.example",
  ...changes,
});
const asked = { context, serverName: "mx.example" };

test("a session is found again under its key, for its lifetime and no longer", async () => {
  const clock = virtualClock(0);
  const cache = new SessionCache({ clock, lifetimeMs: 1000, most: 10 });
  cache.keep("a", kept("one"), clock.monotonicMs());
  await clock.advance(999);
  assert.equal(cache.find("a", asked)?.entry.session.toString(), "one");
  assert.equal(cache.find("b", asked), undefined);
  await clock.advance(1);
  assert.equal(cache.find("a", asked), undefined);
  assert.equal(cache.size, 0);
});

test("a resumed session makes nothing younger: the first handshake counts", async () => {
  const clock = virtualClock(0);
  const cache = new SessionCache({ clock, lifetimeMs: 1000, most: 10 });
  cache.keep("a", kept("one"), clock.monotonicMs());
  await clock.advance(900);
  const found = cache.find("a", asked);
  assert.ok(found !== undefined);
  cache.keep("a", kept("two"), found.bornMs);
  await clock.advance(99);
  assert.equal(cache.find("a", asked)?.entry.session.toString(), "two");
  await clock.advance(1);
  assert.equal(cache.find("a", asked), undefined);
  cache.keep("a", kept("late"), found.bornMs);
  assert.equal(cache.size, 0);
});

test("under another name or other authorities nothing is resumed, and the session is let go", () => {
  const clock = virtualClock(0);
  const cache = new SessionCache({ clock, lifetimeMs: 1000, most: 10 });
  cache.keep("a", kept("one"), 0);
  assert.equal(cache.find("a", { context, serverName: "other.example" }), undefined);
  assert.equal(cache.size, 0);
  cache.keep("a", kept("one"), 0);
  assert.equal(cache.find("a", { context: createSecureContext(), serverName: "mx.example" }), undefined);
  assert.equal(cache.size, 0);
});

test("the oldest makes room", () => {
  const cache = new SessionCache({ clock: virtualClock(0), lifetimeMs: 1000, most: 2 });
  for (const name of ["a", "b", "a", "c"]) cache.keep(name, kept(name), 0);
  assert.equal(cache.size, 2);
  assert.equal(cache.find("b", asked), undefined);
  assert.ok(cache.find("a", asked) !== undefined && cache.find("c", asked) !== undefined);
  cache.forget("a");
  assert.equal(cache.find("a", asked), undefined);
});
