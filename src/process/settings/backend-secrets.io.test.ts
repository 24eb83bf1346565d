import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { tablesSettings } from "../../service/table/settings.ts";
import { loadBackendPasswords, withoutBackendPasswords } from "./backend-secrets.ts";

const query = { queries: { alias: "select a from b where c = :key" }, database: "mail", user: "posthorn", hosts: "db" };

test("passwords of databases come from the settings or the first line of a file, and leave the settings", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-secrets-"));
  try {
    const file = join(folder, "password");
    await writeFile(file, "from a file\nnot this\n");
    await writeFile(join(folder, "empty"), "\n");
    const tables = tablesSettings.parse({
      written: { postgres: { ...query, password: "written" } },
      kept: { mysql: { ...query, passwordFile: file } },
      none: { redis: { hosts: "db", commands: { alias: "GET %{key}" } } },
      empty: { postgres: { ...query, passwordFile: join(folder, "empty") } },
      missing: { postgres: { ...query, passwordFile: join(folder, "missing") } },
      both: { postgres: { ...query, password: "x", passwordFile: file } },
      text: { map: { a: "b" } },
    });
    const told: string[] = [];
    const passwords = await loadBackendPasswords(tables, (path, text) => void told.push(`${path.join(".")}: ${text}`));
    assert.deepEqual(passwords, { written: "written", kept: "from a file", both: "x" });
    assert.deepEqual(
      told.map((line) => line.split(":", 1)[0]),
      [
        "tables.empty.postgres.passwordFile",
        "tables.missing.postgres.passwordFile",
        "tables.both.postgres.passwordFile",
      ],
    );
    const text = JSON.stringify(withoutBackendPasswords(tables));
    assert.doesNotMatch(text, /"password"|"written"\s*}|"x"/);
    assert.deepEqual(Object.keys(withoutBackendPasswords(tables)), Object.keys(tables));
  } finally {
    await rm(folder, { recursive: true });
  }
});
