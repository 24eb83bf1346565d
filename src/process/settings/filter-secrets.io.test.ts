import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { filtersSettings } from "../../mail/filter/settings.ts";
import { loadFilterSecrets, withoutFilterSecrets } from "./filter-secrets.ts";

const servers = "http://127.0.0.1:11333";

test("a filter's password is in the settings, or the first line of a file; what is wrong with it is told", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-filter-secrets-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const filters = filtersSettings.parse({
    plain: { rspamd: { servers, password: "one" } },
    file: { rspamd: { servers, passwordFile: file("good", "two\nthree\n") } },
    empty: { rspamd: { servers, passwordFile: file("empty", "\n") } },
    missing: { rspamd: { servers, passwordFile: join(folder, "missing") } },
    authority: { http: { servers: "https://hooks.example.org", tlsCa: join(folder, "no-authority") } },
    nobody: { http: { servers: "https://hooks.example.org", tlsCa: file("nobody", "\n") } },
    both: { rspamd: { servers, password: "x", passwordFile: file("other", "y") } },
    none: { rspamd: servers },
    other: { clamd: "127.0.0.1:3310" },
  });
  const told: string[] = [];
  const secrets = await loadFilterSecrets(filters, (path, text) => told.push(`${path.join(".")}: ${text}`));
  assert.equal(secrets["plain"], "one");
  assert.equal(secrets["file"], "two");
  assert.deepEqual(Object.keys(secrets).toSorted(), ["both", "file", "plain"]);
  assert.equal(told.length, 5);
  assert.match(told[0] ?? "", /^filters\.empty\.rspamd\.passwordFile: .* has an empty first line$/);
  assert.match(told[1] ?? "", /^filters\.missing\.rspamd\.passwordFile: cannot read /);
  assert.match(told[2] ?? "", /^filters\.authority\.http\.tlsCa: cannot read /);
  assert.match(told[3] ?? "", /^filters\.nobody\.http\.tlsCa: .* holds no certificate in PEM form$/);
  assert.match(
    told[4] ?? "",
    /^filters\.both\.rspamd\.passwordFile: expected either password or passwordFile, not both$/,
  );
  rmSync(folder, { recursive: true });
});

test("the settings that all processes get have no password in them, and all else", () => {
  const filters = filtersSettings.parse({ spam: { rspamd: { servers, password: "one", onReject: "mark" } } });
  const kept = withoutFilterSecrets(filters);
  assert.ok(!JSON.stringify(kept).includes("one"));
  assert.equal(kept["spam"]?.rspamd?.onReject, "mark");
});
