import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { virtualClock } from "../../simulator/clock.ts";
import { watchedFile } from "./file.io.ts";
import { tableSuite, type TableUnderTest } from "./table.suite.ts";
import { createTables, inlineTable } from "./tables.ts";

tableSuite("map", (entries) =>
  Promise.resolve({
    table: inlineTable("names", {
      kind: "map",
      entries: Object.fromEntries(entries.map(({ key, value }) => [key, value])),
    }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
);

tableSuite("file", async (entries) => {
  const quoted = (key: string): string => `"${key.replace(/["\\]/g, "\\$&")}"`;
  return await fileUnderTest("file", entries.map(({ key, value }) => `${quoted(key)} ${value}\n`).join(""));
});

async function fileUnderTest(syntax: "file", text: string): Promise<TableUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-table-"));
  const file = join(directory, "table");
  await writeFile(file, text);
  const table = createTables(
    { t: { kind: "file", file, syntax } },
    (name, path) => watchedFile(name, path, virtualClock(0), () => {}),
    () => {},
  ).get("t");
  if (table === undefined) throw new Error("there is no table");
  return { table, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}
