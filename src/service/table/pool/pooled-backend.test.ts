import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../foundation/random.ts";
import { virtualClock, type VirtualClock } from "../../../simulator/clock.ts";
import type { KeyedBackend } from "../keyed-backend.ts";
import { keyedTable } from "../keyed-table.ts";
import type { RowValue } from "../row-value.ts";
import { redisSettings } from "../redis/settings.ts";
import { pooledBackend } from "./pooled-backend.ts";
import { trustIn } from "../../../testing/trust.ts";

interface World {
  readonly clock: VirtualClock;
  readonly told: string[];
  readonly backend: KeyedBackend;
  /** What comes of the next question. */
  answer: () => Promise<RowValue>;
  refuses: boolean;
  opened: number;
}

type AskEach = (keys: readonly string[]) => Promise<readonly RowValue[]>;

function world(askEach?: AskEach): World {
  const clock = virtualClock(0);
  const told: string[] = [];
  const state: World = {
    clock,
    told,
    answer: () => Promise.resolve({ kind: "found", value: "x" }),
    refuses: false,
    opened: 0,
    backend: pooledBackend<string>(
      {
        table: "t",
        kind: "db",
        settings: redisSettings.parse({ hosts: "h", commands: { alias: "GET %{key}" } }),
        driver: {
          open: () => {
            state.opened++;
            return state.refuses ? Promise.reject(new Error("refused")) : Promise.resolve("connection");
          },
          close: () => {},
          isAnswer: (error) => error instanceof TypeError,
        },
        services: ["alias"],
        probed: [
          { service: "alias", path: ["commands", "alias"] },
          { service: "domain", path: ["commands", "domain"] },
        ],
        ask: () => state.answer(),
        ...(askEach === undefined ? {} : { askEach: (_connection: string, keys: readonly string[]) => askEach(keys) }),
      },
      { clock, random: seededRandom(1), trust: trustIn(), onFinding: ({ text }) => void told.push(text) },
    ),
  };
  return state;
}

test("an answer says where it is from, and health counts", async () => {
  const state = world();
  assert.equal(state.backend.health().state, "untried");
  assert.deepEqual(await state.backend.get("k", { service: "alias" }), { kind: "found", value: "x", where: "db h" });
  const { state: is, queries, failures, pool } = state.backend.health();
  assert.deepEqual([is, queries, failures, pool], ["up", 1, 0, { open: 1, busy: 0, waiting: 0, most: 4 }]);
});

test("going down and coming back are told once each, and not again and again", async () => {
  const state = world();
  const ask = () => state.backend.get("k", { service: "alias" });
  const fine = state.answer;
  for (let turn = 0; turn < 20; turn++) {
    state.answer = () => Promise.reject(new TypeError("no such table"));
    assert.deepEqual(await ask(), { kind: "failed", text: "db h: no such table" });
    state.answer = fine;
    await ask();
    await state.clock.advance(1000);
  }
  assert.deepEqual(state.told, [
    "db h: no such table; what is asked fails for now",
    "db answers again, after 1 failed lookups",
  ]);
  await state.clock.advance(60_000);
  state.answer = () => Promise.resolve({ kind: "failed", text: "two rows" });
  for (let turn = 0; turn < 5; turn++) await ask();
  assert.deepEqual(state.told.slice(2), ["db h: two rows; what is asked fails for now"]);
  assert.equal(state.backend.health().failures, 25);
});

test("who gives up is answered at once, and the connection is of use to the next", async () => {
  const state = world();
  await state.backend.get("k", { service: "alias" });
  let finish: (value: RowValue) => void = () => {};
  state.answer = () => new Promise((resolve) => (finish = resolve));
  const controller = new AbortController();
  const table = keyedTable("t", state.backend, { clock: state.clock, timeoutMs: 60_000, wildcards: false });
  const asked = table.lookup("k", { service: "alias", signal: controller.signal });
  await state.clock.advance(0);
  controller.abort();
  assert.deepEqual(await asked, { kind: "failed", text: "table t: given up" });
  assert.equal(state.backend.health().pool?.busy, 1);
  finish({ kind: "none" });
  await state.clock.advance(0);
  assert.equal(state.backend.health().pool?.busy, 0);
  await state.clock.advance(4000);
  assert.equal(state.opened, 1);
  assert.deepEqual(state.told, []);
});

test("probing tells each query that fails, or once that there is no connection", async () => {
  const state = world();
  assert.deepEqual(await state.backend.probe?.(), []);
  state.answer = () => Promise.reject(new TypeError("syntax"));
  assert.deepEqual(await state.backend.probe?.(), [
    { path: ["commands", "alias"], text: "db h: syntax" },
    { path: ["commands", "domain"], text: "db h: syntax" },
  ]);
  const away = world();
  away.refuses = true;
  const problems = (await away.backend.probe?.()) ?? [];
  assert.deepEqual(
    problems.map(({ path }) => path),
    [["hosts"]],
  );
});

test("several keys go over one connection, are counted each, and fail together", async () => {
  const groups: (readonly string[])[] = [];
  let each: AskEach = (keys) =>
    Promise.resolve(keys.map((key) => (key === "b" ? { kind: "found", value: "x" } : { kind: "none" })));
  const state = world((keys) => {
    groups.push(keys);
    return each(keys);
  });
  const { backend } = state;
  const ask = () => backend.each?.(["a", "b"], { service: "alias" });
  assert.deepEqual(await ask(), [{ kind: "none" }, { kind: "found", value: "x", where: "db h" }]);
  assert.deepEqual([state.opened, groups], [1, [["a", "b"]]]);
  assert.equal(backend.health().queries, 2);
  each = () => Promise.reject(new TypeError("no such table"));
  assert.deepEqual(await ask(), [
    { kind: "failed", text: "db h: no such table" },
    { kind: "failed", text: "db h: no such table" },
  ]);
  assert.deepEqual([backend.health().queries, backend.health().failures], [4, 2]);
  assert.deepEqual(state.told, ["db h: no such table; what is asked fails for now"]);
});
