import assert from "node:assert/strict";
import { test } from "node:test";
import { refused } from "../../../foundation/result.ts";
import type { ControlClient } from "../../control/control.ts";
import { parseGiven, type CliCommand } from "../command.ts";
import { makeMap, newAliases } from "./make-map.ts";
import { showTables } from "./show-tables.ts";
import { tableLookup } from "./table-lookup.ts";
import type { TableQuestion, TableStory } from "./table-world.ts";
import type { Output, World } from "../world.ts";

const NOON = Date.UTC(2026, 10, 21, 12);

async function run(
  command: CliCommand,
  argv: readonly string[],
  fakes: Partial<World>,
): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const output = (write: (text: string) => void): Output => ({
    isTerminal: false,
    write: (text) => write(String(text)),
    room: () => Promise.resolve(),
    flushed: () => Promise.resolve(),
    lost: new AbortController().signal,
  });
  const world: Partial<World> = {
    stdout: output((text) => (out += text)),
    stderr: output((text) => (err += text)),
    now: () => NOON,
    ...fakes,
  };
  // Only these parts of the world are touched.
  const code = await command.run(parseGiven(command, argv), world as World);
  return { code, out, err };
}

const story: TableStory = {
  table: "aliases",
  kind: "cdb",
  text: "/etc/aliases.cdb",
  folded: "joe@example.org",
  steps: [
    { key: "joe@example.org", answer: { kind: "none" } },
    { key: "!joe@example.org", answer: { kind: "none" } },
    { key: "@example.org", answer: { kind: "found", value: 'jane, "|/bin/x y"', where: "/etc/aliases.cdb" } },
  ],
  answer: { kind: "found", value: 'jane, "|/bin/x y"', where: "/etc/aliases.cdb" },
  findings: ["/etc/aliases was changed after"],
  tookMs: 1.25,
};

test("a lookup shows the folded key, each key asked for, where the answer stands and what it means", async () => {
  const questions: TableQuestion[] = [];
  const lookupTable: World["lookupTable"] = (question) => {
    questions.push(question);
    return Promise.resolve(story);
  };
  const { code, out } = await run(tableLookup, ["aliases", "alias", "Joe@Example.ORG", "-f", "p.yaml"], {
    lookupTable,
  });
  assert.equal(code, 0);
  assert.deepEqual(questions, [
    { settingsFile: "p.yaml", table: "aliases", service: "alias", key: "Joe@Example.ORG", verb: "lookup" },
  ]);
  assert.equal(
    out,
    `table    aliases: cdb, /etc/aliases.cdb
key      Joe@Example.ORG, compared as joe@example.org
asked    joe@example.org  not there
asked    @example.org     there, /etc/aliases.cdb
told     /etc/aliases was changed after
entry    /etc/aliases.cdb
answer   jane, "|/bin/x y"
         address  jane
         command  "|/bin/x y"
took     1.3 ms
`,
  );
});

test("domains and networks are asked for being there; --exact asks for the key itself", async () => {
  const verbs: string[] = [];
  const lookupTable: World["lookupTable"] = (question) => {
    verbs.push(question.verb);
    return Promise.resolve({ ...story, answer: { kind: "found", value: false, where: "x:1" }, entry: "!a" });
  };
  const { code, out } = await run(tableLookup, ["t", "domain", "a"], { lookupTable });
  assert.equal(code, 1);
  assert.match(out, /entry {4}!a, x:1\nanswer {3}no: the entry says so/);
  await run(tableLookup, ["t", "domain", "a", "--exact"], { lookupTable });
  await run(tableLookup, ["t", "alias", "a", "--member"], { lookupTable });
  assert.deepEqual(verbs, ["has", "exact", "has"]);
});

test("no password is shown, in no form", async () => {
  const value = "{BLF-CRYPT}$2y$05$abcdefgh";
  const lookupTable: World["lookupTable"] = () =>
    Promise.resolve({
      ...story,
      steps: [{ key: "joe", answer: { kind: "found", value, where: "w" } }],
      answer: { kind: "found", value, where: "w" },
    });
  for (const argv of [
    ["t", "credentials", "joe"],
    ["t", "credentials", "joe", "--json"],
  ]) {
    const { out } = await run(tableLookup, argv, { lookupTable });
    assert.doesNotMatch(out, /\$2y/);
    assert.match(out, /\{BLF-CRYPT\}\.\.\. \(26 characters\)/);
  }
});

test("not there is 1, could not be found out is 75", async () => {
  const answering = (answer: TableStory["answer"]): Partial<World> => ({
    lookupTable: () => Promise.resolve({ ...story, answer }),
  });
  assert.equal((await run(tableLookup, ["t", "alias", "a"], answering({ kind: "none" }))).code, 1);
  const failed = await run(tableLookup, ["t", "alias", "a"], answering({ kind: "failed", text: "it is down" }));
  assert.equal(failed.code, 75);
  assert.match(failed.out, /failed {3}it is down: this is "come again", not "not there"/);
  await assert.rejects(run(tableLookup, ["t", "aliass", "a"], {}), /did you mean alias\?/);
});

test("makemap says what it made, or all that is wrong with file and line", async () => {
  const asked: unknown[] = [];
  const fine: World["makeMap"] = (...given) => {
    asked.push(given);
    return Promise.resolve({ ok: true, value: { file: "/x.cdb", entries: 2 } });
  };
  assert.deepEqual(await run(makeMap, ["-t", "cdb", "x"], { makeMap: fine }), {
    code: 0,
    out: "/x.cdb: 2 entries\n",
    err: "",
  });
  await run(makeMap, ["--aliases", "-o", "y", "x"], { makeMap: fine });
  assert.deepEqual(asked, [
    ["x", "file", undefined],
    ["x", "aliases", "y"],
  ]);
  const broken: World["makeMap"] = () => Promise.resolve(refused([{ line: 3, text: "bad" }, { text: "worse" }]));
  assert.deepEqual(await run(makeMap, ["x"], { makeMap: broken }), {
    code: 65,
    out: "",
    err: "x:3: bad\nx: worse\nx: 2 problems; nothing was changed\n",
  });
  const denied: World["makeMap"] = () =>
    Promise.resolve(refused([{ text: "this user may not write into /etc", isDenied: true }]));
  const { code, err } = await run(makeMap, ["x"], { makeMap: denied });
  assert.equal(code, 77);
  assert.match(err, /^x: this user may not write into \/etc\n.*nothing was changed\nroot may do this/);
  await assert.rejects(run(makeMap, ["-t", "hash", "x"], {}), /there is no type hash; there is cdb/);
});

test("newaliases makes what is indexed, checks what is not, and goes on after a broken one", async () => {
  const made: string[] = [];
  const { code, out, err } = await run(newAliases, [], {
    aliasFiles: () =>
      Promise.resolve([
        { table: "a", source: "/a", indexed: "/a.cdb" },
        { table: "b", source: "/b" },
        { table: "c", source: "/c" },
      ]),
    makeMap: (source, syntax, target) => {
      made.push(`${source} ${syntax} ${target ?? ""}`);
      return Promise.resolve(refused([{ line: 1, text: "bad" }]));
    },
    checkAliases: (file) =>
      Promise.resolve(file === "/b" ? { ok: true, value: { entries: 1 } } : refused([{ text: "gone" }])),
  });
  assert.equal(code, 65);
  assert.deepEqual(made, ["/a aliases /a.cdb"]);
  assert.equal(out, "/b: 1 entry\n");
  assert.equal(err, "/a:1: bad\n/a: 1 problem; nothing was changed\n/c: gone\n/c: 1 problem; nothing was changed\n");
  assert.equal((await run(newAliases, [], { aliasFiles: () => Promise.resolve([]) })).code, 0);
});

test("tables are shown with what is known of each", async () => {
  const rows = [
    {
      table: "local",
      kind: "list",
      health: { state: "up", text: "in the settings", queries: 0, failures: 0, entries: 2 },
    },
    {
      table: "db",
      kind: "postgres",
      health: {
        state: "down",
        text: "postgres://db/mail",
        queries: 10,
        failures: 3,
        meanMs: 1.234,
        pool: { open: 4, busy: 2, waiting: 7, most: 5 },
        lastFailure: { at: NOON - 60_000, text: "connection refused" },
      },
    },
  ];
  const world: Partial<World> = {
    locate: () =>
      Promise.resolve({
        hostname: "h",
        mailName: "h",
        controlPaths: { query: "q", change: "c" },
        journalFile: "",
        injection: () => Promise.resolve([]),
      }),
    connectControl: () =>
      // Only `call` is used, with the operation that the test answers.
      Promise.resolve({
        call: () => Promise.resolve(rows),
        [Symbol.dispose]: () => {},
      } as unknown as ControlClient),
  };
  const { code, out } = await run(showTables, [], world);
  assert.equal(code, 0);
  assert.equal(
    out,
    `STATE  TABLE  KIND      ENTRIES  AGE  ASKED  FAILED    MS  POOL      WHAT
up     local  list            2                                      in the settings
down   db     postgres                   10       3  1.23  2/4/5 +7  postgres://db/mail; failed 1m ago: connection refused
`,
  );
  assert.equal((await run(showTables, ["none"], world)).code, 1);
  assert.match((await run(showTables, ["db", "--json"], world)).out, /^\{"table":"db".*\}\n$/);
});
