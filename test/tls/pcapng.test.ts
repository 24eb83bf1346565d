import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FlightRecorder } from "../../src/service/tls/flight/flight-recorder.ts";
import type { Flight } from "../../src/service/tls/flight/flight.ts";
import { pcapng } from "../../src/service/tls/tracer/pcapng.ts";
import { virtualClock } from "../../src/simulator/clock.ts";
import { clientHelloBody, handshake, record, serverHelloBody } from "../../src/testing/hello-bytes.ts";

const noon = Date.UTC(2026, 5, 1, 12);

/** A client that says hello in a large message, gets an answer, complains, and goes. */
async function recorded(): Promise<Flight> {
  const clock = virtualClock(noon);
  const recorder = new FlightRecorder({ role: "server", clock });
  const names = { versions: [0x0303], extensions: [0, 10, 13, 43], serverName: "mx.example", ciphers: [0xc02b] };
  const hello = handshake(1, clientHelloBody({ ...names, signatures: Array.from({ length: 800 }, (_, n) => n + 1) }));
  recorder.feed("in", record(22, hello));
  await clock.advance(5);
  recorder.feed("out", record(22, handshake(2, serverHelloBody({ version: 0x0303, cipher: 0xc02b }))));
  await clock.advance(20);
  recorder.feed("in", record(21, Buffer.from([2, 48])));
  recorder.note("in", "FIN");
  recorder.note("out", "FIN");
  return recorder.flight();
}

interface Packet {
  readonly atMs: number;
  readonly bytes: Buffer;
}

/** Blocks of pcapng, read as its specification (draft-ietf-opsawg-pcapng) has them. */
function packetsOf(file: Buffer): readonly Packet[] {
  const packets: Packet[] = [];
  const types: number[] = [];
  for (let at = 0; at < file.length;) {
    const type = file.readUInt32LE(at);
    const length = file.readUInt32LE(at + 4);
    assert.equal(length % 4, 0);
    assert.equal(file.readUInt32LE(at + length - 4), length);
    types.push(type);
    if (type === 6) {
      const micros = (BigInt(file.readUInt32LE(at + 12)) << 32n) | BigInt(file.readUInt32LE(at + 16));
      const size = file.readUInt32LE(at + 20);
      packets.push({ atMs: Number(micros / 1000n), bytes: file.subarray(at + 28, at + 28 + size) });
    }
    at += length;
  }
  assert.deepEqual([...new Set(types)], [0x0a0d0d0a, 1, 6]);
  return packets;
}

/** Ones' complement: a header that carries its right checksum sums up to all ones (RFC 1071). */
function sumsUp(bytes: Buffer): boolean {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum === 0xffff;
}

test("each direction's bytes are found again in the TCP segments, in order and with their times", async () => {
  const flight = await recorded();
  const packets = packetsOf(
    pcapng(flight, { peer: { address: "198.51.100.7", port: 41_000 }, local: { address: "203.0.113.9", port: 465 } }),
  );
  const streams: Record<number, Buffer[]> = { 41_000: [], 465: [] };
  const flags: number[] = [];
  for (const { bytes } of packets) {
    const ip = bytes.subarray(14);
    assert.equal(sumsUp(ip.subarray(0, 20)), true);
    const tcp = ip.subarray(20, ip.readUInt16BE(2));
    const pseudo = Buffer.concat([ip.subarray(12, 20), Buffer.from([0, 6, tcp.length >> 8, tcp.length & 255])]);
    assert.equal(sumsUp(Buffer.concat([pseudo, tcp])), true);
    flags.push(tcp.readUInt8(13));
    streams[tcp.readUInt16BE(0)]?.push(tcp.subarray(20));
  }
  const wire = (direction: "in" | "out"): Buffer =>
    Buffer.concat(
      flight.wire.filter((piece) => piece.direction === direction).map(({ bytes }) => Buffer.from(bytes, "base64")),
    );
  assert.deepEqual(Buffer.concat(streams[41_000] ?? []), wire("in"));
  assert.deepEqual(Buffer.concat(streams[465] ?? []), wire("out"));
  // SYN, SYN+ACK, ACK, then data in three segments of the hello's two, and both FINs.
  assert.deepEqual(flags, [2, 18, 16, 24, 24, 24, 24, 17, 17]);
  assert.deepEqual([packets[0]?.atMs, packets[5]?.atMs, packets[6]?.atMs], [noon, noon + 5, noon + 25]);
});

test("addresses of IPv6 and unknown ones give whole packets too", async () => {
  const flight = await recorded();
  for (const [peer, source] of [
    ["2001:db8:1::25", "20010db8000100000000000000000025"],
    ["::ffff:192.0.2.9", "00000000000000000000ffffc0000209"],
    ["fe80::1%eth0", "fe800000000000000000000000000001"],
  ] as const) {
    const [first] = packetsOf(pcapng(flight, { peer: { address: peer }, local: {} }));
    assert.equal(first?.bytes.subarray(22, 38).toString("hex"), source);
  }
  const [first] = packetsOf(pcapng(flight, { peer: {}, local: {} }));
  assert.equal(first?.bytes.subarray(26, 34).toString("hex"), "c0000201c0000202");
});

test("tshark reads it: hello, name, alert and ends, and no checksum is wrong", async (t) => {
  if (spawnSync("tshark", ["--version"]).error !== undefined) {
    assert.notEqual(process.env["POSTHORN_REQUIRE_PEERS"], "1", "tshark is not installed");
    t.skip("tshark is not installed");
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "posthorn-pcapng-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [address, family] of [
    ["198.51.100.7", "ip"],
    ["2001:db8::7", "ipv6"],
  ] as const) {
    const file = join(folder, `${family}.pcapng`);
    writeFileSync(file, pcapng(await recorded(), { peer: { address, port: 41_000 }, local: { port: 465 } }));
    const fields = [
      "tls.handshake.type",
      "tls.handshake.extensions_server_name",
      "tls.alert_message.desc",
      "tcp.flags.fin",
    ];
    const shown = spawnSync(
      "tshark",
      [
        "-r",
        file,
        "-d",
        "tcp.port==465,tls",
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
        ...fields.flatMap((field) => ["-e", field]),
      ],
      { encoding: "utf8", timeout: 60_000 },
    );
    const lines = shown.stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"));
    assert.equal(
      lines.filter(([type, name]) => type === "1" && name === "mx.example").length,
      1,
      shown.stdout + shown.stderr,
    );
    assert.equal(lines.filter(([type]) => type === "2").length, 1);
    assert.equal(lines.filter(([, , alert]) => alert === "48").length, 1);
    assert.equal(lines.filter(([, , , fin]) => fin === "1" || fin === "True").length, 2);
    const wrong = spawnSync(
      "tshark",
      [
        "-r",
        file,
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-Y",
        "tcp.checksum.status==0 || ip.checksum.status==0 || tcp.analysis.flags || _ws.malformed",
      ],
      { encoding: "utf8", timeout: 60_000 },
    );
    assert.equal(wrong.status, 0, wrong.stderr);
    assert.equal(wrong.stdout, "");
  }
});
