import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { z } from "zod";
import { settingsJsonSchema } from "./json-schema.ts";
import { count, duration, oneOrMore } from "./kinds.ts";
import { camelCase, editDistance, kebabCase, nearestName } from "./names.ts";
import { listSettings } from "./listing.ts";
import { parseSettings } from "./parse.ts";
import { settingsReference } from "./reference.ts";
import { changedPaths, reloader } from "./reload.ts";
import { readYaml } from "./yaml.ts";

const schema = z.strictObject({
  hostName: z.string().optional().describe("The name."),
  retry: z
    .strictObject({ firstWait: duration({ min: "1s", max: "1h" }).prefault("5m").describe("The wait.") })
    .prefault({})
    .describe("Retries."),
  listeners: z
    .array(z.strictObject({ portNumber: count({ min: 1, max: 9 }).describe("The port.") }))
    .default([])
    .describe("Listeners."),
  logins: z
    .record(z.string(), z.strictObject({ userName: z.string().describe("Who.") }))
    .default({})
    .describe("Logins."),
  hosts: oneOrMore(z.string()).optional().describe("Hosts <by> name | address."),
});

test("names go from one spelling to the other and back", () => {
  assert.equal(kebabCase("keepOrphansFor"), "keep-orphans-for");
  assert.equal(camelCase("keep-orphans-for"), "keepOrphansFor");
  const word = fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/);
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (words) => {
      // A digit has no capital: it cannot begin a word.
      const kebab = words.join("-");
      assert.equal(kebabCase(camelCase(kebab)), kebab);
    }),
  );
});

test("the nearest name forgives a slip, a swap and a forgotten part, and suggests nothing far-fetched", () => {
  const known = ["first-retry", "max-sessions", "state", "hostname"];
  assert.equal(nearestName("frist-retry", known), "first-retry");
  assert.equal(nearestName("firstRetry", known), "first-retry");
  assert.equal(nearestName("max_session", known), "max-sessions");
  assert.equal(nearestName("host-name", known), "hostname");
  assert.equal(nearestName("sessions", known), "max-sessions");
  assert.equal(nearestName("tls", known), undefined);
});

test("the distance of two words is symmetric, and nothing for the same word", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (one, other) => {
      assert.equal(editDistance(one, other), editDistance(other, one));
      assert.equal(editDistance(one, other) === 0, one === other);
      assert.ok(editDistance(one, other) <= Math.max(one.length, other.length));
    }),
  );
});

test("the reference tells of every setting its name, its values, its default and its meaning", () => {
  assert.equal(
    settingsReference(schema, "# Settings"),
    `# Settings

## At the top

| name | value | default | meaning |
|---|---|---|---|
| \`host-name\` | text |  | The name. |
| \`hosts\` | text, or a list of texts |  | Hosts &lt;by> name \\| address. |

## retry

Retries.

| name | value | default | meaning |
|---|---|---|---|
| \`retry.first-wait\` | a duration such as 90s, 5m, 4h or 1h30m, from 1s to 1h | \`5m\` | The wait. |

## listeners

Listeners.

| name | value | default | meaning |
|---|---|---|---|
| \`listeners[].port-number\` | a whole number from 1 to 9 | required | The port. |

## logins

Logins.

| name | value | default | meaning |
|---|---|---|---|
| \`logins.<name>.user-name\` | text | required | Who. |
`,
  );
});

test("the JSON Schema speaks of what people write", () => {
  assert.deepEqual(settingsJsonSchema(schema, "S"), {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "S",
    type: "object",
    additionalProperties: false,
    properties: {
      "host-name": { type: "string", description: "The name." },
      retry: {
        type: "object",
        description: "Retries.",
        additionalProperties: false,
        properties: {
          "first-wait": {
            type: "string",
            pattern: "^(\\d+(\\.\\d+)?(ms|min|s|m|h|d|w))+$",
            default: "5m",
            description: "The wait.",
          },
        },
      },
      listeners: {
        type: "array",
        default: [],
        description: "Listeners.",
        items: {
          type: "object",
          additionalProperties: false,
          required: ["port-number"],
          properties: { "port-number": { type: "integer", minimum: 1, maximum: 9, description: "The port." } },
        },
      },
      logins: {
        type: "object",
        description: "Logins.",
        propertyNames: { type: "string" },
        additionalProperties: {
          type: "object",
          additionalProperties: false,
          required: ["user-name"],
          properties: { "user-name": { type: "string", description: "Who." } },
        },
      },
      hosts: {
        anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }],
        description: "Hosts <by> name | address.",
      },
    },
  });
});

const wrong = { file: "f", path: "p", text: "t", severity: "error" } as const;

test("a reload that is refused, or that fails on the way, leaves the old settings in force", async () => {
  let inForce = "old";
  const swap = (next: string): void => void (inForce = next);
  const refusedOne = await reloader({ build: () => Promise.resolve({ ok: false, problem: [wrong] }), swap })();
  assert.deepEqual(refusedOne, { kind: "refused", problems: [wrong] });
  const undone: string[] = [];
  const prepare = (next: string) => Promise.resolve({ undo: () => Promise.resolve(void undone.push(next)) });
  const build = () => Promise.resolve({ ok: true as const, value: "new" });
  const failing = await reloader({ build, prepare, swap: () => Promise.reject(new Error("port taken")) })();
  assert.equal(failing.kind, "failed");
  assert.deepEqual(undone, ["new"]);
  assert.equal(inForce, "old");
  assert.deepEqual(await reloader({ build, prepare, swap })(), { kind: "swapped", settings: "new" });
  assert.equal(inForce, "new");
  assert.deepEqual(undone, ["new"]);
});

test("two reloads never run at once", async () => {
  const gate = Promise.withResolvers<void>();
  const reload = reloader({ build: () => gate.promise.then(() => ({ ok: true as const, value: 1 })), swap: () => {} });
  const first = reload();
  assert.deepEqual(await reload(), { kind: "busy" });
  gate.resolve();
  assert.equal((await first).kind, "swapped");
  assert.equal((await reload()).kind, "swapped");
});

test("a reload tells which settings it changed", () => {
  const before = { a: 1, b: { c: [1, 2], d: "x" }, e: [{ f: 1 }] };
  assert.deepEqual(changedPaths(before, structuredClone(before)), []);
  assert.deepEqual(changedPaths(before, { a: 2, b: { c: [1], d: "x" }, e: [{ f: 2 }], g: 1 }), [
    "a",
    "b.c",
    "e[0].f",
    "g",
  ]);
});

test("the settings in force are listed as people write them, each with its place", () => {
  const { root } = readYaml(
    "retry: { first-wait: 90s }\nlisteners:\n  - port-number: 3\nlogins: { my-isp: { user-name: joe } }\n",
    "f.yaml",
  );
  assert.ok(root);
  const parsed = parseSettings(schema, { root, file: "f.yaml", directory: "/", spelling: "kebab" });
  assert.ok(parsed.ok);
  const lines = listSettings(schema, parsed.value.settings, parsed.value.origins);
  assert.deepEqual(
    lines.map(({ name, value, where }) => `${name} = ${value} (${where})`),
    [
      "retry.first-wait = 1m30s (f.yaml:1:10)",
      "listeners[0].port-number = 3 (f.yaml:3:5)",
      "logins.my-isp.user-name = joe (f.yaml:4:21)",
    ],
  );
});

test("no text makes the reader throw, and a refusal always has a message", () => {
  const piece = fc.constantFrom(
    "retry",
    "first-wait",
    "listeners",
    ": ",
    ":",
    "- ",
    "\n",
    "  ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    '"',
    "'",
    "&a ",
    "*a ",
    "!x ",
    "!!int ",
    "|",
    ">",
    "#",
    "? ",
    "---",
    "...",
    "%",
    "@",
    "<<",
    "1",
    "~",
    "\u0000",
    "\ufeff",
    "é",
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join("")),
  );
  fc.assert(
    fc.property(text, (written) => {
      const { root, problems } = readYaml(written, "f");
      if (root === undefined) return assert.ok(problems.length > 0);
      const parsed = parseSettings(schema, { root, file: "f", directory: "/", spelling: "kebab" });
      if (!parsed.ok) assert.ok(parsed.problem.length > 0 && parsed.problem.every((problem) => problem.text !== ""));
      return undefined;
    }),
    { numRuns: 1000 },
  );
});
