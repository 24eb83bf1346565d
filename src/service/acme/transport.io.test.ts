import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { testAuthority } from "../../testing/test-authority.ts";
import { AcmeFailure } from "./problem.ts";
import { httpsTransport, retryAfterMs } from "./transport.io.ts";

const NOW = Date.parse("2026-11-21T00:00:00Z");
const authority = await testAuthority("an authority for tests");
const pair = await authority.issue(["127.0.0.1"]);

async function answering(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer({ cert: pair.certificatePem, key: pair.keyPem }, answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `https://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/x`;
}

function transport(t: TestContext, authorities = [authority.certificatePem], signal = new AbortController().signal) {
  const made = httpsTransport({ authorities, clock: systemClock, signal, userAgent: "test" });
  t.after(() => made.close());
  return made;
}

const failing = (type: string) => (thrown: unknown) => thrown instanceof AcmeFailure && thrown.problem.type === type;

test("an answer is given with what it says besides: the problem, and how long to wait", async (t) => {
  const url = await answering(t, (_request, response) => {
    response.writeHead(429, { "retry-after": "120", "content-type": "application/problem+json" });
    response.end(JSON.stringify({ type: "urn:ietf:params:acme:error:rateLimited", detail: "too many" }));
  });
  const made = transport(t);
  assert.equal((await made.send("GET", url, undefined)).status, 429);
  assert.deepEqual(made.last(), {
    status: 429,
    problem: { type: "rateLimited", detail: "too many" },
    retryAfterMs: 120_000,
  });
});

test("an error that is no problem document is told by its status and words", async (t) => {
  const url = await answering(t, (_request, response) => {
    response.writeHead(503).end("<h1>away</h1>");
  });
  const made = transport(t);
  await made.send("POST", url, "{}");
  assert.deepEqual(made.last()?.problem, { type: "serverInternal", detail: "HTTP status 503: <h1>away</h1>" });
});

test("an answer without an end is cut off", async (t) => {
  const url = await answering(t, (_request, response) => {
    response.writeHead(200);
    const more = (): void => {
      while (response.write(Buffer.alloc(65_536)));
    };
    response.on("drain", more);
    more();
  });
  await assert.rejects(transport(t).send("GET", url, undefined), failing("answer"));
});

test("a server that nobody vouches for, one that is not there, and an address without TLS are told apart", async (t) => {
  const url = await answering(t, () => {});
  const other = await testAuthority("another one");
  await assert.rejects(transport(t, [other.certificatePem]).send("GET", url, undefined), failing("untrusted"));
  await assert.rejects(transport(t).send("GET", "https://127.0.0.1:1/", undefined), failing("unreachable"));
  await assert.rejects(transport(t).send("GET", url.replace("https", "http"), undefined), failing("answer"));
  await assert.rejects(transport(t).send("GET", "nonsense", undefined), failing("answer"));
});

test("a question that is given up ends at once", async (t) => {
  const url = await answering(t, () => {});
  const giving = new AbortController();
  const sent = transport(t, undefined, giving.signal).send("GET", url, undefined);
  setTimeout(() => giving.abort(), 50);
  await assert.rejects(sent);
});

test("Retry-After is seconds or a date to come; everything else is none", () => {
  assert.equal(retryAfterMs("120", NOW), 120_000);
  assert.equal(retryAfterMs("Sat, 21 Nov 2026 01:00:00 GMT", NOW), 3_600_000);
  for (const none of [undefined, "", "-5", "soon", "Sat, 21 Nov 2020 01:00:00 GMT", "99999999999999999999"])
    assert.equal(retryAfterMs(none, NOW), undefined, String(none));
});
