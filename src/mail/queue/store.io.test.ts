import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { systemClock } from "../../foundation/clock.io.ts";
import { bodyFilesIn } from "./intake.io.ts";
import { queueSettings } from "./settings.ts";
import { openStore } from "./store.io.ts";
import { storeSuite } from "./store.suite.ts";

storeSuite("embedded", async () => {
  const root = mkdtempSync(`${tmpdir()}/posthorn-store-`);
  const directory = `${root}/state/queue`;
  const store = await openStore({ directory, settings: queueSettings.parse({}), clock: systemClock });
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
