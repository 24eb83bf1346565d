import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  remoteTable,
  tablePort,
  type KeysAhead,
  type TablePort,
  type TableQuestion,
} from "../../service/table/remote-table.ts";
import type { Table } from "../../service/table/table.ts";
import { inlineTable } from "../../service/table/tables.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { aliasKeysAhead } from "./address-book.ts";
import type { Judgement } from "./policy.ts";
import { rulesPolicy } from "./rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { localSettings } from "./settings.ts";

type Entries = Readonly<Record<string, string>>;

function tableOf(name: string, entries: Entries): Table {
  return inlineTable(name, { kind: "map", entries });
}

/** The same in another process, and what that is asked. */
function away(table: Table, keysAhead?: KeysAhead): { readonly table: Table; readonly questions: TableQuestion[] } {
  const questions: TableQuestion[] = [];
  const there = tablePort(new Map([[table.name, table]]), () => false, keysAhead);
  const port: TablePort = {
    ...there,
    lookupTable(name, question, service) {
      questions.push(question);
      return there.lookupTable(name, question, service);
    },
  };
  return { table: remoteTable(table.name, port, { clock: virtualClock(0), timeoutMs: 1000 }), questions };
}

function judge(tables: { readonly aliases: Table; readonly virtual: Table }, recipient: string): Promise<Judgement> {
  const policy = rulesPolicy(
    {
      hostname: "mx.example.org",
      local: localSettings.parse({
        domains: ["example.org", "example.net"],
        aliases: "table:aliases",
        virtual: [{ domains: ["virtual.example"], aliases: "table:virtual" }],
      }),
      actions: actionsSettings.parse({}),
    },
    new Map(Object.entries(tables)),
  );
  return policy.judgeRecipient(
    { listener: "smtp", clientAddress: "192.0.2.7", isEncrypted: false, sender: "sam@elsewhere.example" },
    recipient,
  );
}

async function questionsFor(aliases: Entries, recipient: string, virtualEntries: Entries = {}): Promise<number> {
  const primary = away(tableOf("aliases", aliases), aliasKeysAhead);
  const virtual = away(tableOf("virtual", virtualEntries), aliasKeysAhead);
  const judged = await judge({ aliases: primary.table, virtual: virtual.table }, recipient);
  assert.equal(judged.kind, "accept");
  return primary.questions.length + virtual.questions.length;
}

test("an alias of a user here costs one way to the process that has the table: owner and target come with the answer", async () => {
  assert.equal(await questionsFor({ info: "jane" }, "info@example.org"), 1);
  assert.equal(await questionsFor({ "info@example.org": "jane, joe" }, "info@example.org"), 1);
  assert.equal(await questionsFor({}, "info@virtual.example", { "info@virtual.example": "x@far.example" }), 1);
});

test("what an alias of an alias stands for is asked anew, with its owner beside it", async () => {
  assert.equal(await questionsFor({ info: "office", office: "jane" }, "info@example.org"), 3);
});

test("a name without an alias costs one way, too", async () => {
  assert.equal(await questionsFor({}, "jane@example.org"), 1);
});

test("what leads into another book is asked there", async () => {
  assert.equal(await questionsFor({}, "info@virtual.example", { "info@virtual.example": "jane@example.org" }), 2);
});

test("what an address stands for does not depend on where its table is, nor on what that says unasked", async () => {
  const name = fc.constantFrom("ann", "bob", "cy", "list", "owner-list", "dee+x", "dee");
  const domain = fc.constantFrom("", "@example.org", "@example.net", "@virtual.example", "@far.example");
  const address = fc.tuple(name, domain).map(([local, at]) => `${local}${at}`);
  const value = fc
    .array(
      fc.oneof(
        address,
        address.map((one) => `\\${one}`),
        fc.constant("EVE"),
      ),
      { minLength: 1, maxLength: 4 },
    )
    .map((all) => all.join(", "));
  const entries = fc.dictionary(address, value, { maxKeys: 6 });
  const given = fc
    .tuple(name, fc.constantFrom("@example.org", "@example.net", "@virtual.example"))
    .map(([local, at]) => `${local}${at}`);
  await fc.assert(
    fc.asyncProperty(entries, entries, given, async (aliases, virtual, recipient) => {
      const near = { aliases: tableOf("aliases", aliases), virtual: tableOf("virtual", virtual) };
      const expected = await judge(near, recipient);
      for (const keysAhead of [undefined, aliasKeysAhead])
        assert.deepEqual(
          await judge(
            { aliases: away(near.aliases, keysAhead).table, virtual: away(near.virtual, keysAhead).table },
            recipient,
          ),
          expected,
        );
    }),
    { numRuns: 500 },
  );
});
