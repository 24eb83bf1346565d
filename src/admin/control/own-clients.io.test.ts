import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import type { QueueFilter } from "../../mail/queue/store.ts";
import type { Admin } from "./admin.ts";
import { connectControl } from "./client.io.ts";
import { operations } from "./operations.ts";
import { OWN_QUESTIONS } from "./own-view.ts";
import { controlPaths, type ControlPaths } from "./paths.ts";
import { startControl, type HostUsers } from "./server.io.ts";
import { controlSettings } from "./settings.ts";
import { streams } from "./streams.ts";

const JANE = 60_021;
const GROUP = 60_022;
const asRoot = { skip: process.getuid?.() === 0 ? false : "needs root, to be somebody else" };

interface Place extends AsyncDisposable {
  readonly paths: ControlPaths;
  readonly filters: QueueFilter[];
  readonly said: string[];
}

async function place(settings: unknown = {}, accountOf?: HostUsers["accountOf"]): Promise<Place> {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-own-"));
  chmodSync(directory, 0o755);
  const filters: QueueFilter[] = [];
  const said: string[] = [];
  const queue: Pick<Admin["queue"], "list" | "census"> = {
    list: (filter) => {
      filters.push(filter);
      return Promise.resolve({ count: 0, rows: "[]" });
    },
    census: () => Promise.resolve([]),
  };
  const parsed = controlSettings.parse(settings);
  const server = await startControl({
    settings: parsed,
    paths: controlPaths(parsed, directory),
    admin: { queue } as unknown as Admin,
    clock: systemClock,
    emit: (event) => void said.push(event.name),
    users: { listener: "local", accountOf: accountOf ?? ((uid) => Promise.resolve(`user-${uid}`)) },
  });
  return {
    paths: server.paths,
    filters,
    said,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true });
    },
  };
}

interface Told {
  readonly id: number;
  readonly ok?: boolean;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Speaks with the server as somebody else: sends requests, one connection, and gives the ends of the answers. */
async function askAs(who: readonly string[], path: string, requests: readonly object[]): Promise<readonly Told[]> {
  const script = `
    const [path, lines, count] = process.argv.slice(1);
    const socket = require("node:net").connect(path, () => (lines === "" ? socket.end() : socket.write(lines)));
    let text = "";
    socket.on("error", (error) => { console.log(JSON.stringify({ id: 0, error: { code: error.code, message: "" } })); });
    socket.on("data", (bytes) => {
      text += bytes;
      const ends = text.split("\\n").filter((line) => line.includes('"ok":'));
      if (ends.length >= Number(count)) socket.end();
    });
    socket.on("close", () => { process.stdout.write(text); });
  `;
  const lines = requests.map((request, at) => `${JSON.stringify({ v: 1, id: at + 1, ...request })}\n`).join("");
  const child = spawn("setpriv", [...who, process.execPath, "-e", script, path, lines, String(requests.length)], {
    cwd: "/",
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 20_000,
  });
  let out = "";
  child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()));
  await once(child, "close");
  return out
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Told)
    .filter((told) => told.ok !== undefined || told.error !== undefined);
}

const jane = [`--reuid=${JANE}`, `--regid=${JANE}`, "--clear-groups"];
const ask = (name: string, args: object = {}): object => ({ do: name, with: args });

test("everybody may connect to ask, and who runs the server sees all as ever", async () => {
  await using server = await place();
  assert.equal(statSync(server.paths.query).mode & 0o777, 0o666);
  assert.equal(statSync(server.paths.change).mode & 0o777, 0o600);
  using client = await connectControl(server.paths.query);
  await Array.fromAsync(client.portions("queue.list", {}));
  assert.deepEqual(server.filters, [{}]);
});

test("any other user sees the own mail, by who the system says that is, and nothing else", asRoot, async () => {
  await using server = await place();
  const names = [...Object.keys(operations), ...Object.keys(streams)].filter((name) => !OWN_QUESTIONS.has(name));
  const answers = await askAs(jane, server.paths.query, [
    ask("queue.list", { sender: "x@a.example" }),
    ask("queue.list", { origin: { listener: "local", account: "root" } }),
    ...names.slice(0, 14).map((name) => ask(name)),
  ]);
  const rest = await askAs(
    jane,
    server.paths.query,
    names.slice(14, 29).map((name) => ask(name)),
  );
  const last = await askAs(
    jane,
    server.paths.query,
    names.slice(29).map((name) => ask(name)),
  );
  const [list, claimed, ...refusals] = [...answers, ...rest, ...last];
  assert.equal(list?.ok, true);
  assert.equal(claimed?.error?.code, "USAGE");
  assert.deepEqual(server.filters, [{ sender: "x@a.example", origin: { listener: "local", account: `user-${JANE}` } }]);
  assert.deepEqual(
    refusals.map(({ error }) => `${error?.code}: ${error?.message}`),
    names.map((name) => `CONTROL_REFUSED: this user sees own mail only, not ${name}`),
  );
  assert.ok(!server.said.includes("control.refused"), "nobody fills the log so");
});

test("members of the socket's group see all, also by a group besides their first", asRoot, async () => {
  await using server = await place({ query: { group: String(GROUP) } });
  for (const who of [
    [`--reuid=${JANE}`, `--regid=${GROUP}`, "--clear-groups"],
    [`--reuid=${JANE}`, `--regid=${JANE}`, `--groups=7,${GROUP}`],
  ])
    assert.equal((await askAs(who, server.paths.query, [ask("queue.count")]))[0]?.ok, true);
  assert.equal((await askAs(jane, server.paths.query, [ask("queue.count")]))[0]?.error?.code, "CONTROL_REFUSED");
});

test("who may change sees all on the socket for queries, too, but may not change there", asRoot, async () => {
  await using server = await place({ change: { group: String(GROUP), mode: "0660" } });
  const member = [`--reuid=${JANE}`, `--regid=${GROUP}`, "--clear-groups"];
  const [count, stop] = await askAs(member, server.paths.query, [ask("queue.count"), ask("stop")]);
  assert.equal(count?.ok, true);
  assert.match(stop?.error?.message ?? "", /not allowed on the socket for queries/);
});

test("where others see nothing, the file's mode keeps them out", asRoot, async () => {
  await using server = await place({ query: { others: "none" } });
  assert.equal(statSync(server.paths.query).mode & 0o777, 0o660);
  assert.equal((await askAs(jane, server.paths.query, [ask("queue.list")]))[0]?.error?.code, "EACCES");
});

test(
  "a user has few connections at a time, which keep out neither the operator nor, later, that user",
  asRoot,
  async () => {
    const waiting: (() => void)[] = [];
    await using server = await place({}, (uid) => new Promise((done) => waiting.push(() => done(`user-${uid}`))));
    const asked = Array.from({ length: 4 }, () => askAs(jane, server.paths.query, [ask("queue.list")]));
    while (waiting.length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
    const [fifth] = await askAs(jane, server.paths.query, [ask("queue.list")]);
    assert.deepEqual(
      [fifth?.error?.code, fifth?.error?.message],
      ["ROLE_UNAVAILABLE", "this user has too many connections to the server"],
    );
    using operator = await connectControl(server.paths.query);
    assert.deepEqual(await operator.call("queue.count"), []);
    for (const go of waiting.splice(0)) go();
    for (const answers of await Promise.all(asked)) assert.equal(answers[0]?.ok, true);
    const again = askAs(jane, server.paths.query, [ask("queue.list")]);
    while (waiting.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
    waiting[0]?.();
    assert.equal((await again)[0]?.ok, true);
  },
);

test("clients that go away before it is known who they are leave nothing behind", asRoot, async () => {
  const waiting: (() => void)[] = [];
  await using server = await place({}, (uid) => new Promise((done) => waiting.push(() => done(`user-${uid}`))));
  const gone = Array.from({ length: 4 }, () => askAs(jane, server.paths.query, []));
  while (waiting.length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const go of waiting.splice(0)) go();
  await Promise.all(gone);
  const asked = askAs(jane, server.paths.query, [ask("queue.list")]);
  while (waiting.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
  waiting[0]?.();
  assert.equal((await asked)[0]?.ok, true);
});
