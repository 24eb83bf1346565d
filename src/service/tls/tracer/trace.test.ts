import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { FlightEvent } from "../flight/flight.ts";
import { MOST_SWITCHES, traceFor, withoutSwitch, withSwitch } from "./trace-switches.ts";
import type { TracedConnection, TraceLevel, TraceSettings, TraceSwitch } from "./trace-switches.ts";
import { hexLines, wireTrace } from "./wire-trace.ts";

const settings: TraceSettings = { level: 1, peers: {}, listeners: {}, relays: {} };
const client: TracedConnection = { address: "192.0.2.7", names: ["mail.example.org"], listener: "smtp", relays: [] };
const next: TracedConnection = {
  address: "198.51.100.3",
  names: ["mx1.example.net"],
  relays: ["smtp+tls://mx1.example.net", "example.com", "mx1.example.net:25"],
};
const on = (
  by: "peer" | "listener" | "relay",
  value: string,
  level: TraceLevel,
  more: Partial<TraceSwitch> = {},
): TraceSwitch => ({
  target: { by, value },
  level,
  untilAt: 1000,
  ...more,
});
const levelOf = (connection: TracedConnection, changes: Partial<TraceSettings>, ...switches: TraceSwitch[]): number =>
  traceFor(connection, { ...settings, ...changes }, switches, 500).level;

test("a peer is meant by its address, network, name and domain, and by nothing that only looks like them", () => {
  for (const [value, isMeant] of [
    ["192.0.2.7", true],
    ["192.0.2.0/24", true],
    ["192.0.2.8", false],
    ["mail.example.org", true],
    ["Example.ORG", true],
    [".example.org", true],
    ["ample.org", false],
    ["org.", true],
    ["", false],
  ] as const) {
    assert.equal(levelOf(client, { peers: { [value]: 3 } }), isMeant ? 3 : 1, value);
  }
});

test("listeners are meant by their name, relays by host, domain and place", () => {
  assert.equal(levelOf(client, { listeners: { smtp: 2 } }), 2);
  assert.equal(levelOf(client, { listeners: { submission: 2 } }), 1);
  for (const value of ["example.com", "mx1.example.net:25", "smtp+tls://mx1.example.net"])
    assert.equal(levelOf(next, { relays: { [value]: 4 } }), 4, value);
  assert.equal(levelOf(next, { relays: { "mx2.example.net:25": 4 } }), 1);
});

test("a switch goes before the settings, also to show less, and a peer before a listener", () => {
  assert.equal(levelOf(client, { peers: { "192.0.2.7": 4 }, listeners: { smtp: 3 } }), 4);
  assert.equal(levelOf(client, { peers: { "192.0.2.7": 4 } }, on("listener", "smtp", 0)), 0);
  assert.equal(levelOf(client, {}, on("listener", "smtp", 4), on("peer", "example.org", 2)), 2);
  assert.equal(levelOf(client, {}, on("peer", "192.0.2.7", 2), on("peer", "example.org", 3)), 3);
});

test("a switch ends at its time", () => {
  assert.equal(levelOf(client, {}, on("peer", "192.0.2.7", 4, { untilAt: 500 })), 1);
  assert.equal(levelOf(client, {}, on("peer", "192.0.2.7", 4, { untilAt: 501 })), 4);
});

test("the decrypted content is wanted by the switch that says so only", () => {
  const wanting = on("peer", "192.0.2.7", 1, { decrypted: { file: "a.txt", bytes: 100 } });
  assert.equal(traceFor(client, settings, [on("listener", "smtp", 4), wanting], 500).decrypted, wanting);
  assert.equal(traceFor(next, settings, [wanting], 500).decrypted, undefined);
});

test("switches of one target replace each other, and there are never more than so many", () => {
  const first = withSwitch([], on("peer", "a.example", 2), 0);
  const second = withSwitch(first, on("peer", "a.example", 4), 0);
  assert.deepEqual(
    second.map(({ level }) => level),
    [4],
  );
  let many = second;
  for (let n = 0; n < 2 * MOST_SWITCHES; n += 1) many = withSwitch(many, on("peer", `host${n}.example`, 2), 0);
  assert.equal(many.length, MOST_SWITCHES);
  assert.deepEqual(withoutSwitch(second, { by: "peer", value: "a.example" }, 0), []);
  assert.deepEqual(withoutSwitch(many, undefined, 0), []);
  assert.deepEqual(
    withSwitch([on("peer", "ended.example", 2, { untilAt: 5 })], on("relay", "x.example", 2), 10).length,
    1,
  );
});

const step: FlightEvent = { atMs: 3, direction: "in", what: "ClientHello", detail: "TLSv1.3\u001b[2J", bytes: 200 };

function traced(level: TraceLevel, bytesLimit = 1000): readonly string[] {
  const lines: string[] = [];
  const watch = wireTrace({ level, bytesLimit, tell: (line) => lines.push(line) });
  watch?.event?.(step);
  watch?.bytes?.("in", Buffer.from("\u0016\u0003\u0001hello, this is 24 bytes."), true);
  watch?.bytes?.("out", Buffer.from("after the handshake"), false);
  return lines;
}

test("each level shows what it says, and nothing a terminal would act on", () => {
  assert.deepEqual(traced(0), []);
  assert.deepEqual(traced(1), []);
  const steps = ["<-- 3 ms ClientHello: TLSv1.3\\x1b[2J (200 bytes)"];
  assert.deepEqual(traced(2), steps);
  const handshake = [
    "<-- 00000000  16 03 01 68 65 6c 6c 6f  2c 20 74 68 69 73 20 69  |...hello, this i|",
    "<-- 00000010  73 20 32 34 20 62 79 74  65 73 2e                 |s 24 bytes.|",
  ];
  assert.deepEqual(traced(3), [...steps, ...handshake]);
  assert.deepEqual(traced(4), [
    ...steps,
    ...handshake,
    "--> 00000000  61 66 74 65 72 20 74 68  65 20 68 61 6e 64 73 68  |after the handsh|",
    "--> 00000010  61 6b 65                                          |ake|",
  ]);
});

test("beyond the bound one line says that the rest is left out", () => {
  assert.deepEqual(traced(4, 16).slice(1), [
    "<-- 00000000  16 03 01 68 65 6c 6c 6f  2c 20 74 68 69 73 20 69  |...hello, this i|",
    "<-- more than 16 bytes: the rest of this connection is left out",
  ]);
});

test("hex lines hold exactly the bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const back = hexLines(bytes).flatMap((line) => line.slice(10, 58).trim().split(/ +/));
      assert.deepEqual(Buffer.from(back.join(""), "hex"), Buffer.from(bytes));
      for (const line of hexLines(bytes)) assert.match(line, /^[\x20-\x7e]*$/);
    }),
  );
});
