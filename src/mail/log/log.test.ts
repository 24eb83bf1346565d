import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { BrokenInvariant } from "../../foundation/assert.ts";
import type { FieldDeclaration } from "../../foundation/events.ts";
import { catalogueOf, eventsIn, mailEvents } from "./log.ts";
import type { Fields } from "./record.ts";

const SAMPLE: Readonly<Record<string, string | number | boolean | readonly string[]>> = {
  text: "4XK00000001",
  count: 3,
  ms: 1500,
  bytes: 2048,
  at: Date.UTC(2026, 10, 21),
  flag: true,
  list: ["one", "two"],
};

function sampleOf(declared: Readonly<Record<string, FieldDeclaration>>, withOptional: boolean): Fields {
  const fields: Record<string, Fields[string]> = {};
  for (const [name, declaration] of Object.entries(declared)) {
    if (!declaration.endsWith("?")) fields[name] = SAMPLE[declaration];
    else if (withOptional) fields[name] = SAMPLE[declaration.slice(0, -1)];
  }
  return fields;
}

test("every event of every stage has a name of its own", () => {
  assert.equal(catalogueOf(mailEvents).events.length, mailEvents.length);
  assert.throws(() => catalogueOf(mailEvents, mailEvents.slice(0, 1)), BrokenInvariant);
});

test("names are `stage.what-happened`, and each event says what it means", () => {
  for (const event of mailEvents) {
    assert.match(event.name, /^[a-z]+\.[a-z][a-z0-9-]*$/);
    assert.match(event.says, /^\S.*[.!]$/s, event.name);
  }
});

test("every event writes a line of one piece from its fields, with and without the optional ones", () => {
  for (const event of mailEvents) {
    for (const withOptional of [true, false]) {
      const line = (event.line as (fields: Fields) => string | undefined)(sampleOf(event.fields, withOptional));
      if (line === undefined) continue;
      assert.notEqual(line.trim(), "", event.name);
      assert.doesNotMatch(line, /undefined|NaN|\[object|\n/, `${event.name}: ${line}`);
    }
  }
});

test("errors say so in their lines, where people look for it", () => {
  for (const event of mailEvents) {
    if (event.level !== "error") continue;
    const line = (event.line as (fields: Fields) => string | undefined)(sampleOf(event.fields, true)) ?? "error: ";
    assert.match(line, /\b(warning|error|fatal|panic): /, `${event.name}: ${line}`);
  }
});

test("the catalogue has the events of every stage", async () => {
  const stages = new URL("../", import.meta.url);
  const files = readdirSync(stages, { recursive: true, encoding: "utf8" }).filter((path) =>
    /(^|\/)events\.ts$/.test(path),
  );
  assert.ok(files.length >= 7);
  const names = new Set(mailEvents.map(({ name }) => name));
  for (const file of files)
    for (const { name } of eventsIn((await import(new URL(file, stages).href)) as object))
      assert.ok(names.has(name), `${name} of ${file} is missing`);
});
