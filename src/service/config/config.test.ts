import { test } from "node:test";
import assert from "node:assert/strict";
import { z } from "zod";
import { locate, problemLine } from "./config.ts";
import { count, duration, hostName, oneOrMore, path, secret, size, tableOrList } from "./kinds.ts";
import { parseSettings } from "./parse.ts";
import { readYaml } from "./yaml.ts";

const schema = z.strictObject({
  hostname: hostName().optional().describe("The name."),
  state: path().prefault("./data").describe("Where."),
  scheduler: z
    .strictObject({
      firstRetry: duration({ min: "10s", max: "1h" }).prefault("5m").describe("First wait."),
      mostSize: size({ max: "1GiB" }).prefault("50MiB").describe("Size."),
      tries: count({ min: 1, max: 9 }).default(3).describe("Tries."),
      isEager: z.boolean().default(false).describe("Eager."),
      mode: z.enum(["keep", "drop"]).default("keep").describe("Mode."),
      hosts: oneOrMore(z.string()).optional().describe("Hosts."),
    })
    .prefault({}),
  domains: tableOrList().optional(),
  logins: z.record(z.string(), z.strictObject({ user: z.string(), password: secret().min(6) })).default({}),
  wait: z
    .discriminatedUnion("by", [
      z.strictObject({ by: z.literal("list"), waits: z.array(duration()).min(1) }),
      z.strictObject({ by: z.literal("square"), step: duration().prefault("1m") }),
    ])
    .prefault({ by: "square" }),
});

function check(text: string): readonly string[] {
  const { root, problems } = readYaml(text, "posthorn.yaml");
  if (root === undefined || problems.length > 0) return problems.map(problemLine);
  const parsed = parseSettings(schema, { root, file: "posthorn.yaml", directory: "/etc/posthorn", spelling: "kebab" });
  return parsed.ok ? [] : parsed.problem.map(problemLine);
}

function read(text: string): z.output<typeof schema> {
  const { root } = readYaml(text, "posthorn.yaml");
  assert.ok(root);
  const parsed = parseSettings(schema, { root, file: "posthorn.yaml", directory: "/etc/posthorn", spelling: "kebab" });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value.settings;
}

const MISTAKES: readonly (readonly [what: string, text: string, ...expected: string[]])[] = [
  [
    "a merge, which would be a name where people choose the names",
    "logins:\n  one: &one { user: a, password: secret }\n  <<: *one\n",
    "posthorn.yaml:3:3: logins: YAML 1.2 has no merges (<<): write the names again, or compute them in posthorn.config.ts",
  ],
  [
    "a word that code knows where yes or no is wanted",
    "scheduler:\n  is-eager: constructor\n",
    'posthorn.yaml:2:3: scheduler.is-eager: expected true or false, got "constructor"',
  ],
  [
    "an unknown name, with the one that was meant",
    "scheduler:\n  frist-retry: 5m\n",
    "posthorn.yaml:2:3: scheduler.frist-retry: unknown name; did you mean first-retry? Known here: first-retry, most-size, tries, is-eager, mode, hosts",
  ],
  [
    "an unknown name that resembles nothing, with what there is",
    "greylisting: 1\n",
    "posthorn.yaml:1:1: greylisting: unknown name; known here: hostname, state, scheduler, domains, logins, wait",
  ],
  [
    "a duration without a unit",
    "scheduler:\n  first-retry: 30\n",
    'posthorn.yaml:2:3: scheduler.first-retry: expected a duration such as 90s, 5m, 4h or 1h30m, got "30"',
  ],
  [
    "a unit nobody knows",
    "scheduler:\n  first-retry: 5 minutes\n",
    'posthorn.yaml:2:3: scheduler.first-retry: expected a duration such as 90s, 5m, 4h or 1h30m, got "5 minutes"',
  ],
  [
    "a duration out of range",
    "scheduler:\n  first-retry: 2h\n",
    "posthorn.yaml:2:3: scheduler.first-retry: expected a duration from 10s to 1h, got 2h",
  ],
  [
    "a wrong unit of size",
    "scheduler: { most-size: 5 TB }\n",
    'posthorn.yaml:1:14: scheduler.most-size: expected a size such as 32KiB, 50MiB or 1000, got "5 TB"',
  ],
  [
    "a number out of range",
    "scheduler:\n  tries: 12\n",
    "posthorn.yaml:2:3: scheduler.tries: expected a whole number from 1 to 9, got 12",
  ],
  [
    "a word where one of several is wanted",
    "scheduler:\n  mode: kepp\n",
    'posthorn.yaml:2:3: scheduler.mode: expected one of keep, drop, got "kepp"; did you mean keep?',
  ],
  ["a name without a value", "hostname:\nstate: x\n", "posthorn.yaml:1:1: hostname: no value behind the colon"],
  [
    "a block where a value is wanted",
    "hostname:\n  name: x\n",
    "posthorn.yaml:1:1: hostname: expected a host name such as mail.example.org, got a block of names",
  ],
  [
    "a value where a block is wanted",
    "scheduler: fast\n",
    'posthorn.yaml:1:1: scheduler: expected settings (first-retry, most-size, tries, is-eager, mode, hosts), got "fast"',
  ],
  [
    "two mistakes at once, in the file's order",
    "scheduler:\n  tries: many\nhostname: a b\n",
    'posthorn.yaml:2:3: scheduler.tries: expected a whole number from 1 to 9, got "many"',
    'posthorn.yaml:3:1: hostname: expected a host name such as mail.example.org, got "a b"',
  ],
  [
    "the same name twice",
    "hostname: a\nstate: x\nhostname: b\n",
    "posthorn.yaml:3:1: hostname: written twice; first on line 1",
  ],
  [
    "the same name in both spellings",
    "scheduler:\n  firstRetry: 1m\n  first-retry: 2m\n",
    "posthorn.yaml:3:3: scheduler.first-retry: the same as firstRetry on line 2, written twice",
  ],
  [
    "a list of mixed kinds",
    "domains: [a.example, table:b]\n",
    "posthorn.yaml:1:1: domains: expected either one table:name, or a list without tables in it",
  ],
  [
    "what is missing",
    "logins:\n  isp: { user: joe }\n",
    "posthorn.yaml:2:3: logins.isp.password: missing; expected text",
  ],
  [
    "an element of a list",
    "wait:\n  by: list\n  waits: [1m, soon]\n",
    'posthorn.yaml:3:15: wait.waits[1]: expected a duration such as 90s, 5m, 4h or 1h30m, got "soon"',
  ],
  [
    "the wrong mark of a choice",
    "wait: { by: cube }\n",
    'posthorn.yaml:1:9: wait.by: expected one of list, square, got "cube"',
  ],
  [
    "a list that must not be empty",
    "wait: { by: list, waits: [] }\n",
    "posthorn.yaml:1:19: wait.waits: expected at least 1 element",
  ],
  // What newcomers to YAML run into.
  [
    "a tab",
    "scheduler:\n\ttries: 1\n",
    "posthorn.yaml:2:1: a tab at the beginning of the line: YAML takes spaces only",
  ],
  [
    "no space behind the colon",
    "hostname:a.example\nstate: x\n",
    "posthorn.yaml:1:1: expected a space behind the colon: `name: value`",
  ],
  ["a bracket left open", "domains: [a, b\nstate: x\n", "posthorn.yaml:2:1: a bracket opened above is not closed"],
  ["a quote left open", 'hostname: "a\nstate: x\n', "posthorn.yaml:3:1: a quote opened above is not closed"],
  [
    "a line moved by a space",
    "scheduler:\n  tries: 1\n mode: keep\n",
    "posthorn.yaml:3:1: not indented like its neighbours: lines of one block begin in the same column",
  ],
  [
    "braces in text within braces",
    "wait: { by: list, path: /home/{user} }\nstate: x\nlist:\n  - x\n",
    'posthorn.yaml:1:31: text with { in it needs quotes here: "/home/{user}/Maildir"',
  ],
  [
    "quotes in the middle of text",
    'hostname: "a".example\nstate: x\n',
    "posthorn.yaml:1:14: expected the end of the value here: text with quotes or brackets in it needs quotes around all of it",
  ],
  [
    "text with a colon in it",
    "state: a: b\n",
    "posthorn.yaml:1:8: expected one `name: value` on a line, indented like its neighbours; text that holds a colon and a space needs quotes",
  ],
  [
    "text that begins with a special character",
    "hostname: @home\n",
    "posthorn.yaml:1:11: text that begins with @ needs quotes",
  ],
  ["an anchor nobody set", "state: *other\n", "posthorn.yaml:1:8: state: *other names no anchor (&other) above it"],
  [
    "a second document",
    "hostname: a\n---\nstate: b\n",
    "posthorn.yaml:2:1: a second document (`---`): the settings are one",
  ],
];

for (const [what, text, ...expected] of MISTAKES) {
  test(`a mistake is told with its place: ${what}`, () => assert.deepEqual(check(text), expected));
}

test("an empty file, or one of comments, is all defaults", () => {
  for (const text of ["", "# nothing yet\n", "scheduler:\n  # firstRetry: 1m\n"]) {
    assert.equal(read(text).scheduler.firstRetry, 300_000);
    assert.equal(read(text).state, "/etc/posthorn/data");
  }
});

test("names may be written in kebab-case or as the code has them", () => {
  assert.equal(read("scheduler: { first-retry: 1m }").scheduler.firstRetry, 60_000);
  assert.equal(read("scheduler: { firstRetry: 1m }").scheduler.firstRetry, 60_000);
});

test("names that people choose are left as they are", () => {
  const settings = read("logins:\n  my-isp: { user: joe, password: sesame }\n");
  assert.deepEqual(Object.keys(settings.logins), ["my-isp"]);
});

test("yes, no, on and off are booleans where one is wanted, and text elsewhere", () => {
  assert.equal(read("scheduler: { is-eager: yes }").scheduler.isEager, true);
  assert.equal(read("scheduler: { is-eager: off }").scheduler.isEager, false);
  assert.equal(read("logins: { a: { user: no, password: secret } }").logins["a"]?.user, "no");
});

test("a number is text where text is wanted, digit by digit", () => {
  assert.equal(read("logins: { a: { user: 007, password: 0123456 } }").logins["a"]?.password, "0123456");
  assert.equal(read("logins: { a: { user: 1.10, password: secret } }").logins["a"]?.user, "1.10");
});

test("one element may stand without its list", () => {
  assert.deepEqual(read("scheduler: { hosts: a }").scheduler.hosts, ["a"]);
  assert.deepEqual(read("scheduler: { hosts: [a, b] }").scheduler.hosts, ["a", "b"]);
});

test("a wildcard or a negation needs no quotes", () => {
  assert.deepEqual(read("domains: [*.example.org, !mail.example.org]").domains, {
    kind: "list",
    items: ["*.example.org", "!mail.example.org"],
  });
});

test("a secret is never repeated in a message", () => {
  assert.deepEqual(check("logins: { a: { user: b, password: hush } }\n"), [
    "posthorn.yaml:1:25: logins.a.password: expected at least 6 characters",
  ]);
});

test("the place where a setting was written can be asked for at run time", () => {
  const { root } = readYaml("scheduler:\n  first-retry: 1m\n", "posthorn.yaml");
  assert.ok(root);
  const parsed = parseSettings(schema, { root, file: "posthorn.yaml", directory: "/", spelling: "kebab" });
  assert.ok(parsed.ok);
  const origins: typeof parsed.value.origins = JSON.parse(JSON.stringify(parsed.value.origins));
  assert.equal(locate(origins, ["scheduler", "firstRetry"]), "posthorn.yaml:2:3");
  assert.equal(locate(origins, ["scheduler", "tries"]), "default");
});

test("aliases that repeat without end are cut", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let depth = 1; depth < 12; depth++)
    lines.push(
      `a${depth}: &a${depth} [${Array(10)
        .fill(`*a${depth - 1}`)
        .join(", ")}]`,
    );
  assert.match(check(lines.join("\n"))[0] ?? "", /more than 200,000 values/);
  assert.match(check("state: &x [*x]\n")[0] ?? "", /stands within itself|names no anchor/);
});

test("a name of JavaScript's own is an unknown name like any other", () => {
  for (const name of ["__proto__", "constructor", "toString"])
    assert.match(check(`${name}: 1\n`)[0] ?? "", new RegExp(`^posthorn.yaml:1:1: ${name}: unknown name`));
});
