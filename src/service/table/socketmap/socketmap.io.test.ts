import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../../foundation/clock.io.ts";
import { systemRandom } from "../../../foundation/random.io.ts";
import type { KeyedBackend } from "../keyed-backend.ts";
import { openTable } from "../open-backend.io.ts";
import { tableSuite } from "../table.suite.ts";
import type { TableAnswer } from "../table.ts";
import { netstring, netstringReader } from "./netstring.ts";
import { socketmapSettings } from "./settings.ts";
import { socketmapBackend } from "./socketmap.io.ts";
import { trustIn } from "../../../testing/trust.ts";

const EXAMPLE = fileURLToPath(new URL("../../../../docs/examples/socketmap-server.py", import.meta.url));
const world = { clock: systemClock, random: systemRandom, trust: trustIn(), onFinding: () => {}, secrets: {} };

tableSuite(
  "socketmap",
  async (entries) => {
    const directory = mkdtempSync(join(tmpdir(), "posthorn-socketmap-"));
    const file = join(directory, "people");
    const path = join(directory, "socket");
    writeFileSync(file, entries.map(({ service, key, value }) => `${service}\t${key}\t${value}\n`).join(""));
    let server: ChildProcess | undefined;
    const start = async (): Promise<void> => {
      server = spawn("/usr/bin/python3", [EXAMPLE, path, file], { stdio: ["ignore", "pipe", "inherit"] });
      // It says when it listens.
      if (server.stdout !== null) await once(server.stdout, "data");
    };
    const stop = async (): Promise<void> => {
      if (server === undefined) return;
      server.kill("SIGKILL");
      await once(server, "close");
      server = undefined;
    };
    await start();
    const names = Object.fromEntries(entries.map(({ service }) => [service, service]));
    const opened = await openTable(
      "t",
      {
        kind: "socketmap",
        options: socketmapSettings.parse({ hosts: path, names, firstPause: "50ms", longestPause: "100ms" }),
        wildcards: true,
        timeoutMs: 5000,
      },
      world,
    );
    return {
      table: opened.table,
      close: () => opened.close(),
      fail: stop,
      recover: start,
      async [Symbol.asyncDispose]() {
        await opened.close();
        await stop();
        rmSync(directory, { recursive: true });
      },
    };
  },
  { networks: false },
);

interface Opened extends AsyncDisposable {
  readonly backend: KeyedBackend;
  readonly asked: string[];
  get(key: string): Promise<TableAnswer>;
}

/** A server in this process that does as it is told with each question. */
async function open(
  onQuestion: (question: string, socket: Socket) => void,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Opened> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const read = netstringReader(100_000);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const heard of read(chunk)) {
        asked.push(heard.text);
        onQuestion(heard.text, socket);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server says where it listens.
  const { port } = server.address() as AddressInfo;
  const settings = socketmapSettings.parse({ hosts: `127.0.0.1:${port}`, firstPause: "10ms", ...more });
  const backend = socketmapBackend("people", settings, world);
  return {
    backend,
    asked,
    get: (key) => backend.get(key, { service: "alias" }),
    async [Symbol.asyncDispose]() {
      await backend.close();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const textOf = (answer: TableAnswer): string => (answer.kind === "failed" ? answer.text : JSON.stringify(answer));

test("a question is the map's name, a space and the key; the name is the table's, the settings', or the service's", async () => {
  const ok = (_: string, socket: Socket): void => void socket.write(netstring("OK yes"));
  await using own = await open(ok);
  await own.get("a key with spaces");
  assert.deepEqual(own.asked, ["people a key with spaces"]);
  await using named = await open(ok, { name: "map", names: { alias: "aliases" } });
  await named.get("joe");
  await named.backend.get("example.org", { service: "domain" });
  assert.deepEqual(named.asked, ["aliases joe", "map example.org"]);
});

test("a connection is kept for the next question; several questions at once have one each, within the bound", async () => {
  const sockets = new Set<Socket>();
  await using server = await open(
    (question, socket) => {
      sockets.add(socket);
      setTimeout(() => socket.write(netstring(`OK ${question}`)), 20);
    },
    { connections: 3 },
  );
  for (const key of ["a", "b"]) assert.match(textOf(await server.get(key)), new RegExp(`people ${key}`));
  assert.equal(sockets.size, 1);
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => server.get(`key${n}`)));
  for (const [n, answer] of answers.entries())
    assert.deepEqual(answer.kind === "found" && answer.value, `people key${n}`);
  assert.equal(sockets.size, 3);
});

test("TEMP, TIMEOUT and PERM fail the lookup, and the connection is used on", async () => {
  const replies = ["TEMP no database", "TIMEOUT ", "PERM no such map", "NOTFOUND ", "OK x"];
  const sockets = new Set<Socket>();
  await using server = await open((_, socket) => {
    sockets.add(socket);
    socket.write(netstring(replies.shift() ?? ""));
  });
  assert.match(textOf(await server.get("a")), /^socketmap 127\.0\.0\.1:\d+: TEMP "no database"$/);
  assert.match(textOf(await server.get("a")), /: TIMEOUT$/);
  assert.match(textOf(await server.get("a")), /: PERM "no such map"$/);
  assert.deepEqual(await server.get("a"), { kind: "none" });
  assert.equal((await server.get("a")).kind, "found");
  assert.equal(sockets.size, 1);
});

test("a server that sends no netstring, too much, or what nobody asked for, is a failure, and asked anew", async () => {
  for (const [sends, says] of [
    ["500 what?\r\n", /something that is no netstring/],
    ["100001:", /100001 bytes, more than 100000/],
    ["4:OK x;", /without its comma/],
  ] as const) {
    let turns = 0;
    await using server = await open((_, socket) => {
      socket.write(turns++ === 0 ? sends : netstring("OK again"));
    });
    assert.match(textOf(await server.get("a")), says);
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal((await server.get("a")).kind, "found");
  }
  // One reply too many must not become the answer to the next question.
  let number = 0;
  await using talkative = await open((_, socket) => {
    number++;
    socket.write(Buffer.concat([netstring(`OK ${number}`), netstring("OK of somebody else")]));
  });
  await talkative.get("a");
  await new Promise((resolve) => setTimeout(resolve, 30));
  const answer = await talkative.get("a");
  assert.equal(answer.kind === "found" && answer.value, "2");
});

test("a server that does not answer in time fails the lookup, and its late answer is nobody's", async () => {
  await using server = await open(
    (question, socket) =>
      setTimeout(() => socket.write(netstring(`OK ${question}`)), question.endsWith("slow") ? 1300 : 0),
    { queryTimeout: "1s" },
  );
  assert.match(textOf(await server.get("slow")), /no answer within 1s/);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const answer = await server.get("quick");
  assert.equal(answer.kind === "found" && answer.value, "people quick");
});

test("a key that no reply could be as long as is not asked for", async () => {
  await using server = await open((_, socket) => void socket.write(netstring("OK x")));
  assert.match(textOf(await server.get("x".repeat(100_001))), /too long/);
  assert.deepEqual(server.asked, []);
});

test("a check asks for each name once, and tells those that the server refuses", async () => {
  await using server = await open(
    (question, socket) => void socket.write(netstring(question.startsWith("good ") ? "NOTFOUND " : "PERM no such map")),
    { name: "good", names: { alias: "good", domain: "bad" } },
  );
  const problems = await server.backend.probe?.();
  assert.deepEqual(server.asked.map((question) => question.replace(/ .*/s, "")).toSorted(), ["bad", "good", "good"]);
  assert.deepEqual(
    problems?.map(({ path }) => path),
    [["names", "domain"]],
  );
  await using other = await open((_, socket) => void socket.write(netstring("NOTFOUND ")), { names: { alias: "x" } });
  assert.deepEqual(await other.backend.probe?.(), []);
  assert.equal(other.asked.length, 1);
});

test("settings want a port or a socket's path, and names that can stand before a space", () => {
  const isFine = (written: unknown): boolean => socketmapSettings.safeParse(written).success;
  assert.ok(isFine({ hosts: "/run/map.sock" }) && isFine({ hosts: ["[::1]:99", "map.example:99"], name: "a.b" }));
  assert.ok(!isFine({ hosts: "127.0.0.1" }) && !isFine({ hosts: "x:1", name: "two words" }) && !isFine({}));
});
