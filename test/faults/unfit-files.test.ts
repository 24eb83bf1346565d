/** Files that the settings name, where something else has taken their place: nobody waits for it, and it fills no memory. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { messageOf } from "../../src/foundation/error.ts";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { filtersSettings } from "../../src/mail/filter/settings.ts";
import { loadHooks } from "../../src/mail/filter/hooks/load-module.io.ts";
import { loadBackendPasswords } from "../../src/process/settings/backend-secrets.ts";
import { loadFilterSecrets } from "../../src/process/settings/filter-secrets.ts";
import { loadSettings } from "../../src/process/settings/load-settings.ts";
import { loadSrsSecrets } from "../../src/process/settings/srs-secret.ts";
import { readSigningKey } from "../../src/service/signing/signing-keys.io.ts";
import { readAuthorities } from "../../src/service/table/pool/authorities.io.ts";
import { tablesSettings } from "../../src/service/table/settings.ts";
import { readAnchors } from "../../src/service/tls/keeper/anchors.io.ts";
import { loadPair } from "../../src/service/tls/keeper/source.io.ts";

const folder = mkdtempSync(join(tmpdir(), "posthorn-unfit-"));
const pipe = join(folder, "pipe");
const zero = join(folder, "zero");
const huge = join(folder, "huge");

before(() => {
  execFileSync("mkfifo", [pipe]);
  symlinkSync("/dev/zero", zero);
  writeFileSync(huge, "");
  truncateSync(huge, 2 ** 33);
});
after(() => {
  // Whoever waits for a writer has had one.
  closeSync(openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK));
  rmSync(folder, { recursive: true });
});

const gathered = async (work: (tell: (path: unknown, text: string) => void) => Promise<unknown>): Promise<string> => {
  const told: string[] = [];
  await work((_path, text) => void told.push(text));
  return told.join("\n");
};

/** What each says of a file. */
const READERS: Readonly<Record<string, (file: string) => Promise<string>>> = {
  "a certificate": async (certificate) => {
    const loaded = await loadPair({ certificate, key: "/nonexistent" });
    return loaded.ok ? "" : loaded.problem.text;
  },
  authorities: async (file) => (await readAnchors(file)).problem ?? "",
  "authorities of a table or filter": (file) => readAuthorities(file).catch(messageOf),
  "a DKIM key": (file) => readSigningKey("s", file).then(() => "", messageOf),
  "a database's password": (passwordFile) => {
    const tables = tablesSettings.parse({
      t: {
        postgres: {
          hosts: "db",
          database: "d",
          user: "u",
          passwordFile,
          queries: { alias: "select 1 where a = :key" },
        },
      },
    });
    return gathered((tell) => loadBackendPasswords(tables, tell));
  },
  "a filter's secret": (secretFile) => {
    const filters = filtersSettings.parse({ f: { http: { servers: "https://localhost", secretFile } } });
    return gathered((tell) => loadFilterSecrets(filters, tell));
  },
  "SRS's secret": (file) => gathered((tell) => loadSrsSecrets({ state: folder, srs: { secretFiles: [file] } }, tell)),
  "a next host's password": async (passwordFile) => {
    const file = join(folder, "posthorn.yaml");
    const credentials = { relay: { user: "ada", "password-file": passwordFile } };
    writeFileSync(file, JSON.stringify({ hostname: "mx.example.test", state: folder, credentials }));
    const loaded = await loadSettings({ file, directory: folder, clock: systemClock });
    return loaded.ok ? "" : loaded.problem.map(({ text }) => text).join("\n");
  },
  "a module of hooks": (file) => loadHooks({ file }, systemClock).then(() => "", messageOf),
};

for (const [what, read] of Object.entries(READERS))
  test(`a pipe, a device and a file beyond all bounds in the place of ${what} are told at once`, async () => {
    for (const [file, words] of [
      [pipe, /is no regular file/],
      [zero, /is no regular file/],
      [huge, /is larger than \d+ [MK]iB|is too large/],
    ] as const) {
      const late = AbortSignal.timeout(5000);
      const slow = new Promise<string>((resolve) => late.addEventListener("abort", () => resolve("it still waits")));
      const text = await Promise.race([read(file), slow]);
      assert.match(text, words);
      assert.ok(text.includes(file), `${text} does not name ${file}`);
      assert.equal(text.split(file).length, 2, `${text} names it twice`);
    }
  });
