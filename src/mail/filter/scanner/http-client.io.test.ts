import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { testAuthority } from "../../../testing/test-authority.ts";
import { trustIn } from "../../../testing/trust.ts";
import { httpClient } from "./http-client.io.ts";
import { parseHttpServer } from "./http-server.ts";

const LIMITS = { connectMs: 5000, answerMs: 20_000 };

test("a client that is closed lets what was asked come to its answer, and keeps no connection", async (context: TestContext) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, response) => asked.resolve(response)).listen(0, "127.0.0.1");
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const at = parseHttpServer(`http://127.0.0.1:${address.port}/`, "/");
  assert.ok(at !== undefined);
  const client = httpClient(systemClock, trustIn());
  const pieces: string[] = [];
  const question = {
    method: "GET",
    headers: {},
    async *body() {},
    bodyBytes: undefined,
    onHead: () => (bytes: Buffer) => void pieces.push(bytes.toString()),
  } as const;
  const answer = client.ask(at, question, LIMITS, new AbortController().signal);
  const response = await asked.promise;
  client.close();
  const closed = once(response.req.socket, "close");
  response.end("fine");
  await answer;
  assert.deepEqual(pieces, ["fine"]);
  await closed;
});

for (const scheme of ["http", "https"])
  test(`a server that no way leads to fails its question, and nothing else (${scheme})`, async () => {
    // Linux knows at once, before anything is sent, that nobody is connected with there.
    const at = parseHttpServer(`${scheme}://255.255.255.255:8080/`, "/");
    assert.ok(at !== undefined);
    const authority = await testAuthority("Ours");
    const client = httpClient(systemClock, trustIn(authority.certificatePem));
    const question = {
      method: "GET",
      headers: {},
      async *body() {},
      bodyBytes: undefined,
      onHead: () => () => {},
    } as const;
    const asked = Promise.withResolvers<void>();
    // As a timer's or a socket's turn asks: what fails then is told before any promise goes on.
    setImmediate(() => {
      client.ask(at, question, LIMITS, new AbortController().signal).then(asked.resolve, asked.reject);
    });
    await assert.rejects(asked.promise, process.platform === "linux" ? /ENETUNREACH/ : /./);
    client.close();
  });
