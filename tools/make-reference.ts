/**
 * Writes the generated part of the manual into docs/reference/: `node tools/make-reference.ts`. With `--check` it writes
 * nothing and fails when a page is not what the code says.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { commandsReference } from "../src/admin/cli/help.ts";
import * as controlEvents from "../src/admin/control/events.ts";
import { eventsIn, mailEvents } from "../src/mail/log/log.ts";
import { eventsReference } from "../src/mail/log/reference.ts";
import * as processEvents from "../src/process/events.ts";
import { posthornSettings } from "../src/process/settings/settings.ts";
import { settingsJsonSchema } from "../src/service/config/json-schema.ts";
import { settingsReference } from "../src/service/config/reference.ts";
import { reasonsReference } from "./reference/reasons.ts";
import { repliesReference } from "./reference/replies.ts";

const SETTINGS_INTRODUCTION = `
# Settings

Every setting, as \`posthorn.yaml\` writes it; \`posthorn.config.ts\` has the same names in camelCase (\`max-size\` is
\`maxSize\`). How settings are written and checked is told in [the manual](../manual/settings.md). An editor that reads
JSON Schema finds all of this in [posthorn.schema.json](posthorn.schema.json).

\`name[]\` stands for each element of a list, \`<name>\` for a name of your choice. This page is generated from the code.
`;

const pages: Readonly<Record<string, () => string>> = {
  "settings.md": () => settingsReference(posthornSettings, SETTINGS_INTRODUCTION),
  "commands.md": commandsReference,
  "events.md": () => eventsReference([...mailEvents, ...eventsIn(controlEvents), ...eventsIn(processEvents)]),
  "reasons.md": reasonsReference,
  "replies.md": repliesReference,
  "posthorn.schema.json": () =>
    `${JSON.stringify(settingsJsonSchema(posthornSettings, "Posthorn settings"), null, 2)}\n`,
};

const directory = new URL("../docs/reference/", import.meta.url);
const isCheck = process.argv.includes("--check");
await mkdir(directory, { recursive: true });
for (const [name, write] of Object.entries(pages)) {
  const page = new URL(name, directory);
  const text = write();
  if (!isCheck) {
    await writeFile(page, text);
    continue;
  }
  const kept = await readFile(page, "utf8").catch(() => "");
  if (kept === text) continue;
  console.error(`${fileURLToPath(page)} is not what the code says: run node tools/make-reference.ts`);
  process.exitCode = 1;
}
