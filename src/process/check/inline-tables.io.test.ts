import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { problemLine } from "../../service/config/config.ts";
import { loadSettings } from "../settings/load-settings.ts";

async function problemsOf(yaml: string): Promise<readonly string[]> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-inline-"));
  try {
    const file = join(directory, "posthorn.yaml");
    await writeFile(file, yaml);
    const loaded = await loadSettings({ file, directory, clock: systemClock });
    return loaded.ok ? [] : loaded.problem.map((one) => problemLine(one).replaceAll(`${directory}/`, ""));
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("entries written in place that contradict one another are refused with both their places", async () => {
  const told = await problemsOf(`tables:
  aliases:
    map:
      joe@example.org: anna
      Joe@Example.org: eve
      "@b\\u00fccher.example": anna
      "@bu\\u0308cher.example": eve
      "*": anna
      "192.0.2.0/24": a
  domains: { list: [a.example, "!A.example", "*.b.example", .b.example] }
  clients: { list: ["2001:db8::1", "!2001:DB8:0::1", "10.0.0.0/8", "!10.0.0.0/8", "*", "!*", 10.0.0.1/8] }
local:
  users: [anna, "!Anna", eve, EVE]
  virtual:
    - { domains: [v.example, "!V.example"], users: table:aliases, action: boxes }
actions:
  boxes: { deliver: maildir, path: "/m/{domain}/{user}" }
`);
  const said = "stands twice, with different values; first at posthorn.yaml";
  const isNegated = "stands twice, once with ! in front; first at posthorn.yaml";
  assert.deepEqual(told, [
    `posthorn.yaml:5:7: tables.aliases.map.Joe@Example.org: joe@example.org ${said}:4:7`,
    `posthorn.yaml:7:7: tables.aliases.map.@bu\u0308cher.example: @xn--bcher-kva.example ${said}:6:7`,
    `posthorn.yaml:10:32: tables.domains.list[1]: a.example ${isNegated}:10:21`,
    `posthorn.yaml:11:36: tables.clients.list[1]: 2001:DB8:0::1 ${isNegated}:11:21`,
    `posthorn.yaml:11:68: tables.clients.list[3]: 10.0.0.0/8 ${isNegated}:11:54`,
    `posthorn.yaml:11:88: tables.clients.list[5]: * ${isNegated}:11:83`,
    `posthorn.yaml:11:94: tables.clients.list[6]: expected the network's first address before /8, got "10.0.0.1/8"`,
    `posthorn.yaml:13:17: local.users[1]: anna ${isNegated}:13:11`,
    `posthorn.yaml:15:30: local.virtual[0].domains[1]: v.example ${isNegated}:15:19`,
  ]);
});

test("what says the same twice is no contradiction", async () => {
  assert.deepEqual(
    await problemsOf(`tables:
  aliases: { map: { joe: anna, Joe: anna } }
  domains: { list: [a.example, A.example., 192.0.2.1, 192.0.2.1, "::1", "0::1", "*", "*"] }
`),
    [],
  );
});
