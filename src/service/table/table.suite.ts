import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { sleep } from "../../foundation/clock.ts";
import { firstExact } from "./first-exact.ts";
import type { Table, TableAnswer, TableService } from "./table.ts";

/** A table under test, over a backend that holds `SUITE_ENTRIES`. */
export interface TableUnderTest extends AsyncDisposable {
  readonly table: Table;
  /** Takes the backend away (stops the server, removes the file), where lookups then fail. */
  fail?(): Promise<void>;
  /** Brings it back. */
  recover?(): Promise<void>;
  /** Closes the backend; what is asked then fails, and does not hang. */
  close?(): Promise<void>;
}

/** What a backend does not do. */
export interface TableLimits {
  /** Networks are found by the addresses in them. */
  readonly networks?: false;
  /** The services that it answers; without it all. */
  readonly services?: readonly TableService[];
  /** Keys or values that it cannot hold, by the words of the tests below. */
  readonly cannot?: readonly ("long value" | "spaces in keys")[];
}

export interface SuiteEntry {
  readonly service: TableService;
  /** Folded, as a backend must hold it. */
  readonly key: string;
  readonly value: string;
}

const LONG = Array.from({ length: 300 }, (_, at) => `member${at}@example.net`).join(", ");

/** What every backend holds in its tests. Keys are unique over all services, for some have no services. */
const SUITE_ENTRIES: readonly SuiteEntry[] = [
  { service: "alias", key: "joe@example.org", value: "joe, jane@example.net" },
  { service: "alias", key: "@example.org", value: "catchall" },
  { service: "alias", key: "postmaster@", value: "root" },
  { service: "alias", key: ".example.org", value: "below" },
  { service: "alias", key: "info@xn--bcher-kva.example", value: "buch" },
  { service: "alias", key: "root", value: "admin@example.org" },
  { service: "alias", key: "all@example.org", value: LONG },
  { service: "alias", key: "jürgen@example.org", value: "Jürgen Größe <j@example.net>" },
  { service: "alias", key: "o'brien@example.org", value: "brien" },
  { service: "alias", key: "a*b@example.org", value: "star" },
  { service: "alias", key: "a_b%c@example.org", value: "under" },
  { service: "alias", key: "(cn=x)@example.org", value: "paren" },
  { service: "alias", key: '"joe smith"@example.org', value: "smith" },
  { service: "domain", key: "example.com", value: "" },
  { service: "domain", key: ".example.edu", value: "" },
  { service: "credentials", key: "login@example.com", value: "{PLAIN}a secret: with colons" },
  { service: "userinfo", key: "jane", value: "1001:1002:/home/jane" },
  { service: "network", key: "192.0.2.7", value: "" },
  { service: "network", key: "198.51.100.0/24", value: "" },
  { service: "network", key: "2001:db8:1::/48", value: "" },
  { service: "addressname", key: "203.0.113.9", value: "mail.example.com" },
  { service: "string", key: "some.key", value: "Some Value, as it is" },
];

/**
 * The suite that every backend passes, the real servers too. `make` is called once, with what the backend is to hold; the
 * tests that take it away come last.
 */
export function tableSuite(
  kind: string,
  make: (entries: readonly SuiteEntry[]) => Promise<TableUnderTest>,
  limits: TableLimits = {},
): void {
  let under: TableUnderTest | undefined;
  before(async () => {
    under = await make(SUITE_ENTRIES.filter(({ service }) => limits.services?.includes(service) ?? true));
  });
  after(async () => {
    await under?.[Symbol.asyncDispose]();
  });
  const check = (
    sentence: string,
    services: readonly TableService[],
    body: (table: Table, under: TableUnderTest) => Promise<void>,
  ): void => {
    if (limits.services !== undefined && !services.every((each) => limits.services?.includes(each))) return;
    test(`${kind}: ${sentence}`, async () => {
      assert.ok(under !== undefined, "the backend did not start");
      await body(under.table, under);
    });
  };
  const can = (what: "long value" | "spaces in keys"): boolean => limits.cannot?.includes(what) !== true;

  check("a key is found whatever its case, and its domain in either writing", ["alias"], async (table) => {
    for (const key of ["joe@example.org", "JOE@Example.ORG", "joe@example.org."])
      assert.equal(await valueOf(table, key), "joe, jane@example.net", key);
    for (const key of ["info@bücher.example", "Info@BÜCHER.example", "info@xn--bcher-kva.example"])
      assert.equal(await valueOf(table, key), "buch", key);
    assert.equal(await valueOf(table, "ROOT"), "admin@example.org");
    assert.equal(await valueOf(table, "JÜRGEN@example.org"), "Jürgen Größe <j@example.net>");
  });

  check("the most exact key decides", ["alias"], async (table) => {
    for (const [key, value] of [
      ["joe@example.org", "joe, jane@example.net"],
      ["nobody@example.org", "catchall"],
      ["postmaster@example.org", "root"],
      ["postmaster@far.example", "root"],
      ["joe@a.example.org", "below"],
      ["joe@b.a.example.org", "below"],
      ["joe@example.net", undefined],
      ["root@example.net", undefined],
      ["nobody", undefined],
    ] as const)
      assert.equal(await valueOf(table, key), value, key);
  });

  check("signs that mean something to servers are only signs in a key", ["alias"], async (table) => {
    for (const [key, value] of [
      ["o'brien@example.org", "brien"],
      ["a*b@example.org", "star"],
      ["a_b%c@example.org", "under"],
      ["(cn=x)@example.org", "paren"],
      ...(can("spaces in keys") ? ([['"joe smith"@example.org', "smith"]] as const) : []),
      ["axb@example.org", "catchall"],
      ["axb%c@example.org", "catchall"],
      ["%@example.org", "catchall"],
      ["j*@example.org", "catchall"],
      ["' or '1'='1", undefined],
      ["x)(cn=*", undefined],
      ["\\", undefined],
    ] as const)
      assert.equal(await valueOf(table, key), value, key);
  });

  check("no key makes a lookup throw or hang", ["alias"], async (table) => {
    for (const key of [
      "",
      "@",
      "a@",
      "\u0000",
      "a\nb",
      "a\r\nb@example.net",
      "a".repeat(20_000),
      "\ud800",
      "%n",
      "😀",
    ]) {
      const answer = await table.lookup(key, { service: "alias" });
      assert.notEqual(answer.kind, "found", JSON.stringify(key.slice(0, 20)));
    }
    assert.equal(await valueOf(table, "joe@example.org"), "joe, jane@example.net");
  });

  if (can("long value"))
    check("long values come whole", ["alias"], async (table) => {
      assert.equal(await valueOf(table, "all@example.org"), LONG);
    });

  check("asked for exactly a key, nothing else answers", ["alias"], async (table) => {
    const exact = async (key: string): Promise<string | undefined> => {
      const answer = await table.exact(key, { service: "alias" });
      return answer.kind === "found" ? answer.value : undefined;
    };
    assert.equal(await exact("joe@example.org"), "joe, jane@example.net");
    assert.equal(await exact("nobody@example.org"), undefined);
    assert.equal(await exact("@example.org"), "catchall");
    assert.equal(await exact(".example.org"), "below");
    assert.equal(await exact("*.example.org"), "below");
    assert.equal(await exact(".example.net"), undefined);
    const hasExact = await table.hasExact("joe@example.org", { service: "alias" });
    assert.ok(hasExact.kind === "found" && hasExact.value);
    assert.deepEqual(await table.hasExact("nobody@example.org", { service: "alias" }), { kind: "none" });
  });

  check("of several keys the first that is there answers", ["alias"], async (table) => {
    const first = (...keys: readonly string[]) => firstExact(table, keys, { service: "alias" });
    const found = await first("nobody@example.org", "Joe@example.org", "@example.org");
    assert.deepEqual(found.kind === "found" ? [found.key, found.value] : found, [
      "Joe@example.org",
      "joe, jane@example.net",
    ]);
    const other = await first("@example.org", "joe@example.org");
    assert.equal(other.kind === "found" ? other.value : undefined, "catchall");
    assert.deepEqual(await first("nobody@example.org", "a\0b@example.org", ".example.net"), { kind: "none" });
  });

  check("a domain is a member, or one below a dot", ["domain"], async (table) => {
    const has = (key: string): Promise<boolean> => isMember(table, key, "domain");
    assert.equal(await has("example.com"), true);
    assert.equal(await has("EXAMPLE.com."), true);
    assert.equal(await has("a.example.com"), false);
    assert.equal(await has("a.example.edu"), true);
    assert.equal(await has("example.edu"), false);
    assert.equal(await has("example.info"), false);
  });

  check("passwords come as they are, and only under their own key", ["credentials"], async (table) => {
    assert.equal(await valueOf(table, "Login@example.com", "credentials"), "{PLAIN}a secret: with colons");
    for (const key of ["nobody@example.com", "nobody@example.org", "postmaster@example.com"])
      assert.equal(await valueOf(table, key, "credentials"), undefined, key);
  });

  check("users have a uid, a gid and a home", ["userinfo"], async (table) => {
    assert.equal(await valueOf(table, "Jane", "userinfo"), "1001:1002:/home/jane");
    assert.equal(await valueOf(table, "jim", "userinfo"), undefined);
  });

  check("an address is found in each of its writings", ["network"], async (table) => {
    const has = (key: string): Promise<boolean> => isMember(table, key, "network");
    assert.equal(await has("192.0.2.7"), true);
    assert.equal(await has("::ffff:192.0.2.7"), true);
    assert.equal(await has("192.0.2.8"), false);
    if (limits.networks === false) return;
    assert.equal(await has("198.51.100.200"), true);
    assert.equal(await has("198.51.101.1"), false);
    assert.equal(await has("2001:DB8:1:0::5"), true);
    assert.equal(await has("2001:db8:2::5"), false);
  });

  check("any text is a value", ["string", "addressname"], async (table) => {
    assert.equal(await valueOf(table, "Some.Key", "string"), "Some Value, as it is");
    assert.equal(await valueOf(table, "203.0.113.9", "addressname"), "mail.example.com");
  });

  check("many may ask at once", ["alias"], async (table) => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, at) => valueOf(table, at % 2 === 0 ? "joe@example.org" : `n${at}@example.org`)),
    );
    assert.equal(answers.filter((each) => each === "joe, jane@example.net").length, 100);
    assert.equal(answers.filter((each) => each === "catchall").length, 100);
  });

  check("each found value says where it is from", ["alias"], async (table) => {
    const answer = await table.lookup("joe@example.org", { service: "alias" });
    assert.ok(answer.kind === "found" && answer.where.length > 2);
  });

  check("where it can be gone through, all of it is there", ["alias"], async (table) => {
    if (table.entries === undefined) return;
    const answer = await table.entries({ service: "alias" });
    assert.ok(answer.kind === "found");
    const keys = new Set(answer.value.map(({ key }) => key.replace(/^\*\./, ".")));
    for (const { service, key } of SUITE_ENTRIES) if (service === "alias") assert.ok(keys.has(key), key);
  });

  check("its health counts what it was asked", ["alias"], async (table) => {
    const health = table.health?.();
    assert.ok(health !== undefined);
    await table.lookup("joe@example.org", { service: "alias" });
    assert.ok((table.health?.().queries ?? 0) > health.queries);
    assert.equal(table.health?.().state, "up");
  });

  check("who gives up is not kept waiting", ["alias"], async (table) => {
    const began = systemClock.monotonicMs();
    const answer = await table.lookup("joe@example.org", { service: "alias", signal: AbortSignal.abort() });
    assert.ok(answer.kind === "failed" || answer.kind === "found");
    assert.ok(systemClock.monotonicMs() - began < 1000);
  });

  check(
    "a backend that is away fails, finds nothing to be missing, and comes back",
    ["alias"],
    async (table, under) => {
      if (under.fail === undefined) return;
      await under.fail();
      for (const key of ["joe@example.org", "nobody@example.net"]) {
        const answer = await table.lookup(key, { service: "alias" });
        assert.equal(answer.kind, "failed", key);
        assert.ok(answer.kind === "failed" && answer.text.length > 5);
      }
      const health = table.health?.();
      assert.equal(health?.state, "down");
      assert.ok((health?.failures ?? 0) > 0 && (health?.lastFailure?.text ?? "") !== "");
      if (under.recover === undefined) return;
      await under.recover();
      // A pool may take a moment to notice.
      let value: string | undefined;
      for (let turn = 0; turn < 50 && value === undefined; turn++) {
        value = await valueOf(table, "joe@example.org", "alias", true);
        if (value === undefined) await sleep(systemClock, 100);
      }
      assert.equal(value, "joe, jane@example.net");
    },
  );

  check("closed, also while it is asked, it fails and does not hang", ["alias"], async (table, under) => {
    if (under.close === undefined) return;
    const asked = Array.from({ length: 20 }, () => table.lookup("joe@example.org", { service: "alias" }));
    await under.close();
    for (const answer of await Promise.all(asked)) assert.notEqual(answer.kind, "none");
    assert.equal((await table.lookup("joe@example.org", { service: "alias" })).kind, "failed");
  });
}

/** Undefined when it is not there. A failure is a failed test, unless `mayFail`. */
async function valueOf(
  table: Table,
  key: string,
  service: TableService = "alias",
  mayFail = false,
): Promise<string | undefined> {
  const answer: TableAnswer = await table.lookup(key, { service });
  if (!mayFail) assert.ok(answer.kind !== "failed", `${key}: ${answer.kind === "failed" ? answer.text : ""}`);
  return answer.kind === "found" ? answer.value : undefined;
}

async function isMember(table: Table, key: string, service: TableService): Promise<boolean> {
  const answer = await table.has(key, { service });
  assert.ok(answer.kind !== "failed", `${key}: ${answer.kind === "failed" ? answer.text : ""}`);
  return answer.kind === "found" && answer.value;
}
