import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { tableContent } from "./content.ts";
import { networkContains, parseNetwork } from "./network.ts";
import { foldKey } from "./pattern.ts";
import type { Table } from "./table.ts";
import { readContent } from "./read-content.ts";
import { createTables, inlineTable, type TableFile, type TableFinding } from "./tables.ts";
import { parseTableText } from "./text.ts";

const list = (...items: string[]): Table => inlineTable("list", { kind: "list", items });
const has = async (table: Table, key: string): Promise<boolean> => {
  const answer = await table.has(key);
  return answer.kind === "found" && answer.value;
};

test("keys are compared without regard to case, domains as A-labels", async () => {
  const table = list("Example.ORG", "Bücher.example", "Joe@EXAMPLE.net");
  assert.equal(await has(table, "example.org"), true);
  assert.equal(await has(table, "EXAMPLE.org."), true);
  assert.equal(await has(table, "xn--bcher-kva.example"), true);
  assert.equal(await has(table, "joe@example.NET"), true);
  assert.equal(await has(table, "jane@example.net"), false);
});

test("a domain stands for its addresses; what is below it needs a wildcard", async () => {
  const table = list("example.org", "*.example.net", ".example.com", "@example.edu");
  assert.equal(await has(table, "joe@example.org"), true);
  assert.equal(await has(table, "joe@mail.example.org"), false);
  for (const domain of ["a.example.net", "b.a.example.net", "a.example.com"]) {
    assert.equal(await has(table, domain), true, domain);
    assert.equal(await has(table, `joe@${domain}`), true, domain);
  }
  assert.equal(await has(table, "example.net"), false);
  assert.equal(await has(table, "joe@example.edu"), true);
  assert.equal(await has(table, "example.edu"), false);
});

test("the more exact entry decides, whatever the order", async () => {
  const table = list(
    "*.example.org",
    "!bad.example.org",
    "!*.worse.example.org",
    "fine.worse.example.org",
    "!joe@a.example.org",
  );
  assert.equal(await has(table, "a.example.org"), true);
  assert.equal(await has(table, "bad.example.org"), false);
  assert.equal(await has(table, "b.worse.example.org"), false);
  assert.equal(await has(table, "fine.worse.example.org"), true);
  assert.equal(await has(table, "joe@a.example.org"), false);
  assert.equal(await has(table, "jane@a.example.org"), true);
});

test("networks contain addresses, the longer prefix first", async () => {
  const table = list("192.0.2.0/24", "!192.0.2.128/25", "192.0.2.200", "2001:db8::/32", "::ffff:198.51.100.7");
  assert.equal(await has(table, "192.0.2.1"), true);
  assert.equal(await has(table, "192.0.2.129"), false);
  assert.equal(await has(table, "192.0.2.200"), true);
  assert.equal(await has(table, "::ffff:192.0.2.1"), true);
  assert.equal(await has(table, "2001:db8:1::5"), true);
  assert.equal(await has(table, "2001:db9::5"), false);
  assert.equal(await has(table, "198.51.100.7"), true);
});

test("of IPv6 networks the longest prefix decides, to the bit and to the address", async () => {
  const table = list("2001:db8::/32", "!2001:db8:8000::/33", "2001:db8:8000:1::/64", "!2001:db8:8000:1::7", "!::/0");
  for (const [address, is] of [
    ["2001:db8:7fff::1", true],
    ["2001:db8:8001::1", false],
    ["2001:DB8:8000:1:0::1", true],
    ["2001:db8:8000:1::7", false],
    ["fe80::1%eth0", false],
    ["192.0.2.1", false],
  ] as const)
    assert.equal(await has(table, address), is, address);
});

test("an address with several writings is found by any of them", async () => {
  assert.equal(await has(list("2001:DB8:0:0::1"), "2001:db8::1"), true);
});

test("a value is found by its key, and a domain's value is not its users'", async () => {
  const table = inlineTable("map", {
    kind: "map",
    entries: { "example.org": "a", "joe@example.org": "b", "@example.net": "c" },
  });
  const value = async (key: string): Promise<string | undefined> => {
    const answer = await table.lookup(key);
    return answer.kind === "found" ? answer.value : undefined;
  };
  assert.equal(await value("EXAMPLE.ORG"), "a");
  assert.equal(await value("joe@example.org"), "b");
  assert.equal(await value("jane@example.org"), undefined);
  assert.equal(await value("jane@example.net"), "c");
});

test("asked for exactly a key, a table answers for no other; patterns are keys as they stand there", async () => {
  const table = inlineTable("map", {
    kind: "map",
    entries: {
      "*.example.org": "below",
      "Example.org:25": "port",
      "*": "all",
      "2001:DB8:0::1": "six",
      "[::1]:25": "seven",
    },
  });
  const value = async (key: string): Promise<string | undefined> => {
    const answer = await table.exact(key);
    return answer.kind === "found" ? answer.value : undefined;
  };
  assert.equal(await value("mx.example.org"), undefined);
  assert.equal(await value("example.org:25"), "port");
  assert.equal(await value(".EXAMPLE.org"), "below");
  assert.equal(await value("*.example.org"), "below");
  assert.equal(await value("*"), "all");
  assert.equal(await value("2001:db8::1"), "six");
  assert.equal(await value("[::1]:25"), "seven");
  assert.equal(await value("*.other.org"), undefined);
});

test("lines of a file: keys, values, comments, continuations, quotes", () => {
  const text = `# people
joe   a value with # in it
jane: other
list-entry   # a comment

root  first,
  second,
  # in between
\tthird
"two words" x
"joe smith"@example.org y
"say \\"hi\\"": z
!not
`;
  assert.deepEqual(parseTableText(text), {
    problems: [],
    entries: [
      { line: 2, key: "joe", value: "a value with # in it" },
      { line: 3, key: "jane", value: "other" },
      { line: 4, key: "list-entry", value: undefined },
      { line: 6, key: "root", value: "first, second, third" },
      { line: 10, key: "two words", value: "x" },
      { line: 11, key: '"joe smith"@example.org', value: "y" },
      { line: 12, key: 'say "hi"', value: "z" },
      { line: 13, key: "!not", value: undefined },
    ],
  });
});

test("an IPv6 network is a key with its colons", () => {
  assert.deepEqual(
    parseTableText("2001:db8::/32 x\n::1 y\n").entries.map((entry) => entry.key),
    ["2001:db8::/32", "::1"],
  );
});

test("mistakes in a file are told with their lines, all of them", async () => {
  const text = '  lost\n"open x\na 1\na 2\n192.0.2.1/24\nb \u0000\n';
  assert.deepEqual((await readContent("t", text)).problems, [
    { line: 1, text: "begins with white space, but there is no line to continue" },
    { line: 2, text: "the quote before the key is not closed" },
    { line: 4, text: "a stands twice, with different values; first at t:3" },
    { line: 5, text: "192.0.2.1/24: expected the network's first address before /24" },
    { line: 6, text: "holds control characters or bytes that are no UTF-8: is this a text file?" },
  ]);
});

test("a changed file is taken, a broken one is not, and that is said once", async () => {
  let current: Awaited<ReturnType<TableFile["current"]>> = { ok: true, text: "a\n", version: 0 };
  const findings: TableFinding[] = [];
  const tables = createTables(
    { t: { kind: "file", file: "/t" } },
    () => ({ current: () => Promise.resolve(current) }),
    (finding) => findings.push(finding),
  );
  const table = tables.get("t");
  assert.ok(table);
  assert.equal(await has(table, "a"), true);
  current = { ok: true, text: "b\n  \n 1\n10.0.0.1/8\n", version: 1 };
  assert.equal(await has(table, "a"), true);
  assert.equal(await has(table, "a"), true);
  assert.deepEqual(findings, [
    {
      table: "t",
      text: "/t:4: 10.0.0.1/8: expected the network's first address before /8; the version before stays in force",
    },
  ]);
  current = { ok: true, text: "b\n", version: 2 };
  assert.equal(await has(table, "a"), false);
  assert.equal(await has(table, "b"), true);
});

test("a file that was never readable makes lookups fail, not find nothing", async () => {
  const tables = createTables(
    { t: { kind: "file", file: "/t" } },
    () => ({ current: () => Promise.resolve({ ok: false, text: "gone" }) }),
    () => {},
  );
  assert.deepEqual(await tables.get("t")?.lookup("a"), { kind: "failed", text: "gone" });
  assert.deepEqual(await tables.get("t")?.has("a"), { kind: "failed", text: "gone" });
});

test("what a table of the settings says has its place in the settings", async () => {
  const tables = createTables(
    { m: { kind: "map", entries: { a: "1" } }, l: { kind: "list", items: ["x", "y"] } },
    () => assert.fail("there is no file"),
    () => {},
    (path) => `posthorn.yaml ${path.join(" ")}`,
  );
  const answer = await tables.get("m")?.exact("a");
  assert.equal(answer?.kind === "found" && answer.where, "posthorn.yaml tables m map a");
  const member = await tables.get("l")?.has("y");
  assert.equal(member?.kind === "found" && member.where, "posthorn.yaml tables l list 1");
  const all = await tables.get("l")?.entries?.();
  assert.deepEqual(all?.kind === "found" && all.value.map(({ key }) => key), ["x", "y"]);
});

test("a found key says where it stands", async () => {
  const { content } = tableContent([{ key: "a", value: "1", where: "t:7" }]);
  assert.equal(content.lookup("A")?.where, "t:7");
});

test("bits beyond the prefix, and lengths that no address has, are refused", () => {
  for (const text of [
    "192.0.2.1/24",
    "192.0.2.0/33",
    "192.0.2.0/",
    "192.0.2/24",
    "2001:db8::1/32",
    "x/8",
    "192.0.2.0/-1",
  ])
    assert.equal(parseNetwork(text).ok, false, text);
});

test("a network contains exactly the addresses that share its first bits", () => {
  const address = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
  fc.assert(
    fc.property(address, address, fc.integer({ min: 0, max: 32 }), (one, other, bits) => {
      const number = (bytes: readonly number[]): number => bytes.reduce((sum, byte) => sum * 256 + byte, 0);
      const size = 2 ** (32 - bits);
      const first = Math.floor(number(one) / size) * size;
      const network = parseNetwork(
        `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".")}/${bits}`,
      );
      assert.ok(network.ok);
      assert.equal(networkContains(network.value, other.join(".")), Math.floor(number(other) / size) * size === first);
    }),
  );
});

test("folding a key twice changes nothing, and no text makes a lookup throw", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string(), async (text) => {
      assert.equal(foldKey(foldKey(text)), foldKey(text));
      const table = list(text, "*.example.org", "10.0.0.0/8");
      await table.has(text);
      await table.lookup(text);
      parseTableText(text);
    }),
  );
});

test("a name with accents is one key in both Unicode forms, alone and in an address", async () => {
  const composed = "J\u00fcrgen";
  const decomposed = "ju\u0308rgen";
  for (const written of [composed, decomposed]) {
    const table = inlineTable("t", {
      kind: "map",
      entries: { [`${written}@x.example`]: "a", [`${written} two`]: "b", [written]: "c" },
    });
    for (const asked of [composed, decomposed])
      assert.deepEqual(
        await Promise.all(
          [`${asked}@x.example`, `${asked} two`, asked].map(async (key) => {
            const answer = await table.exact(key);
            return answer.kind === "found" ? answer.value : answer.kind;
          }),
        ),
        ["a", "b", "c"],
      );
  }
});
