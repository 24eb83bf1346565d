import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import * as fc from "fast-check";
import { PosthornError } from "../../foundation/error.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { startTlsOn, testCertificate, testListener, type TestListener } from "../../testing/test-listener.ts";
import { rawClient, type RawClient } from "../../testing/reception.ts";

const ENVELOPE = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";
const LAST = /^(?:\d{3} .*)\r\n$/m;

/** Past DATA: content may come. */
async function inData(server: TestListener): Promise<RawClient> {
  const client = await server.hello();
  await client.say(`${ENVELOPE}DATA\r\n`, /^354 .*\r\n/m);
  return client;
}

test("a pipelined group is answered in one write", async () => {
  await using server = await testListener();
  const client = await server.hello();
  const writes: string[] = [];
  client.socket.on("data", (bytes: Buffer) => writes.push(bytes.toString("latin1")));
  await client.say(`${ENVELOPE}RCPT TO:<nobody@d.example>\r\nDATA\r\n`, /^354 /m);
  assert.deepEqual(
    writes.map((text) => text.replace(/ .*\r\n/g, " ")),
    ["250 250 550 354 "],
  );
});

test("a message goes into the queue as it was sent, with our trace field in front", async () => {
  await using server = await testListener();
  const client = await inData(server);
  await client.say("Subject: x\r\n\r\nhello\r\n..\r\n.\r\n", /^250 2\.0\.0 Ok: queued as /);
  await client.say("QUIT\r\n", /^221/);
  const content = server.queue.content(0);
  assert.match(content, /^Received: from me\.example \(localhost \[127\.0\.0\.1\]\)\r\n/);
  assert.ok(content.endsWith("\r\nSubject: x\r\n\r\nhello\r\n.\r\n"));
  assert.equal(server.queue.commits[0]?.message.sizeBytes, content.length);
  await server.logged(/^disconnect from localhost\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5$/);
});

test("many messages in one session, and everything in one packet that may be", async () => {
  await using server = await testListener();
  const client = await server.hello();
  client.send(`${ENVELOPE}BDAT 4 LAST\r\nhi\r\n${ENVELOPE}BDAT 3\r\nyo\nBDAT 0 LAST\r\nRSET\r\nQUIT\r\n`);
  const said = await client.rest();
  assert.deepEqual(
    said.split("\r\n").map((line) => line.slice(0, 3)),
    ["250", "250", "250", "250", "250", "250", "550", "250", "221", ""],
  );
  assert.equal(server.queue.commits.length, 1);
  assert.equal(server.queue.openWriters, 0);
});

test("after QUIT the connection is closed at once, whether the client closes its side or not", async () => {
  await using server = await testListener();
  const client = rawClient(connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true }));
  await client.expect(/^220/);
  assert.match(await client.say("QUIT\r\n", /\r\n/), /^221/);
  await server.logged(/^disconnect from .* quit=1 commands=1$/);
  await client.rest();
  client.socket.destroy();
});

test("whoever goes on behind QUIT still gets the reply to it, and no reset", async () => {
  await using server = await testListener();
  const client = await server.hello();
  let error: Error | undefined;
  client.socket.on("error", (thrown) => (error = thrown));
  client.send(`QUIT\r\n${"NOOP\r\n".repeat(1000)}`);
  assert.match(await client.rest(), /^221 [^\r\n]*\r\n$/);
  assert.equal(error, undefined);
});

test("chunks of any cut make the same message", async () => {
  await using server = await testListener();
  const client = await server.hello();
  for (const size of [1, 2, 5, 11]) {
    const text = "Subject: x\r\n\r\nline\r\n.\r\nmore\r\n";
    client.send(ENVELOPE);
    for (let at = 0; at < text.length; at += size) {
      const piece = text.slice(at, at + size);
      client.send(`BDAT ${piece.length}${at + size >= text.length ? " LAST" : ""}\r\n${piece}`);
    }
    await client.expect(/queued as/);
    assert.ok(server.queue.content(server.queue.commits.length - 1).endsWith(`\r\n${text}`));
  }
});

test("content larger than every buffer passes a slow queue whole", async () => {
  await using server = await testListener();
  server.queue.isSlow = true;
  const client = await inData(server);
  const lines = Array.from({ length: 60_000 }, (_, at) => `line ${at} of the message`).join("\r\n");
  await client.say(`Subject: x\r\n\r\n${lines}\r\n.\r\n`, /queued as/);
  assert.ok(server.queue.content(0).endsWith(`\r\n${lines}\r\n`));
});

test("content whose writing outlives its time is refused, never kept with a hole", async () => {
  const clock = virtualClock(Date.UTC(2026, 0, 1));
  await using server = await testListener({}, { clock, session: { commitTimeout: "5m" } });
  const client = await inData(server);
  const written = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  let writes = 0;
  server.queue.nextWrite = () => {
    begun.resolve();
    return ++writes === 1 ? written.promise : undefined;
  };
  client.send(`Subject: x\r\n\r\n${"line\r\n".repeat(10)}`);
  await begun.promise;
  client.send(`${"more\r\n".repeat(20_000)}.\r\n`);
  await clock.advance(300_000);
  assert.match(await client.expect(LAST), /^451 4\.3\.0 /);
  assert.equal(writes, 1, "nothing is written while a write is under way");
  written.resolve();
  server.queue.nextWrite = undefined;
  assert.deepEqual(server.queue.commits, []);
  assert.equal(server.queue.openWriters, 0);
  await server.logged(/: warning: not kept: .*300000 ms.*; told the client 451 4\.3\.0/);
  await client.say(`${ENVELOPE}DATA\r\n`, /^354/m);
  await client.say("hi\r\n.\r\n", /queued as/);
});

test("content that cannot be written is refused as what it failed for, and the log says that", async () => {
  await using server = await testListener();
  for (const [because, said, logged] of [
    [
      new Error("EIO: i/o error, write"),
      /^451 4\.3\.0 /,
      /not kept: EIO: i\/o error, write; told the client 451 4\.3\.0/,
    ],
    [
      new PosthornError("SPOOL_FULL", { message: "no room for content", advice: "make room" }),
      /^452 4\.3\.1 /,
      /not kept: no room for content.*; told the client 452 4\.3\.1/,
    ],
  ] as const) {
    const client = await inData(server);
    server.queue.nextWrite = () => Promise.reject(because);
    assert.match(await client.say("Subject: x\r\n\r\nhi\r\n.\r\n", LAST), said);
    server.queue.nextWrite = undefined;
    await server.logged(logged);
    await client.say("NOOP\r\n", /^250/);
    client.socket.destroy();
  }
  assert.deepEqual(server.queue.commits, []);
  assert.equal(server.queue.openWriters, 0);
});

test("content beyond the size is read to its end, refused, and the session goes on", async () => {
  await using server = await testListener({}, { session: { messageSize: "64KiB" } });
  for (const extra of [-2, -1, 0, 1, 2]) {
    const client = await inData(server);
    const said = await client.say(`${"x".repeat(65_534 + extra)}\r\n.\r\n`, LAST);
    assert.match(said, extra <= 0 ? /^250/ : /^552 5\.3\.4/, `${extra}`);
    await client.say("NOOP\r\n", /^250/);
    client.socket.destroy();
  }
  assert.equal(server.queue.openWriters, 0);
});

test("no end of data but the true one ends the data, whatever stands around the dot", async () => {
  await using server = await testListener();
  for (const trick of [
    "\n.\n",
    "\n.\r\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\n",
    "\r\n.\r",
    "\n.\r",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\r\r\n.\r\r\n",
  ]) {
    const client = await inData(server);
    const smuggled = `one${trick}MAIL FROM:<evil@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n`;
    const said = await client.say(`${smuggled}two\r\n.\r\n`, LAST);
    // One reply and no more: refused where a line end stood alone, and otherwise kept as one message.
    assert.match(said, /^(?:550 5\.5\.2|250 2\.0\.0 Ok: queued).*\r\n$/, JSON.stringify(trick));
    await client.say("NOOP\r\n", /^250/);
    client.socket.destroy();
  }
  for (const { message } of server.queue.commits) assert.equal(message.sender, "a@b.example");
});

test("with normalise the same tricks are content, and content alone", async () => {
  await using server = await testListener({ bareLineEnds: "normalise" });
  for (const trick of ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n"]) {
    const client = await inData(server);
    const said = await client.say(`one${trick}MAIL FROM:<evil@b.example>\r\n.\r\n`, LAST);
    assert.match(said, /^250 .*\r\n$/);
    assert.doesNotMatch(server.queue.content(server.queue.commits.length - 1), /(?<!\r)\n|\r(?!\n)/);
    client.socket.destroy();
  }
});

test("a client that ends its lines in LF alone is told so at once, not left to wait", async () => {
  await using server = await testListener();
  const client = await inData(server);
  assert.match(await client.say("hello\n.\n", LAST), /^550 5\.5\.2 Bare/);
  await client.rest();
  const typing = await server.hello();
  assert.match(await typing.say("NOOP\n", LAST), /^554 5\.5\.2 Bare/);
  await server.logged(/bare line end received after DATA/);
  await using lenient = await testListener({ bareLineEnds: "normalise" });
  const easy = await lenient.hello();
  assert.match(await easy.say("NOOP\n", LAST), /^250/);
});

test("who sends on behind EHLO, DATA or STARTTLS is refused and cut", async () => {
  const tls = await testCertificate();
  await using server = await testListener({}, { world: { tls: () => tls } });
  const early = server.connect();
  await early.expect(/^220/);
  assert.match(await early.say("EHLO x\r\nMAIL FROM:<a@b.example>\r\n", LAST), /^554 5\.5\.0/);
  const eager = await server.hello();
  assert.match(await eager.say(`${ENVELOPE}DATA\r\nhello\r\n.\r\n`, /^554/m), /^554 5\.5\.0/m);
  const injecting = await server.hello();
  assert.match(await injecting.say("STARTTLS\r\nRSET\r\n", LAST), /^554 5\.5\.0/);
  for (const client of [early, eager, injecting]) await client.rest();
  assert.equal(server.queue.commits.length, 0);
  await server.logged(/^improper command pipelining after STARTTLS from localhost/);
});

test("STARTTLS makes the session encrypted, forgets what was said, and says so in the trace field", async () => {
  const tls = await testCertificate();
  await using server = await testListener({ auth: "offer" }, { world: { tls: () => tls } });
  const plain = await server.hello();
  await plain.say("STARTTLS\r\n", /^220 2\.0\.0/);
  const client = await startTlsOn(plain);
  assert.match(await client.say("MAIL FROM:<a@b.example>\r\n", LAST), /^503/);
  assert.match(await client.say("EHLO me.example\r\n", /^250 .*\r\n/m), /AUTH PLAIN LOGIN/);
  assert.match(await client.say("AUTH PLAIN AGFubgB3cm9uZw==\r\n", LAST), /^535/);
  assert.match(await client.say("AUTH PLAIN AGFubgBzZWNyZXQ=\r\n", LAST), /^235/);
  await client.say(`${ENVELOPE}DATA\r\n`, /^354/m);
  await client.say("hi\r\n.\r\n", /queued as/);
  await client.say("QUIT\r\n", /^221/);
  assert.match(server.queue.content(0).replace(/\r\n\s+/g, " "), /with ESMTPSA id \w+ \(version=TLSv1\.3 cipher=TLS_/);
  await server.logged(
    /^Anonymous TLS connection established from localhost\[127\.0\.0\.1\] to mx\.test: TLSv1\.3 with cipher TLS_/,
  );
  await server.logged(/: client=localhost\[127\.0\.0\.1\], sasl_method=PLAIN, sasl_username=ann$/);
  await server.logged(
    /^disconnect from localhost\[127\.0\.0\.1\] ehlo=2 starttls=1 auth=1\/2 mail=1\/2 rcpt=1 data=1 quit=1/,
  );
});

test("a handshake that fails, or never comes, ends the connection in time", async () => {
  const tls = await testCertificate();
  await using server = await testListener({}, { world: { tls: () => tls }, session: { handshakeTimeout: "1s" } });
  const babbling = await server.hello();
  await babbling.say("STARTTLS\r\n", /^220/);
  babbling.send("this is no handshake\r\n");
  await babbling.rest();
  const silent = await server.hello();
  await silent.say("STARTTLS\r\n", /^220/);
  await silent.rest();
  const leaving = await server.hello();
  await leaving.say("STARTTLS\r\n", /^220/);
  leaving.socket.destroy();
  await server.logged(/^SSL_accept error from localhost\[127\.0\.0\.1\]: The client sent nothing .* for 1 s/);
  for (let at = 0; at < 6000 && server.listener.open > 0; at++) await new Promise((go) => setTimeout(go, 10));
  assert.equal(server.listener.open, 0);
  assert.equal(server.log.names.filter((name) => name === "session.tls-failed").length, 3);
});

test("a client that leaves during the handshake is noticed at once, not at the deadline", async () => {
  const tls = await testCertificate();
  await using server = await testListener({}, { world: { tls: () => tls }, session: { handshakeTimeout: "10m" } });
  const hello = Buffer.from("16030100c8010000c40303", "hex");
  for (const bytes of [hello.subarray(0, 0), hello.subarray(0, 3), hello]) {
    const leaving = await server.hello();
    await leaving.say("STARTTLS\r\n", /^220/);
    leaving.socket.end(bytes);
    for (let at = 0; at < 6000 && server.listener.open > 0; at++) await new Promise((go) => setTimeout(go, 10));
    assert.equal(server.listener.open, 0, `after ${bytes.length} bytes`);
  }
  await server.logged(/^SSL_accept error from localhost\[127\.0\.0\.1\]: The client connected and went away/);
  await server.logged(
    /^SSL_accept error from localhost\[127\.0\.0\.1\]: The client closed the TCP connection \(FIN\).*\(peer-closed-mid-record\)/,
  );
  await server.logged(/^lost connection after STARTTLS from localhost\[127\.0\.0\.1\]$/);
});

test("over TLS a client may end its side and still gets the answers to what it had sent", async () => {
  const tls = await testCertificate();
  await using server = await testListener({}, { world: { tls: () => tls } });
  const plain = await server.hello();
  await plain.say("STARTTLS\r\n", /^220/);
  const client = await startTlsOn(plain);
  await client.say("EHLO again.example\r\n", /^250 .*\r\n/m);
  client.socket.end("NOOP\r\nRSET\r\n");
  assert.match(await client.rest(), /^250 2\.0\.0 .*\r\n250 2\.0\.0 .*\r\n$/);
});

test("TLS on the plaintext port is named in the log and closed", async () => {
  await using server = await testListener();
  const client = server.connect();
  await client.expect(/^220/);
  client.socket.write(Buffer.from("16030100c8010000c40303", "hex"));
  assert.equal(await client.rest(), "");
  await server.logged(/^warning: TLS handshake on the plaintext port of test from localhost/);
});

test("LMTP answers for each recipient, over TCP", async () => {
  await using server = await testListener({ protocol: "lmtp" });
  const client = await server.hello();
  await client.say(`${ENVELOPE}RCPT TO:<nobody@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n`, /^354/m);
  const said = await client.say("hi\r\n.\r\n", /^250 .*\r\n250 .*\r\n/);
  assert.match(said, /^250 2\.0\.0 <c@d\.example> Ok.*\r\n250 2\.0\.0 <e@d\.example> Ok.*\r\n$/);
  assert.match(server.queue.content(0), /with LMTP id/);
});

test("a queue that fails is told 451, one without room 452, and nothing is left behind", async () => {
  await using server = await testListener();
  for (const [fate, expected] of [
    ["fail", /^451 4\.3\.0/],
    ["full", /^452 4\.3\.1/],
  ] as const) {
    server.queue.fate = fate;
    const client = await inData(server);
    assert.match(await client.say("hi\r\n.\r\n", LAST), expected);
    client.socket.destroy();
  }
  server.queue.short = "inodes";
  const client = await server.hello();
  assert.match(await client.say("MAIL FROM:<a@b.example>\r\n", LAST), /^452 4\.3\.1/);
  assert.equal(server.queue.openWriters, 0);
  await server.logged(/: warning: not kept: the disk failed; told the client 451/);
});

test("a queue that never answers does not hold the client beyond the deadline", async () => {
  await using server = await testListener({}, { session: { commitTimeout: "3s" } });
  server.queue.fate = "hang";
  const client = await inData(server);
  assert.match(await client.say("hi\r\n.\r\n", LAST), /^451 4\.3\.0/);
  server.queue.fate = "keep";
  await client.say(`${ENVELOPE}DATA\r\n`, /^354/m);
  await client.say("hi\r\n.\r\n", /queued as/);
});

test("rules that never answer, or throw, are told 451", async () => {
  for (const judgeRecipient of [
    () => new Promise<never>(() => {}),
    () => Promise.reject(new Error("x")),
    (): never => {
      throw new Error("x");
    },
  ]) {
    await using server = await testListener(
      {},
      { session: { questionTimeout: "200ms" }, world: { policy: { judgeRecipient } } },
    );
    const client = await server.hello();
    await client.say("MAIL FROM:<a@b.example>\r\n", LAST);
    assert.match(await client.say("RCPT TO:<c@d.example>\r\n", LAST), /^451 4\.3\.0/);
  }
});

const POINTS: readonly [string, string, RegExp][] = [
  ["", "", /lost connection after CONNECT/],
  ["half a command", "EHL", /lost connection after CONNECT/],
  ["EHLO", "EHLO x\r\n", /lost connection after EHLO/],
  ["MAIL", "EHLO x\r\n|MAIL FROM:<a@b.example>\r\n", /lost connection after MAIL/],
  ["RCPT", `EHLO x\r\n|${ENVELOPE}`, /lost connection after RCPT/],
  ["DATA", `EHLO x\r\n|${ENVELOPE}DATA\r\n`, /lost connection after DATA/],
  ["half the content", `EHLO x\r\n|${ENVELOPE}DATA\r\n|Subject: x\r\n\r\nhel`, /lost connection after DATA/],
  ["half an end", `EHLO x\r\n|${ENVELOPE}DATA\r\n|hello\r\n.\r`, /lost connection after DATA/],
  ["half a chunk", `EHLO x\r\n|${ENVELOPE}BDAT 100\r\nhello`, /lost connection after BDAT/],
  ["between chunks", `EHLO x\r\n|${ENVELOPE}BDAT 5\r\nhello`, /lost connection after BDAT/],
  ["AUTH", "EHLO x\r\n|AUTH LOGIN\r\n", /lost connection after AUTH/],
];

for (const [point, script, line] of POINTS) {
  const said = point === "" ? "nothing" : point;
  for (const ending of ["end", "resetAndDestroy"] as const) {
    test(`a client that leaves (${ending}) after ${said} leaves nothing behind`, async () => {
      await using server = await testListener({ auth: "offer", authWithoutTls: "loopback" });
      const client = server.connect();
      await client.expect(/^220/);
      for (const part of script.split("|")) {
        client.send(part);
        if (part.endsWith("\r\n")) await client.expect(/\d{3} .*\r\n$/);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
      client.socket[ending]();
      await server.logged(line);
      await server.logged(/^disconnect from/);
      assert.equal(server.listener.open, 0);
      assert.equal(server.queue.openWriters, 0);
      assert.equal(server.queue.commits.length, 0);
    });
  }
  test(`a client that is silent after ${said} is cut when its time is over, and not before`, async () => {
    const clock = virtualClock(Date.UTC(2026, 0, 1));
    await using server = await testListener({ auth: "offer", authWithoutTls: "loopback" }, { clock });
    const client = server.connect();
    await client.expect(/^220/);
    for (const part of script.split("|")) {
      client.send(part);
      if (part.endsWith("\r\n")) await client.expect(/\d{3} .*\r\n$/);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    // RFC 5321 sections 4.5.3.2.5 and 4.5.3.2.7; without a byte of content the grace for slowness ends first.
    await clock.advance(point.startsWith("half a chunk") || point.includes("DATA") ? 55_000 : 59_000);
    assert.equal(server.log.names.includes("session.timeout"), false);
    await clock.advance(241_000);
    assert.match(await client.rest(), /^421 4\.4\.2 mx\.test/m);
    await server.logged(new RegExp(line.source.replace("lost connection", "timeout")));
    await server.logged(/^disconnect from/);
    assert.equal(server.queue.openWriters, 0);
  });
}

test("a client that has ended its side still gets every reply that is due", async () => {
  await using server = await testListener();
  const client = await inData(server);
  server.queue.isSlow = true;
  client.socket.end("hi\r\n.\r\nQUIT\r\n");
  assert.match(await client.rest(), /^250 .*\r\n221 .*\r\n$/);
});

test("a client that resets while its message is being kept leaves the message kept", async () => {
  await using server = await testListener();
  const client = await inData(server);
  server.queue.isSlow = true;
  client.socket.write("hi\r\n.\r\n", () => client.socket.resetAndDestroy());
  await server.logged(/^disconnect from/);
  assert.ok(server.queue.commits.length <= 1);
  assert.equal(server.queue.openWriters, 0);
});

test("a byte now and then is not enough, in a command or in content", async () => {
  const session = { commandTimeout: "1s", dataTimeout: "10s", slowGrace: "1s", slowestRate: "100" };
  await using server = await testListener({}, { session });
  const typing = await server.hello();
  const dripping = await inData(server);
  const drip = setInterval(() => {
    typing.send("N");
    dripping.send("x");
  }, 50);
  const ends = Promise.all([typing.rest(), dripping.rest()]);
  const said = await ends.finally(() => clearInterval(drip));
  assert.match(said[0], /^421 4\.4\.2/);
  assert.match(said[1], /^421 4\.4\.2/);
});

test("a session is over after its time, however busy it keeps itself", async () => {
  const clock = virtualClock(Date.UTC(2026, 0, 1));
  await using server = await testListener({}, { clock, session: { sessionTimeout: "1h", idleCommands: 1000 } });
  const client = await server.hello();
  for (let minute = 0; minute < 59; minute++) {
    await client.say("NOOP\r\n", /^250/);
    await clock.advance(60_000);
  }
  await client.say("NOOP\r\n", /^250/);
  await clock.advance(60_000);
  assert.match(await client.rest(), /^421 4\.4\.2/);
});

test("content that keeps coming may take longer than a session", async () => {
  const clock = virtualClock(Date.UTC(2026, 0, 1));
  await using server = await testListener({}, { clock, session: { sessionTimeout: "1m" } });
  const client = await inData(server);
  for (let minute = 0; minute < 5; minute++) {
    client.send(`${"x".repeat(70)}\r\n`.repeat(100));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await clock.advance(60_000);
  }
  await client.say(".\r\n", /queued as/);
});

test("a client that takes no replies is not read from for ever", async () => {
  await using server = await testListener(
    {},
    { session: { replyTimeout: "1s", errors: 10_000, idleCommands: 1_000_000 } },
  );
  const client = await server.hello();
  client.socket.pause();
  const help = "HELP\r\n".repeat(20_000);
  for (let at = 0; at < 50 && !client.socket.writableNeedDrain; at++) client.send(help);
  await server.logged(/^timeout after HELP from localhost/);
  client.socket.resume();
  await client.rest();
});

test("a line that is too long is refused, and what follows it is heard", async () => {
  await using server = await testListener(
    { auth: "offer", authWithoutTls: "loopback" },
    { session: { commandLine: 512 } },
  );
  const client = await server.hello();
  assert.match(await client.say(`NOOP ${"x".repeat(506)}\r\n`, LAST), /^500 5\.5\.2/);
  assert.match(await client.say(`NOOP ${"x".repeat(505)}\r\n`, LAST), /^250/);
  assert.match(await client.say(`NOOP ${"x".repeat(40_000)}\r\nNOOP\r\n`, /^250/m), /^500 .*\r\n250/);
  assert.match(await client.say(`AUTH PLAIN ${"A".repeat(4000)}\r\n`, LAST), /^501|^535/);
});

test("wherever a pipelined dialogue is cut, replies and messages are the same", async () => {
  const script = Buffer.from(
    `${ENVELOPE}BDAT 7\r\n\r\n.\r\nhiBDAT 4 LAST\r\n.\r\n\n` +
      `${ENVELOPE}RCPT TO:<nobody@d.example>\r\nBDAT 6\r\nhello\nRSET\r\nBDAT 3 LAST\r\nabcNOOP\r\n` +
      `${ENVELOPE}BDAT 4 LAST\r\nhi\r\nQUIT\r\n`,
  );
  await using server = await testListener();
  const replay = async (cuts: readonly number[]): Promise<string> => {
    const client = await server.hello();
    client.socket.setNoDelay(true);
    const at = [0, ...cuts.map((cut) => cut % script.length), script.length].sort((a, b) => a - b);
    for (let piece = 1; piece < at.length; piece++) {
      client.socket.write(script.subarray(at[piece - 1], at[piece]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    return (await client.rest()).replace(/queued as \w+/g, "queued");
  };
  const whole = await replay([]);
  assert.equal(whole.match(/queued/g)?.length, 1);
  let kept = 1;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(400), { maxLength: 12 }), async (cuts) => {
      assert.equal(await replay(cuts), whole);
      assert.equal(server.queue.commits.length, ++kept);
    }),
    { numRuns: 40 },
  );
  assert.equal(server.queue.openWriters, 0);
});

test("no bytes bring the server down or leave anything behind", async () => {
  const words = [
    "EHLO x\r\n",
    ENVELOPE,
    "DATA\r\n",
    "BDAT 9\r\n",
    "BDAT 3 LAST\r\n",
    ".\r\n",
    "\r\n.\r\n",
    "RSET\r\n",
    "AUTH PLAIN\r\n",
    "\n",
    "\r",
    "\0",
  ];
  const piece = fc.oneof(
    fc.constantFrom(...words).map((word) => Buffer.from(word)),
    fc.uint8Array({ maxLength: 40 }),
  );
  await using server = await testListener({ auth: "offer", authWithoutTls: "loopback" });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 25 }), fc.boolean(), async (pieces, isReset) => {
      const client = server.connect();
      for (const bytes of pieces) client.socket.write(bytes);
      await new Promise((resolve) => setImmediate(resolve));
      if (isReset) client.socket.resetAndDestroy();
      else {
        client.socket.end();
        await client.rest();
      }
    }),
    { numRuns: 150 },
  );
  for (let at = 0; at < 6000 && server.listener.open > 0; at++) await new Promise((go) => setTimeout(go, 10));
  assert.equal(server.listener.open, 0);
  assert.equal(server.queue.openWriters, 0);
});
