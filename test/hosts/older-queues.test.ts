import { globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { deliverSpool } from "../old-spool.ts";
import { LAYOUTS } from "../server.ts";

const VECTORS = join(import.meta.dirname, "..", "vectors");

for (const name of globSync("spool-*", { cwd: VECTORS }).sort())
  for (const layout of LAYOUTS)
    test(`${name}, as an earlier version left it, is delivered to the last mail (${layout})`, async (t) => {
      const folder = mkdtempSync(join(tmpdir(), "posthorn-older-"));
      await deliverSpool(join(VECTORS, name), folder, layout);
      t.after(() => rmSync(folder, { recursive: true }));
    });
