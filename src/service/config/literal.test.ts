import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { literalPlaces, type LiteralPlaces } from "./literal.ts";

function placeOf(source: string, ...path: (string | number)[]): string | undefined {
  let at: LiteralPlaces | undefined = literalPlaces(source);
  for (const step of path) at = at?.parts.get(step);
  return at === undefined ? undefined : `${at.place.line}:${at.place.column}`;
}

test("names of nested objects and elements of lists are found where they stand", () => {
  const source = `import { defineConfig } from "posthorn";
export default defineConfig({
  hostname: "a",
  listeners: [
    { name: "x", port: 25 },
    { "name": "y", port: 26 },
  ],
});
`;
  assert.equal(placeOf(source, "hostname"), "3:3");
  assert.equal(placeOf(source, "listeners", 1, "port"), "6:20");
  assert.equal(placeOf(source, "listeners", 0), "5:5");
});

test("values of any code are passed over", () => {
  const source = `export default {
  a: [1, 2].map((x) => ({ x, y: "}" })), b: f({ c: 1 }, "]"), // { z: 1
  /* } */ c: \`\${[1, 2].map((n) => \`{\${n}}\`).join(",")}}\`, d: /[}"/]\\//.test("}"),
  e() { return { f: 1 }; },
  ...spread({ g: 1 }),
  h: { i: 1 } as const,
  'j-k': cond ? { l: 1 } : { m: 2 },
  n: 1
}
`;
  assert.equal(placeOf(source, "b"), "2:42");
  assert.equal(placeOf(source, "c"), "3:11");
  assert.equal(placeOf(source, "d"), `3:${(source.split("\n")[2] ?? "").indexOf("d: /") + 1}`);
  assert.equal(placeOf(source, "h", "i"), "6:8");
  assert.equal(placeOf(source, "j-k"), "7:3");
  assert.equal(placeOf(source, "n"), "8:3");
  assert.equal(placeOf(source, "g"), undefined);
  assert.equal(placeOf(source, "l"), undefined);
});

test("behind a spread the elements of a list have no places: nobody can count them", () => {
  const source = "export default { a: [1, ...more, 3] }";
  assert.equal(placeOf(source, "a", 0), "1:22");
  assert.equal(placeOf(source, "a", 1), undefined);
  assert.equal(placeOf(source, "a", 2), undefined);
});

test("an export that is no literal has no places", () => {
  assert.equal(literalPlaces("const a = {};\nexport default defineConfig(a);\n"), undefined);
});

test("no text makes it throw or run forever", () => {
  const pieces = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    "`",
    "${",
    '"',
    "'",
    "/",
    "\\",
    "a",
    "...",
    "\n",
    " ",
    "//",
    "/*",
    "*/",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 40 }), (text) => void literalPlaces(`export default {${text.join("")}`)),
  );
});
