import assert from "node:assert/strict";
import { test } from "node:test";
import { FlightSampler } from "./flight/flight-sampler.ts";
import type { Flight } from "./flight/flight.ts";
import { flightIn, parseTold, toldText, type TlsTold } from "./told.ts";

function failedWith(flight: Flight): TlsTold {
  const finding = {
    reason: "stalled",
    role: "server",
    fault: "unknown",
    sentence: "S",
    cure: "C",
    afterMs: 1,
    flight,
  } as const;
  return { told: "failed", peer: { direction: "in", name: "x", place: "smtp" }, wasUp: false, finding };
}

function flight(wireBytes: number, details: number): Flight {
  return {
    role: "server",
    startedAt: 0,
    events: [{ atMs: 0, direction: "in", what: "ClientHello", bytes: 1, detail: "d".repeat(details) }],
    omitted: 0,
    bytes: { in: 0, out: 0 },
    wire: [{ at: 0, direction: "in", bytes: "A".repeat(wireBytes) }],
  };
}

test("what is told comes out as it went in", () => {
  const told = failedWith(flight(100, 10));
  assert.deepEqual(parseTold(toldText(told)), told);
});

test("what is too long goes without its bytes, then without its flight, and always within the bound", () => {
  const lean = parseTold(toldText(failedWith(flight(200_000, 10))));
  const [kept] = lean === undefined ? [] : flightIn(lean);
  assert.deepEqual([kept?.wire, kept?.events.length], [[], 1]);
  const bare = toldText(failedWith(flight(0, 200_000)));
  assert.ok(bare.length < 1000);
  const parsed = parseTold(bare);
  assert.equal(parsed?.told === "failed" && parsed.finding.flight, undefined);
});

test("text that nobody told is nothing", () => {
  for (const text of ["", "{", "null", "[]", '{"told":"lies"}', undefined, 7]) assert.equal(parseTold(text), undefined);
});

test("a working handshake of a peer is kept once an hour, and when the client's software is another", () => {
  const sampler = new FlightSampler();
  const HOUR = 3_600_000;
  assert.equal(sampler.wantsWorking("192.0.2.1", "ja4-a", 1e12), true);
  assert.equal(sampler.wantsWorking("192.0.2.1", "ja4-a", 1e12 + 60_000), false);
  assert.equal(sampler.wantsWorking("192.0.2.1", "ja4-b", 1e12 + 60_000), true);
  assert.equal(sampler.wantsWorking("192.0.2.2", "ja4-a", 1e12 + 60_000), true);
  assert.equal(sampler.wantsWorking("192.0.2.1", "ja4-b", 1e12 + 2 * HOUR), true);
});

test("a flood of failures keeps some of its flights, and more when it has passed", () => {
  const sampler = new FlightSampler();
  const kept = Array.from({ length: 10_000 }, () => sampler.wantsFailed(1e12)).filter(Boolean).length;
  assert.ok(kept > 10 && kept < 100, `${kept} were kept`);
  assert.equal(sampler.wantsFailed(1e12 + 10_000), true);
});
