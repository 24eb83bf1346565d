import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { loadSettings } from "../settings/load-settings.ts";
import { loadedFor } from "../split/role-settings.ts";

async function load(text: string) {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-accounts-"));
  try {
    const file = join(directory, "posthorn.yaml");
    writeFileSync(join(directory, "secret"), "s3cret\n");
    writeFileSync(join(directory, "people"), "joe {PLAIN}sesame\n");
    writeFileSync(file, text);
    return await loadSettings({ file, directory, clock: systemClock });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function problems(text: string): Promise<readonly string[]> {
  const loaded = await load(text);
  const found = loaded.ok ? loaded.value.warnings : loaded.problem;
  return found.filter(({ path }) => path.startsWith("accounts")).map((one) => `${one.place?.line}: ${one.text}`);
}

test("a table, a list of backends, and backends with what belongs to them are all accounts", async () => {
  const tables = "tables: { people: { file: ./people } }\n";
  for (const accounts of [
    "table:people",
    "[ { table: table:people } ]",
    "{ backends: [ { table: table:people } ], remember: 0s }",
  ]) {
    const loaded = await load(`accounts: ${accounts}\n${tables}`);
    assert.ok(loaded.ok, accounts);
    assert.deepEqual(loaded.value.settings.accounts?.backends, [{ kind: "table", table: "people" }]);
  }
});

test("each backend reads its own settings, and refuses what is not its own", async () => {
  const loaded = await load(`accounts:
  - { system: pam, service: mail }
  - { system: shadow }
  - { dovecot: /run/dovecot/auth-client }
  - { dovecot: "[::1]:12345", timeout: 3s }
  - { saslauthd: /run/saslauthd/mux, realm: domain }
  - oauth: { introspection: "https://id.example.org/check", client-id: mail, client-secret-file: ./secret }
  - oauth: { keys: "https://id.example.org/keys", issuer: "https://id.example.org", audience: [mail] }
`);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const backends = loaded.value.settings.accounts?.backends ?? [];
  assert.deepEqual(
    backends.map(({ kind }) => kind),
    ["pam", "shadow", "dovecot", "dovecot", "saslauthd", "oauth", "oauth"],
  );
  assert.deepEqual(loaded.value.secrets.accounts, { 5: "s3cret" });
});

for (const [what, accounts, expected] of [
  ["two in one", "{ system: pam, saslauthd: /x }", "expected exactly one of table, system"],
  ["none", "{ service: smtp }", "expected exactly one of table, system"],
  ["keys without an issuer", "{ oauth: { keys: 'https://a/b' } }", "expected issuer and audience"],
  ["a secret over the open network", "{ oauth: { introspection: 'http://id.example.org/' } }", "expected an https URL"],
  ["a table that is not there", "{ table: 'table:peple' }", "there is no table peple; did you mean people?"],
  ["a directory that is none", "{ ldap: 'table:people' }", "table people is no directory"],
] as const)
  test(`a backend that is ${what} is refused, with its line`, async () => {
    const told = await problems(`tables: { people: { map: { joe: "{PLAIN}x" } } }\naccounts:\n  - ${accounts}\n`);
    assert.equal(told.length, 1, JSON.stringify(told));
    assert.match(told[0] ?? "", new RegExp(`^3: .*${expected.replace(/[?]/g, "\\?")}`));
  });

test("passwords are in no role's settings but the lookup role's", async () => {
  for (const table of [`{ map: { joe: "{PLAIN}sesame" } }`, "{ file: ./people }"]) {
    const loaded = await load(`accounts: table:people\ntables:\n  people: ${table}\n`);
    assert.ok(loaded.ok);
    for (const role of ["ingress", "egress", "scheduler", "delivery", "keeper", "acme", "log"] as const)
      assert.doesNotMatch(JSON.stringify(loadedFor(role, loaded.value)), /sesame/, role);
    assert.match(JSON.stringify(loadedFor("lookup", loaded.value)), /sesame/);
  }
});
