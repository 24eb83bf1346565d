import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingHttpHeaders } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { generate } from "selfsigned";
import { testFacts, testFilterWorld, testMail } from "../../../testing/filter-mail.ts";
import { testAuthority } from "../../../testing/test-authority.ts";
import { trustIn } from "../../../testing/trust.ts";
import { startScanner } from "../../../testing/scripted-scanner.ts";
import type { Filter, FilterQuestion } from "../filter.ts";
import { wholeOf } from "../kept-content.ts";
import { httpHookFilter } from "./http-filter.io.ts";
import { httpHookSettings } from "./settings.ts";

const MAIL = testMail("Subject: hello\nX-Folded: a\n b\n\nA mäil.\n");
const TEXT = "Subject: hello\r\nX-Folded: a\r\n b\r\n\r\nA mäil.\r\n";
const { signal: patience } = new AbortController();

interface Heard {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Hook extends AsyncDisposable {
  readonly heard: Heard[];
  readonly filter: Filter;
}

/** A hook that answers all questions with this. */
async function hook(answer: object | string, more: object = {}, secret?: string): Promise<Hook> {
  const heard: Heard[] = [];
  const server = createHttpServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      heard.push({ headers: request.headers, body: Buffer.concat(pieces).toString("utf8") });
      response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server says where it listens.
  const { port } = server.address() as AddressInfo;
  const settings = httpHookSettings.parse({ servers: `http://127.0.0.1:${port}/hook`, ...more });
  const world = testFilterWorld(secret === undefined ? {} : { secrets: { hook: secret } });
  const filter = await httpHookFilter("hook", settings, world);
  return {
    heard,
    filter,
    async [Symbol.asyncDispose]() {
      await filter.close();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const judge = (filter: Filter) => filter.open(MAIL.facts).judge(MAIL, patience);
const ask = (filter: Filter, question: FilterQuestion) => filter.open(question.facts).ask(question, patience);

test("at a stage the hook hears what the session knows, and its verdict counts", async () => {
  await using server = await hook(
    { verdict: "refuse", reply: { code: 550, status: "5.7.1", text: "No" } },
    { stages: ["rcpt", "connect"] },
  );
  assert.deepEqual([...server.filter.stages], ["rcpt", "connect"]);
  const recipient = { address: "carol@example.org", parameters: ["NOTIFY=NEVER"] };
  const verdict = await ask(server.filter, { stage: "rcpt", recipient, facts: testFacts({ account: "joe" }) });
  assert.deepEqual(verdict, { kind: "refuse", reply: { code: 550, status: "5.7.1", lines: ["No"] } });
  const [{ headers, body } = { headers: {}, body: "" }] = server.heard;
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers["webhook-signature"], undefined);
  const event: unknown = JSON.parse(body);
  assert.deepEqual(event, {
    version: 1,
    event: "rcpt",
    filter: "hook",
    session: {
      id: "s1",
      listener: "smtp",
      hostname: "mx.example.org",
      protocol: "smtp",
      server: { address: "192.0.2.1", port: 25 },
      client: { address: "192.0.2.99", port: 40_000, name: "client.example.net" },
      greeting: "EHLO",
      helo: "client.example.net",
      account: "joe",
      tags: [],
    },
    mail: {
      id: "3f8Q0000000000001",
      sender: "alice@example.net",
      parameters: [],
      recipients: [{ address: "bob@example.org", parameters: [] }],
      isInternational: false,
      body: "8BITMIME",
    },
    recipient,
  });
});

test("of a mail the hook hears its fields, and on request all of it, as base64 or as a part of a form", async () => {
  await using header = await hook({});
  assert.deepEqual(await judge(header.filter), { fate: { kind: "keep" } });
  // What our own program above heard.
  const message = (heard: Heard | undefined) =>
    (JSON.parse(heard?.body ?? "") as { message: Record<string, unknown> }).message;
  assert.deepEqual(message(header.heard[0]), {
    sizeBytes: Buffer.byteLength(TEXT),
    trace: MAIL.trace,
    fields: [
      { name: "Subject", value: "hello" },
      { name: "X-Folded", value: "a b" },
    ],
  });
  await using base64 = await hook({}, { content: "base64" });
  await judge(base64.filter);
  assert.equal(Buffer.from(String(message(base64.heard[0])["content"]), "base64").toString(), TEXT);
  await using multipart = await hook({}, { content: "multipart" });
  await judge(multipart.filter);
  const [{ headers, body } = { headers: {}, body: "" }] = multipart.heard;
  // Node's own reader of forms takes it.
  const form = await new Response(body, { headers: { "content-type": headers["content-type"] ?? "" } }).formData();
  const part = form.get("message");
  assert.ok(part instanceof File);
  assert.equal(part.type, "message/rfc822");
  assert.equal(await part.text(), TEXT);
  const event = form.get("event");
  assert.ok(typeof event === "string");
  assert.match(event, /^\{"version":1,"event":"message",/);
});

test("a question is signed with its id and its time, whatever its form; another id each time", async () => {
  const key = Buffer.from("a key that nobody knows");
  for (const [secret, content] of [
    ["a key that nobody knows", "multipart"],
    [`whsec_${key.toString("base64")}`, "base64"],
  ] as const) {
    await using server = await hook({}, { content }, secret);
    for (let n = 0; n < 2; n++) await judge(server.filter);
    const ids = server.heard.map(({ headers, body }) => {
      const id = String(headers["webhook-id"]);
      const at = String(headers["webhook-timestamp"]);
      const sum = createHmac("sha256", key).update(`${id}.${at}.${body}`).digest("base64");
      assert.equal(headers["webhook-signature"], `v1,${sum}`);
      assert.ok(Math.abs(Number(at) * 1000 - Date.now()) < 60_000);
      return id;
    });
    assert.equal(new Set(ids).size, 2);
  }
});

test("a mail is edited as the hook says, its body too", async () => {
  await using server = await hook({
    verdict: "quarantine",
    because: "strange",
    edits: [
      { edit: "add-field", name: "X-Hook", value: "yes" },
      { edit: "replace-body", body: Buffer.from("New\nbody\r\n").toString("base64") },
    ],
  });
  const { fate, because, edits = [] } = await judge(server.filter);
  assert.equal(fate.kind, "quarantine");
  assert.equal(because, "strange");
  assert.deepEqual(edits[0], { edit: "add-field", name: "X-Hook", value: "yes" });
  assert.ok(edits[1]?.edit === "replace-body");
  assert.equal((await wholeOf(edits[1].body.read())).toString(), "New\r\nbody\r\n");
});

test("204 says nothing against it", async () => {
  await using server = await startScanner({
    onData: (socket, soFar) => void (soFar.endsWith("}") && socket.end("HTTP/1.1 204 No Content\r\n\r\n")),
  });
  const filter = await httpHookFilter("hook", httpHookSettings.parse(`http://${server.at}`), testFilterWorld());
  assert.deepEqual(await judge(filter), { fate: { kind: "keep" } });
  await filter.close();
});

test("a hook that is not there, hangs, dies in the middle, sends elsewhere or talks nonsense fails, and says so", async () => {
  const answer = (status: string, more = "", body = "{}"): string =>
    `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
  const failures: readonly [Parameters<typeof startScanner>[0], RegExp][] = [
    [{}, /no answer within 300ms/],
    [{ onData: (socket) => socket.end() }, /hang up|closed/],
    [{ onData: (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{") }, /aborted|closed/],
    [{ onData: (socket) => socket.end(answer("302 Found", "Location: http://127.0.0.1:1/\r\n")) }, /HTTP 302/],
    [{ onData: (socket) => socket.end(answer("500 Oops")) }, /HTTP 500/],
    [{ onData: (socket) => socket.end(answer("200 OK", "", "<html>")) }, /no JSON/],
    [{ onData: (socket) => socket.end(answer("200 OK", "", '{"verdict":"maybe"}')) }, /makes no sense at verdict/],
    [
      { onData: (socket) => void socket.write(`HTTP/1.1 200 OK\r\n\r\n${" ".repeat(1_300_000)}`) },
      /answer is longer than/,
    ],
  ];
  for (const [script, says] of failures) {
    await using server = await startScanner(script);
    // Only a silence is to be met by the deadline, however slow the machine.
    const answerTimeout = says.source.includes("within 300ms") ? "300ms" : "20s";
    const settings = httpHookSettings.parse({ servers: `http://${server.at}`, answerTimeout });
    const filter = await httpHookFilter("hook", settings, testFilterWorld());
    await assert.rejects(judge(filter), { code: "FILTER_FAILED", message: says });
    assert.equal(filter.health().state, "down");
    await filter.close();
  }
});

test("with https the certificate must be good: of an authority that is known, for that host", async () => {
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] },
    ],
  });
  const folder = mkdtempSync(join(tmpdir(), "posthorn-hook-"));
  const tlsCa = join(folder, "authority.pem");
  writeFileSync(tlsCa, made.cert);
  const server = createHttpsServer({ key: made.private, cert: made.cert }, (_, response) => response.end("{}"));
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server says where it listens.
  const { port } = server.address() as AddressInfo;
  const judged = async (more: object, trust = trustIn()): Promise<unknown> => {
    const filter = await httpHookFilter("hook", httpHookSettings.parse(more), testFilterWorld({ trust }));
    try {
      return await judge(filter);
    } finally {
      await filter.close();
    }
  };
  assert.deepEqual(await judged({ servers: `https://localhost:${port}`, tlsCa }), { fate: { kind: "keep" } });
  // Without one of its own: the system's.
  const plain = { servers: `https://localhost:${port}` };
  assert.deepEqual(await judged(plain, trustIn(made.cert)), { fate: { kind: "keep" } });
  await assert.rejects(judged(plain, trustIn((await testAuthority("Other")).certificatePem)), {
    message: /self-signed certificate/,
  });
  await assert.rejects(judged(plain), { message: /no authority of the system/ });
  await assert.rejects(judged({ servers: `https://127.0.0.1:${port}`, tlsCa }), { message: /does not match|altnames/ });
  await assert.rejects(judged({ servers: "https://localhost", tlsCa: join(folder, "none") }), {
    code: "SETTINGS_INVALID",
  });
  const nobody = join(folder, "nobody");
  writeFileSync(nobody, "");
  await assert.rejects(judged({ servers: "https://localhost", tlsCa: nobody }), { code: "SETTINGS_INVALID" });
  server.closeAllConnections();
  server.close();
  await once(server, "close");
  rmSync(folder, { recursive: true });
});
