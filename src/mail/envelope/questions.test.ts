import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { systemClock } from "../../foundation/clock.io.ts";
import { keyedTable } from "../../service/table/keyed-table.ts";
import type { KeyedBackend } from "../../service/table/keyed-backend.ts";
import type { Table, TableAnswer } from "../../service/table/table.ts";
import type { SessionFactsForRules } from "./policy.ts";
import { rulesPolicy, type RulesPolicyParts } from "./rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { localSettings } from "./settings.ts";

/** What recipients ask a table of aliases: `rounds` of questions that wait together, each with its keys. */
interface Far {
  readonly table: Table;
  readonly rounds: string[][];
}

/** A database far away: what is asked while an answer is on its way travels beside it. */
function far(name: string, entries: Readonly<Record<string, string>>, kind: "each" | "get" = "each"): Far {
  const rounds: string[][] = [];
  let open: string[] | undefined;
  let wait: Promise<void> = Promise.resolve();
  const ask = async (keys: readonly string[]): Promise<readonly TableAnswer[]> => {
    if (open === undefined) {
      rounds.push((open = []));
      wait = new Promise((resolve) => setImmediate(resolve)).then(() => void (open = undefined));
    }
    open.push(...keys);
    await wait;
    return keys.map((key) => {
      const value = Object.hasOwn(entries, key) ? entries[key] : undefined;
      return value === undefined ? { kind: "none" } : { kind: "found", value, where: name };
    });
  };
  const backend: KeyedBackend = {
    get: async (key) => (await ask([key]))[0] ?? { kind: "none" },
    ...(kind === "each" ? { each: ask } : {}),
    health: () => ({ state: "up", text: "", queries: 0, failures: 0 }),
    close: () => Promise.resolve(),
  };
  return { table: keyedTable(name, backend, { clock: systemClock, timeoutMs: 5000, wildcards: true }), rounds };
}

const facts: SessionFactsForRules = {
  listener: "smtp",
  clientAddress: "192.0.2.7",
  isEncrypted: false,
  sender: "sam@elsewhere.example",
};

function policyOver(tables: readonly Far[], local: object = {}, parts: RulesPolicyParts = {}) {
  return rulesPolicy(
    {
      hostname: "mx.example.org",
      local: localSettings.parse({
        domains: ["example.org"],
        aliases: tables.map(({ table }) => `table:${table.name}`),
        ...local,
      }),
      actions: actionsSettings.parse({}),
    },
    new Map(tables.map(({ table }) => [table.name, table])),
    parts,
  );
}

async function recipientsOf(tables: readonly Far[], recipient: string, parts?: RulesPolicyParts): Promise<unknown> {
  return await policyOver(tables, {}, parts).judgeRecipient(facts, recipient);
}

async function roundsFor(
  entries: Readonly<Record<string, string>>,
  recipient: string,
): Promise<readonly (readonly string[])[]> {
  const aliases = far("aliases", entries);
  const judged = await policyOver([aliases]).judgeRecipient(facts, recipient);
  assert.equal(judged.kind, "accept", recipient);
  return aliases.rounds;
}

test("a user without an alias waits for the table once, and with no extension in the name two keys are asked", async () => {
  assert.deepEqual(await roundsFor({}, "jane@example.org"), [["jane@example.org", "jane"]]);
});

test("an extension is asked for beside the name without it", async () => {
  assert.deepEqual(await roundsFor({}, "jane+lists@example.org"), [
    ["jane+lists@example.org", "jane@example.org", "jane+lists", "jane"],
  ]);
});

test("an alias of one address waits twice: for itself, then for its owner and its target together", async () => {
  const rounds = await roundsFor({ "info@example.org": "jane" }, "info@example.org");
  assert.deepEqual(
    rounds.map((keys) => keys.toSorted()),
    [
      ["info", "info@example.org"],
      ["jane", "jane@example.org", "owner-info", "owner-info@example.org"],
    ],
  );
});

test("an alias of somebody elsewhere asks for nothing but itself and its owner", async () => {
  const rounds = await roundsFor({ "info@example.org": "jane@elsewhere.example" }, "info@example.org");
  assert.deepEqual(rounds, [
    ["info@example.org", "info"],
    ["owner-info@example.org", "owner-info"],
  ]);
});

test("the members of a list are asked for a few at a time, and each once", async () => {
  const members = Array.from({ length: 12 }, (_, at) => `user${at}`);
  const rounds = await roundsFor({ all: [...members, "USER3"].join(", ") }, "all@example.org");
  const keys = rounds.flat();
  assert.equal(keys.length, 2 + 2 + 12 * 2);
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(Math.max(...rounds.map((round) => round.length)) <= 6);
});

test("a name that leads back to itself, or is meant as the mailbox, is not asked again", async () => {
  assert.equal((await roundsFor({ joe: "joe, \\ann" }, "joe@example.org")).flat().length, 4);
});

test("a table behind one that has the name is not asked; behind one that has a lesser key it is asked for the better", async () => {
  const first = far("first", { "jane@example.org": "a@elsewhere.example", joe: "b@elsewhere.example" });
  const second = far("second", {});
  const policy = policyOver([first, second], { ownerAliases: false });
  await policy.judgeRecipient(facts, "jane@example.org");
  assert.deepEqual(second.rounds, []);
  await policy.judgeRecipient(facts, "joe@example.org");
  assert.deepEqual(second.rounds, [["joe@example.org"]]);
});

test("a better key in a later table counts", async () => {
  const first = far("first", { joe: "lesser@elsewhere.example" });
  const second = far("second", { "joe@example.org": "better@elsewhere.example", joe: "no@elsewhere.example" });
  const judged = await policyOver([first, second], { ownerAliases: false }).judgeRecipient(facts, "joe@example.org");
  assert.ok(judged.kind === "accept");
  assert.deepEqual(
    judged.targets.map(({ recipient }) => recipient),
    ["better@elsewhere.example"],
  );
});

const name = fc.constantFrom("a", "b", "c", "d", "a+x", "owner-a", "owner-b");
const target = fc.oneof(
  name,
  name.map((each) => `\\${each}`),
  name.map((each) => `${each}@example.org`),
  name.map((each) => `${each}@elsewhere.example`),
  fc.constantFrom("|/bin/x", ":fail: gone", ":defer: later"),
);
const aliases = fc.dictionary(
  fc.oneof(
    name,
    name.map((each) => `${each}@example.org`),
    fc.constant("@example.org"),
  ),
  fc.array(target, { minLength: 1, maxLength: 4 }).map((targets) => targets.join(", ")),
  { maxKeys: 6 },
);

test("asked ahead, together, or one by one: what becomes of a recipient is the same", async () => {
  await fc.assert(
    fc.asyncProperty(aliases, aliases, name, async (one, other, user) => {
      const recipient = `${user}@example.org`;
      const together = await recipientsOf([far("one", one), far("two", other)], recipient);
      const inTurn = [far("one", one, "get"), far("two", other, "get")];
      assert.deepEqual(together, await recipientsOf(inTurn, recipient, { trace: () => {} }));
    }),
    { numRuns: 150 },
  );
});
