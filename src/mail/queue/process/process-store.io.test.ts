import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../../foundation/clock.io.ts";
import { bodyFilesIn } from "../intake.io.ts";
import { queueSettings } from "../settings.ts";
import { storeSuite } from "../store.suite.ts";
import { openProcessStore } from "./process-store.io.ts";

const EXAMPLE = fileURLToPath(new URL("../../../../docs/examples/queue-program.py", import.meta.url));

storeSuite("program in Python", async () => {
  const root = mkdtempSync(`${tmpdir()}/posthorn-process-store-`);
  const directory = `${root}/state/queue`;
  const store = await openProcessStore(["/usr/bin/python3", EXAMPLE, `${root}/program.db`], {
    directory,
    settings: queueSettings.parse({}),
    clock: systemClock,
  });
  const files = bodyFilesIn(directory);
  return {
    store,
    async bodyFile(message, bytes) {
      const file = await files.create(message);
      await file.write(bytes);
      return { kind: "file", name: file.name, sizeBytes: await file.finish() };
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await rm(root, { recursive: true });
    },
  };
});
