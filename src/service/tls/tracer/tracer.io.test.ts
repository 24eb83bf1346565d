import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { generate } from "selfsigned";
import { systemClock } from "../../../foundation/clock.io.ts";
import { AuthMasker } from "../../../protocol/smtp/auth-masker.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { DecryptedDumps } from "./decrypted-dump.io.ts";
import { tlsServer } from "../server.io.ts";
import type { TraceLevel, TraceSwitch } from "./trace-switches.ts";
import { Tracer } from "./tracer.ts";

const settings = { level: 1, peers: {}, listeners: {}, relays: {}, most: 65_536 } as const;
const minute = 60_000;

/** A client's dialogue with a server of ours under a trace, as the log and the dump show it. */
async function traced(
  level: TraceLevel,
  decrypted?: TraceSwitch["decrypted"],
): Promise<{ lines: string[]; dumped: string }> {
  const { cert, private: key } = await generate([{ name: "commonName", value: "mx.example" }], { keyType: "ec" });
  const options = { cert, key };
  const profile = {
    optionsFor: () => options,
    defaultOptions: options,
    ticketLifetimeMs: minute,
    clientCertificate: "none",
  } as const;
  let dumped = "";
  const tracer = new Tracer({
    clock: systemClock,
    settings,
    newMasker: () => new AuthMasker(),
    dump: (_file, text) => {
      dumped += text;
    },
  });
  const untilAt = systemClock.now() + minute;
  tracer.take([{ target: { by: "peer", value: "127.0.0.1" }, level, untilAt, decrypted }]);
  const listener = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const client = connectTls({
    socket: connect((listener.address() as AddressInfo).port, "127.0.0.1"),
    rejectUnauthorized: false,
  });
  const [raw] = (await once(listener, "connection")) as [Socket];
  const lines: string[] = [];
  const trace = tracer.begin(
    { role: "server", session: "i1-7", address: "127.0.0.1", names: [], listener: "smtp", relays: [] },
    (line) => lines.push(line),
  );
  const accepted = await tlsServer({ profile: () => profile, clock: systemClock }).accept(raw, {
    deadlineMs: 5000,
    watch: trace.watch,
  });
  assert.ok(accepted.ok);
  const { socket } = accepted.connection;
  socket.on("data", (bytes: Buffer) => {
    if (bytes.includes("AUTH")) socket.write("235 2.7.0 welcome\r\n");
    else socket.end("221 bye\r\n");
  });
  client.write("AUTH PLAIN AGFubgBzM2NyM3Q=\r\n");
  await once(client, "data");
  client.write("QUIT\r\n");
  await once(client, "data");
  await accepted.connection.close(1000);
  client.destroy();
  listener.close();
  return { lines, dumped };
}

test("level 2 shows the steps, level 3 the handshake's bytes, level 4 all of them, and none the secret", async () => {
  const steps = await traced(2);
  assert.match(steps.lines[0] ?? "", /^<-- \d+ ms ClientHello: TLSv1\.3 TLSv1\.2, .* \(\d+ bytes\)$/);
  assert.ok(steps.lines.some((line) => /^--> \d+ ms ServerHello: TLSv1\.3, TLS_AES_256_GCM_SHA384/.test(line)));
  assert.ok(steps.lines.every((line) => !/\|/.test(line)));
  const handshake = await traced(3);
  assert.ok(handshake.lines.some((line) => line.startsWith("<-- 00000000  16 03 01 ")));
  const all = await traced(4);
  assert.ok(all.lines.length > handshake.lines.length + 5);
  for (const { lines, dumped } of [steps, handshake, all]) {
    assert.doesNotMatch(lines.join("\n"), /AUTH|235 2\.7/);
    assert.equal(dumped, "");
  }
});

test("the decrypted dialogue goes to its file alone, both sides of it, with AUTH hidden", async () => {
  const { lines, dumped } = await traced(0, { file: "a.txt", bytes: 1000 });
  assert.deepEqual(lines, []);
  assert.deepEqual(dumped.replaceAll(/^\S+ /gm, "").split("\n"), [
    "i1-7 C: AUTH PLAIN [hidden]",
    "i1-7 S: 235 2.7.0 welcome",
    "i1-7 C: QUIT",
    "i1-7 S: 221 bye",
    "",
  ]);
  const cut = await traced(0, { file: "a.txt", bytes: 10 });
  assert.match(cut.dumped, /^\S+ i1-7 C: AUTH PLAIN \[hidden\]\n$/);
});

test("a file of decrypted content is its owner's alone, ends at its time and does not pass its size", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-dump-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const clock = virtualClock(Date.UTC(2026, 5, 1, 12));
  const troubles: string[] = [];
  const dumps = new DecryptedDumps({
    directory: join(directory, "traces"),
    clock,
    onTrouble: (text) => troubles.push(text),
  });
  const path = await dumps.open("one.txt", 40, clock.now() + minute);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(join(directory, "traces"))).mode & 0o777, 0o700);
  await assert.rejects(dumps.open("one.txt", 40, clock.now() + minute), /EEXIST/);
  dumps.write("one.txt", "12:00:00.000 a C: EHLO\n");
  dumps.write("one.txt", "12:00:00.001 a S: a line too many\n");
  dumps.write("one.txt", "12:00:00.002 a C: x\n");
  const second = await dumps.open("two.txt", 1000, clock.now() + minute);
  await clock.advance(minute);
  dumps.write("two.txt", "after the end\n");
  for (let tries = 0; tries < 3000 && !(await readFile(path, "utf8")).includes("left out\n"); tries++) await sleep(20);
  await sleep(50);
  assert.deepEqual((await readFile(path, "utf8")).split("\n").slice(1), [
    "12:00:00.000 a C: EHLO",
    "more than 40 bytes: the rest is left out",
    "",
  ]);
  assert.doesNotMatch(await readFile(second, "utf8"), /after the end/);
  assert.deepEqual(troubles, []);
});
