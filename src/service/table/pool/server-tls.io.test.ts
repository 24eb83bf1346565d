import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { serverTls } from "./server-tls.io.ts";
import { trustIn } from "../../../testing/trust.ts";
import type { ServerSettings } from "./settings.ts";

test("a file of authorities without one is never taken for all the world's", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-server-tls-"));
  const tlsCa = join(folder, "ca.pem");
  // Nothing else is asked of them.
  const settings = { tls: "verify", tlsCa } as ServerSettings;
  const asked = () => serverTls(settings, { kind: "tcp", host: "db.example", port: 5432 }, trustIn());
  for (const text of ["", "\n", "# to come\n"]) {
    writeFileSync(tlsCa, text);
    await assert.rejects(asked(), /ca\.pem holds no certificate in PEM form$/);
  }
  const pem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
  writeFileSync(tlsCa, pem);
  assert.equal((await asked())?.ca, pem);
  rmSync(folder, { recursive: true });
});
