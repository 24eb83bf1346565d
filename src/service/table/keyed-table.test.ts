import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { virtualClock } from "../../simulator/clock.ts";
import { tableContent } from "./content.ts";
import type { FirstAnswer, KeyedBackend } from "./keyed-backend.ts";
import { firstExact } from "./first-exact.ts";
import { keyedCandidates, writtenKey } from "./keyed-candidates.ts";
import { keyedTable } from "./keyed-table.ts";
import { parseNetwork } from "./network.ts";
import type { TableAnswer } from "./table.ts";

function backendOf(entries: Readonly<Record<string, string>>, asked: string[] = []): KeyedBackend {
  return {
    get(key): Promise<TableAnswer> {
      asked.push(key);
      const value = Object.hasOwn(entries, key) ? entries[key] : undefined;
      return Promise.resolve(value === undefined ? { kind: "none" } : { kind: "found", value, where: "w" });
    },
    health: () => ({ state: "up", text: "", queries: 0, failures: 0 }),
    close: () => Promise.resolve(),
  };
}
const clock = virtualClock(0);
const options = { clock, timeoutMs: 1000, wildcards: true };

test("a backend is asked for the most exact key first", async () => {
  const asked: string[] = [];
  await keyedTable("t", backendOf({}, asked), options).lookup("Joe@mail.Example.org", { service: "alias" });
  assert.deepEqual(asked, ["joe@mail.example.org", "joe@", "@mail.example.org", ".example.org", ".org", "*"]);
  asked.length = 0;
  await keyedTable("t", backendOf({}, asked), options).has("joe@example.org", { service: "address" });
  assert.deepEqual(asked, ["joe@example.org", "joe@", "@example.org", "example.org", ".org", "*"]);
});

test("without wildcards, and for passwords, only the key itself is asked for", async () => {
  const asked: string[] = [];
  await keyedTable("t", backendOf({}, asked), { ...options, wildcards: false }).lookup("joe@example.org");
  await keyedTable("t", backendOf({}, asked), options).lookup("joe@example.org", { service: "credentials" });
  assert.deepEqual(asked, ["joe@example.org", "joe@example.org"]);
});

test("a person's name beyond ASCII is asked for as it is, then as tables fold it", async () => {
  const asked: string[] = [];
  const none = keyedTable("t", backendOf({}, asked), options);
  const people = backendOf({ jürgen: "a", "xn--mller-kva": "b", "xn--bcher-kva.example": "c" });
  const table = keyedTable("t", people, options);
  await none.lookup("Jürgen", { service: "credentials" });
  await none.exact("Jürgen", { service: "alias" });
  await none.lookup("jürgen", { service: "userinfo" });
  await none.lookup("jürgen@bücher.example", { service: "credentials" });
  await none.exact("bücher.example", { service: "domain" });
  // As macOS writes it: what was filled from there is found, and what was typed in.
  await none.lookup("ju\u0308rgen@x.example", { service: "credentials" });
  await none.lookup("ju\u0308rgen", { service: "credentials" });
  assert.deepEqual(asked, [
    "jürgen",
    "xn--jrgen-kva",
    "jürgen",
    "xn--jrgen-kva",
    "jürgen",
    "xn--jrgen-kva",
    "*",
    "jürgen@xn--bcher-kva.example",
    "xn--bcher-kva.example",
    "ju\u0308rgen@x.example",
    "j\u00fcrgen@x.example",
    "ju\u0308rgen",
    "j\u00fcrgen",
    "xn--jrgen-kva",
  ]);
  for (const [name, value] of [
    ["JÜRGEN", "a"],
    ["Müller", "b"],
  ] as const) {
    assert.deepEqual(await table.exact(name, { service: "alias" }), { kind: "found", value, where: "w" });
    const first = await table.firstExact?.(["nobody", name], { service: "alias" });
    assert.deepEqual(first, { kind: "found", value, where: "w", key: name });
    const several = keyedTable(
      "t",
      { ...people, each: (keys, ask) => Promise.all(keys.map((key) => people.get(key, ask))) },
      options,
    );
    const answers = await several.each?.(["nobody", name, "joe"], { service: "alias" });
    assert.deepEqual(answers, [{ kind: "none" }, { kind: "found", value, where: "w" }, { kind: "none" }]);
  }
  const accounts: string[] = [];
  const checkPassword: KeyedBackend["checkPassword"] = (account) => {
    accounts.push(account);
    return Promise.resolve({ kind: "none" });
  };
  const comparing = keyedTable("t", { ...people, checkPassword }, options);
  for (const account of ["Jürgen", "Joe", "Jürgen@Bücher.example"]) await comparing.checkPassword?.(account, "x");
  assert.deepEqual(accounts, ["jürgen", "joe", "jürgen@xn--bcher-kva.example"]);
});

test("networks are asked for only where that costs little", () => {
  const keys = keyedCandidates("192.0.2.7", "network", { wildcards: true, isMember: true, hasFirst: true });
  assert.deepEqual(
    [keys[0], keys[1], keys[8], keys[32], keys[33], keys.length],
    ["192.0.2.7", "192.0.2.6/31", "192.0.2.0/24", "0.0.0.0/0", "*", 34],
  );
  assert.deepEqual(keyedCandidates("2001:DB8::1", "network", { wildcards: true, isMember: true, hasFirst: false }), [
    "2001:db8::1",
    "*",
  ]);
});

test("what says no beats what is less exact, where a backend has such", async () => {
  const table = keyedTable("t", backendOf({ ".example.org": "yes", "!bad.example.org": "" }), {
    ...options,
    negation: true,
  });
  assert.deepEqual(await table.has("bad.example.org"), { kind: "found", value: false, where: "w" });
  assert.deepEqual(await table.has("good.example.org"), { kind: "found", value: true, where: "w" });
  assert.deepEqual(await table.lookup("bad.example.org"), { kind: "none" });
});

test("a lookup ends at its deadline, when it is given up, and whatever a backend throws", async () => {
  const hung: KeyedBackend = { ...backendOf({}), get: () => new Promise(() => {}) };
  const lookup = keyedTable("t", hung, options).lookup("x");
  await clock.advance(1001);
  assert.deepEqual(await lookup, { kind: "failed", text: "table t did not answer within 1s" });
  const controller = new AbortController();
  const given = keyedTable("t", hung, options).lookup("x", { signal: controller.signal });
  controller.abort();
  assert.deepEqual(await given, { kind: "failed", text: "table t: given up" });
  const broken: KeyedBackend = { ...backendOf({}), get: () => Promise.reject(new Error("boom")) };
  assert.deepEqual(await keyedTable("t", broken, options).lookup("x"), { kind: "failed", text: "table t: boom" });
});

test("a failure on the way to a wildcard is a failure, not the wildcard's answer", async () => {
  const failing: KeyedBackend = {
    ...backendOf({}),
    get: (key) =>
      Promise.resolve(
        key === "joe@"
          ? { kind: "failed", text: "down" }
          : key === "*"
            ? { kind: "found", value: "x", where: "w" }
            : { kind: "none" },
      ),
  };
  assert.equal((await keyedTable("t", failing, options).lookup("joe@example.org")).kind, "failed");
});

test("a service that the backend cannot answer fails, with those that it can", async () => {
  const table = keyedTable("t", { ...backendOf({}), services: () => ["alias"] }, options);
  assert.deepEqual(await table.lookup("x", { service: "domain" }), {
    kind: "failed",
    text: "table t answers only alias, not domain",
  });
});

test("each step can be seen", async () => {
  const steps: string[] = [];
  const first = (): Promise<FirstAnswer> => Promise.resolve({ kind: "none" });
  await keyedTable("t", { ...backendOf({ "@example.org": "x" }), first }, options).lookup("joe@example.org", {
    onStep: ({ key, answer }) => void steps.push(`${key} ${answer.kind}`),
  });
  assert.deepEqual(steps, ["joe@example.org none", "joe@ none", "@example.org found"]);
});

test("several keys are asked for together where the backend can, else in turn until one is there", async () => {
  const entries = { b: "2", c: "3" };
  const asked: string[] = [];
  const inTurn = keyedTable("t", backendOf(entries, asked), options);
  assert.deepEqual(await firstExact(inTurn, ["A", "B", "c"]), { kind: "found", key: "B", value: "2", where: "w" });
  assert.deepEqual(asked, ["a", "b"]);
  const groups: (readonly string[])[] = [];
  const each = (keys: readonly string[]): Promise<readonly TableAnswer[]> => {
    groups.push(keys);
    return Promise.all(keys.map((key) => backendOf(entries).get(key, { service: "string" })));
  };
  const together = keyedTable("t", { ...backendOf(entries), each }, options);
  assert.deepEqual(await firstExact(together, ["A", "B", "c"]), { kind: "found", key: "B", value: "2", where: "w" });
  assert.deepEqual(await firstExact(together, ["x", "y"]), { kind: "none" });
  assert.deepEqual(groups, [
    ["a", "b", "c"],
    ["x", "y"],
  ]);
});

test("wildcards are asked for together, and only when the key itself is not there", async () => {
  const asked: string[] = [];
  const groups: (readonly string[])[] = [];
  const entries = { "joe@example.org": "1", "@example.org": "2", "*": "3" };
  const backend = backendOf(entries, asked);
  const each = (keys: readonly string[]): Promise<readonly TableAnswer[]> => {
    groups.push(keys);
    return Promise.all(keys.map((key) => backendOf(entries).get(key, { service: "string" })));
  };
  const table = keyedTable("t", { ...backend, each }, options);
  assert.deepEqual(await table.lookup("joe@example.org"), { kind: "found", value: "1", where: "w" });
  assert.deepEqual([asked, groups], [["joe@example.org"], []]);
  assert.deepEqual(await table.lookup("ann@example.org"), { kind: "found", value: "2", where: "w" });
  assert.deepEqual(groups, [["ann@", "@example.org", ".org", "*"]]);
});

test("of keys asked for together a failure counts before what is behind it, and not behind what is found", async () => {
  const each = (keys: readonly string[]): Promise<readonly TableAnswer[]> =>
    Promise.resolve(
      keys.map((key) =>
        key === "broken" ? { kind: "failed", text: "down" } : { kind: "found", value: key, where: "w" },
      ),
    );
  const table = keyedTable("t", { ...backendOf({}), each }, options);
  assert.equal((await firstExact(table, ["a", "broken"])).kind, "found");
  assert.deepEqual(await firstExact(table, ["broken", "a"]), { kind: "failed", text: "down" });
});

const label = fc.constantFrom("a", "b", "example");
const domain = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
const written = fc.oneof(
  domain,
  domain.map((each) => `*.${each}`),
  domain.map((each) => `@${each}`),
  fc.tuple(label, domain).map(([user, each]) => `${user}@${each}`),
  label.map((user) => `${user}@`),
  fc.constant("*"),
  fc.tuple(fc.nat(3), fc.nat(32)).map(([last, bits]) => networkAround(last, bits)),
);
const asked = fc.oneof(
  domain,
  label,
  fc.tuple(label, domain).map(([user, each]) => `${user}@${each}`),
  fc.nat(7).map((last) => `10.0.0.${last}`),
);

function networkAround(last: number, bits: number): string {
  const value = ((10 << 24) | last) >>> 0;
  const kept = bits === 0 ? 0 : (value & (0xffffffff << (32 - bits))) >>> 0;
  const text = `${[kept >>> 24, (kept >>> 16) & 255, (kept >>> 8) & 255, kept & 255].join(".")}/${bits}`;
  assert.ok(parseNetwork(text).ok, text);
  return text;
}

test("a keyed backend answers as a file with the same keys does", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(written, { selector: writtenKey, maxLength: 8 }), asked, async (keys, key) => {
      const { content } = tableContent(keys.map((each, at) => ({ key: each, value: `${at}`, where: "w" })));
      const backend = backendOf(Object.fromEntries(keys.map((each, at) => [writtenKey(each), `${at}`])));
      const first = async (several: readonly string[]): Promise<FirstAnswer> => {
        for (const each of several) {
          const answer = await backend.get(each, { service: "string" });
          if (answer.kind === "found") return { ...answer, key: each };
        }
        return { kind: "none" };
      };
      const table = keyedTable("t", { ...backend, first }, options);
      const answer = await table.lookup(key);
      assert.equal(answer.kind === "found" ? answer.value : undefined, content.lookup(key)?.value);
      assert.equal((await table.has(key)).kind === "found", content.has(key) !== undefined);
      const exact = await table.exact(key);
      assert.equal(exact.kind === "found" ? exact.value : undefined, content.exact(key)?.value);
      assert.equal((await table.hasExact(key)).kind === "found", content.exact(key) !== undefined);
    }),
  );
});
