import { isUtf8 } from "node:buffer";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { defineEvent } from "../../foundation/events.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { catalogueOf, mailEvents } from "./log.ts";
import type { EventRecord } from "./record.ts";
import { logSettings } from "./settings.ts";
import { createLogWriter, type LogWriter, type LogWriterOptions } from "./writer.io.ts";

const said = defineEvent({
  name: "test.said",
  level: "info",
  speaker: "smtpd",
  says: "A peer said something.",
  fields: { what: "text" },
  line: (e) => `said ${e.what}`,
});

const from = { role: "ingress", pid: 4711, startedAt: 0 };
const saying = (what: string, at = Date.now()): EventRecord => ({
  at,
  name: "test.said",
  level: "info",
  from,
  fields: { what },
});

function writerTo(settings: object, options: Partial<LogWriterOptions> = {}): LogWriter {
  return createLogWriter({
    settings: logSettings.parse(settings),
    catalogue: catalogueOf(mailEvents, [said]),
    hostname: "mail.example",
    clock: systemClock,
    process: { role: "server", pid: 1 },
    auto: "stdout",
    ...options,
  });
}

function temporaryDirectory(): string & Disposable {
  const path = mkdtempSync(join(tmpdir(), "posthorn-log-"));
  // A String object would not do as a path; the cast gives the plain string its disposer through the wrapper below.
  return Object.assign(new String(path), {
    [Symbol.dispose]: () => rmSync(path, { recursive: true }),
  }) as unknown as string & Disposable;
}

test("lines in a file look as Postfix's do", async () => {
  using directory = temporaryDirectory();
  const path = join(String(directory), "mail.log");
  const writer = writerTo({ to: `file:${path}` });
  writer.write([saying("hello", new Date(2026, 10, 1, 3, 4, 5).getTime()), saying("a\r\nNov 1 forged")]);
  await writer.close();
  const [first, second] = readFileSync(path, "utf8").split("\n");
  assert.equal(first, "Nov  1 03:04:05 mail.example posthorn/smtpd[4711]: said hello");
  assert.match(second ?? "", /posthorn\/smtpd\[4711\]: said a\\x0d\\x0aNov 1 forged$/);
  assert.equal(statSync(path).mode & 0o777, 0o640);
});

test("a line that somebody asked for is written below the level of the log, others are not", async () => {
  using directory = temporaryDirectory();
  const path = join(String(directory), "mail.log");
  const quiet = defineEvent({ ...said, name: "test.quiet", level: "debug" });
  const asked = defineEvent({ ...said, name: "test.asked", level: "debug", isAsked: true });
  const writer = writerTo({ to: `file:${path}`, level: "error" }, { catalogue: catalogueOf([said, quiet, asked]) });
  for (const { name, level } of [said, quiet, asked]) writer.write([{ ...saying(name), name, level }]);
  await writer.close();
  assert.match(readFileSync(path, "utf8"), /^[^\n]*: said test\.asked\n$/);
});

test("a file that was renamed for rotation is opened anew when told", async () => {
  using directory = temporaryDirectory();
  const path = join(String(directory), "mail.log");
  const writer = writerTo({ to: `file:${path}`, timestamps: "iso" });
  writer.write([saying("before")]);
  await writer.flush();
  renameSync(path, `${path}.1`);
  writer.reopen();
  writer.write([saying("after")]);
  await writer.close();
  assert.match(
    readFileSync(`${path}.1`, "utf8"),
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d mail.example posthorn\/smtpd\[4711\]: said before\n$/,
  );
  assert.match(readFileSync(path, "utf8"), /said after\n$/);
});

test("what was told before the clock was set back does not wait for that time to come again", async () => {
  using directory = temporaryDirectory();
  const path = join(String(directory), "mail.log");
  const clock = virtualClock(Date.UTC(2026, 10, 21));
  const writer = writerTo({ to: `file:${path}` }, { mergeMs: 100, clock });
  writer.write([saying("first", clock.now() + 3_600_000)]);
  for (let turn = 0; turn < 10; turn++) {
    writer.write([saying("later", clock.now())]);
    await clock.advance(50);
  }
  await writer.flush();
  assert.match(readFileSync(path, "utf8"), /^[^\n]*: said first\n[^\n]*: said later\n/);
  await writer.close();
});

test("records of several processes come out in the order of what happened", async () => {
  using directory = temporaryDirectory();
  const path = join(String(directory), "mail.log");
  const writer = writerTo({ to: `file:${path}` }, { mergeMs: 100 });
  const now = Date.now();
  writer.write([saying("second", now + 1), saying("fourth", now + 3)]);
  writer.write([saying("first", now), saying("third", now + 2)]);
  await writer.close();
  assert.deepEqual(readFileSync(path, "utf8").match(/first|second|third|fourth/g), [
    "first",
    "second",
    "third",
    "fourth",
  ]);
});

test("with `format: json` each line is an object with the event's fields", async () => {
  const written: string[] = [];
  const stdout = new Writable({ write: (chunk, _encoding, done) => (written.push(String(chunk)), done()) });
  const writer = writerTo({ format: "json" }, { stdout });
  writer.write([saying("x", 0)]);
  await writer.close();
  assert.deepEqual(JSON.parse(written.join("")), {
    time: "1970-01-01T00:00:00.000Z",
    level: "info",
    event: "test.said",
    role: "ingress",
    pid: 4711,
    what: "x",
  });
});

test("a reader that stops reading stdout holds up nothing; what was lost is counted in the log itself", async () => {
  const written: string[] = [];
  let isReading = false;
  const held: (() => void)[] = [];
  const stdout = new Writable({
    write: (chunk, _encoding, done) => {
      written.push(String(chunk));
      if (isReading) done();
      else held.push(done);
    },
  });
  const writer = writerTo({ buffer: "64KiB" }, { stdout });
  for (let number = 0; number < 5000; number++) writer.write([saying(`line ${number}`)]);
  assert.equal(await writer.flush(50), false);
  isReading = true;
  for (const done of held) done();
  assert.equal(await writer.flush(), true);
  await writer.close();
  const text = written.join("");
  const kept = text.match(/said line/g)?.length ?? 0;
  const lost = [...text.matchAll(/log: stdout: (\d+) events and 0 debug events lost/g)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
  assert.equal(kept + lost, 5000);
  assert.ok(kept < 5000);
});

test("an RFC 5424 receiver gets the mail facility, who spoke, and the text, over UDP", async () => {
  const receiver = createSocket("udp4").bind(0, "127.0.0.1");
  await once(receiver, "listening");
  const writer = writerTo({ to: `syslog+udp://127.0.0.1:${receiver.address().port}` });
  writer.write([saying("ä", Date.UTC(2026, 10, 21))]);
  const [message] = (await once(receiver, "message")) as [Buffer];
  assert.equal(String(message), "<22>1 2026-11-21T00:00:00.000Z mail.example posthorn/smtpd 4711 - - said ä");
  await writer.close();
  receiver.close();
});

test("what a datagram has no room for is cut between characters, and marked", async () => {
  const receiver = createSocket("udp4").bind(0, "127.0.0.1");
  await once(receiver, "listening");
  const writer = writerTo({ to: `syslog+udp://127.0.0.1:${receiver.address().port}` });
  for (const start of ["", "x", "xx"]) {
    writer.write([saying(start + "ä".repeat(1200), Date.UTC(2026, 10, 21))]);
    const [message] = (await once(receiver, "message")) as [Buffer];
    assert.ok(message.length <= 2048 && message.length > 2040, String(message.length));
    assert.match(String(message), /ä…$/);
    assert.ok(isUtf8(message));
  }
  await writer.close();
  receiver.close();
});

test("a reopen while a send to a receiver by name is under way neither stops the log nor doubles a line", async () => {
  const receiver = createSocket("udp4").bind(0, "127.0.0.1");
  await once(receiver, "listening");
  const received: string[] = [];
  receiver.on("message", (bytes) => received.push(/said (\w+)$/.exec(String(bytes))?.[1] ?? String(bytes)));
  const writer = writerTo({ to: `syslog+udp://localhost:${receiver.address().port}` });
  writer.write([saying("one"), saying("two")]);
  writer.reopen();
  writer.write([saying("three")]);
  writer.reopen();
  assert.equal(await writer.flush(5000), true);
  writer.write([saying("four")]);
  assert.equal(await writer.flush(5000), true);
  while (received.length < 4) await once(receiver, "message");
  assert.deepEqual(received, ["one", "two", "three", "four"]);
  await writer.close();
  receiver.close();
});

test(
  "standard output that is a file on a full disk is written again when there is room, without torn or double lines",
  {
    skip: spawnSync("prlimit", ["--version"]).status === 0 ? false : "prlimit(1) is missing",
  },
  () => {
    using directory = temporaryDirectory();
    const path = join(String(directory), "stdout");
    const program = `
    import { spawnSync } from "node:child_process";
    import { systemClock } from ${JSON.stringify(new URL("../../foundation/clock.io.ts", import.meta.url))};
    import { catalogueOf, mailEvents } from ${JSON.stringify(new URL("log.ts", import.meta.url))};
    import { logSettings } from ${JSON.stringify(new URL("settings.ts", import.meta.url))};
    import { createLogWriter } from ${JSON.stringify(new URL("writer.io.ts", import.meta.url))};
    const limit = (bytes) => spawnSync("prlimit", ["--pid", String(process.pid), "--fsize=" + bytes + ":"]);
    const writer = createLogWriter({ settings: logSettings.parse({ to: "stdout" }), catalogue: catalogueOf(mailEvents),
      hostname: "mail.example", clock: systemClock, process: { role: "server", pid: 1 }, auto: "stdout" });
    const said = (number) => writer.write([{ at: 0, name: "n" + number, level: "info", fields: {},
      from: { role: "server", pid: 1, startedAt: 0 } }]);
    said(1);
    await writer.flush();
    limit(300);
    for (let number = 2; number <= 20; number++) said(number);
    const wasOut = await writer.flush(100);
    limit("unlimited");
    for (let number = 21; number <= 30; number++) said(number);
    const isOut = await writer.flush();
    await writer.close();
    console.error(JSON.stringify({ wasOut, isOut }));`;
    const out = openSync(path, "w");
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", out, "pipe"],
      encoding: "utf8",
      timeout: 60_000,
    });
    closeSync(out);
    assert.equal(run.stderr, '{"wasOut":false,"isOut":true}\n');
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    const numbers = lines.flatMap((line) => /: n(\d+): \{\}$/.exec(line)?.[1] ?? []);
    assert.deepEqual(
      numbers.map(Number),
      Array.from({ length: 30 }, (_, index) => index + 1),
    );
    assert.equal(lines.filter((line) => line.includes("error: log: stdout: ")).length, 1);
    assert.equal(lines.filter((line) => line.includes("log: stdout: writes again")).length, 1);
    assert.equal(lines.length, 32);
  },
);

test("a TCP receiver that comes late gets everything, framed by its length in bytes", async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  const writer = writerTo({ to: `syslog+tcp://127.0.0.1:${port}` });
  writer.write([saying("é")]);
  assert.equal(await writer.flush(50), false);
  let received = "";
  const server = createServer((socket) => socket.setEncoding("utf8").on("data", (text) => (received += String(text))));
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  assert.equal(await writer.flush(), true);
  await writer.close();
  server.close();
  await once(server, "close");
  const [, length, message] = /^(\d+) (<22>1 .* said é)/.exec(received) ?? [];
  assert.equal(Number(length), Buffer.byteLength(message ?? ""));
  assert.match(received, /log: tcp:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  assert.match(received, /writes again/);
});
