import assert from "node:assert/strict";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { WebSources } from "../../service/autoconfig/answer.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { runWebSession, type WebSummary } from "./web-session.io.ts";

const sources: WebSources = {
  services: () => Promise.resolve("none"),
  policy: (domain) =>
    domain === "broken.test" ? Promise.reject(new Error("gone")) : Promise.resolve({ text: `policy of ${domain}` }),
};

function session(early?: Buffer) {
  const clock = virtualClock(0);
  const [client, socket] = duplexPair();
  const ended = Promise.withResolvers<WebSummary>();
  const running = runWebSession({ socket, sources, clock, early, onEnd: ended.resolve });
  const heard: Buffer[] = [];
  client.on("data", (bytes: Buffer) => heard.push(bytes));
  client.on("error", () => {});
  return { clock, client, running, ended: ended.promise, heard: () => Buffer.concat(heard).toString() };
}

async function until(holds: () => boolean): Promise<void> {
  for (const untilAt = Date.now() + 60_000; !holds() && Date.now() < untilAt;) await turn();
  assert.ok(holds());
}

async function closed(client: Duplex): Promise<void> {
  await until(() => client.readableEnded || client.destroyed);
  client.end();
}

const GET = "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.a.test:8080\r\n\r\n";

test("a question is answered, and the connection ends", async () => {
  const { client, ended, heard } = session();
  client.write(`${GET}${GET}`);
  await closed(client);
  assert.match(heard(), /^HTTP\/1\.1 200 OK\r\n[^]*connection: close[^]*\r\n\r\npolicy of a\.test$/);
  assert.deepEqual(await ended, { asked: "GET /.well-known/mta-sts.txt", status: 200 });
});

test("what was said before we listened counts", async () => {
  const { client, heard } = session(Buffer.from(GET.slice(0, 10)));
  client.write(GET.slice(10));
  await closed(client);
  assert.match(heard(), /policy of a\.test$/);
});

test("a client that does not finish its question is cut after fifteen seconds", async () => {
  const { client, ended, clock, heard } = session();
  client.write(GET.slice(0, -2));
  await turn();
  await clock.advance(14_900);
  assert.equal(client.destroyed || client.readableEnded, false);
  await clock.advance(200);
  assert.deepEqual(await ended, {});
  assert.equal(heard(), "");
});

test("a body or a head beyond measure is refused", async () => {
  const long = session();
  long.client.write(`POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n`);
  long.client.write(Buffer.alloc(50_000, "x"));
  await until(() => long.heard().startsWith("HTTP/1.1 413 "));
  long.client.destroy();
  const head = session();
  head.client.write(`GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`);
  await until(() => head.heard().startsWith("HTTP/1.1 400 "));
  head.client.destroy();
});

test("what is no HTTP gets 400, and a source that throws 503", async () => {
  const nonsense = session();
  nonsense.client.write("EHLO me\r\n");
  await until(() => nonsense.heard().startsWith("HTTP/1.1 400 "));
  nonsense.client.destroy();
  const broken = session();
  broken.client.write(GET.replace("a.test", "broken.test"));
  await until(() => broken.heard().startsWith("HTTP/1.1 503 "));
  broken.client.end();
  assert.match((await broken.ended).asked ?? "", /\(gone\)$/);
});

test("a server that stops cuts who has not asked yet", async () => {
  const { running, ended } = session();
  running.stop();
  assert.deepEqual(await ended, {});
});
