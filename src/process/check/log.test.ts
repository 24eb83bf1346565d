import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { problemLine } from "../../service/config/config.ts";
import { parseSettings } from "../../service/config/parse.ts";
import { readYaml } from "../../service/config/yaml.ts";
import { posthornSettings } from "../settings/settings.ts";
import { checkSettings } from "./check.ts";
import { logProblem } from "./log.ts";

test("a system's log that does not run is told", { skip: process.platform !== "linux" }, async () => {
  const problem = await logProblem({ kind: "syslog" });
  if (existsSync("/dev/log")) assert.equal(problem, undefined);
  else assert.match(problem ?? "", /there is no \/dev\/log/);
  assert.equal(await logProblem({ kind: "auto" }), undefined);
});

test("a journal's buffer that has no room for the details of a TLS connection is told", () => {
  const check = (size: string): readonly string[] => {
    const { root } = readYaml(`journal: { buffer: ${size} }\n`, "settings");
    assert.ok(root);
    const parsed = parseSettings(posthornSettings, { root, file: "settings", directory: "/etc", spelling: "kebab" });
    assert.ok(parsed.ok, JSON.stringify(parsed));
    return checkSettings(parsed.value).map(problemLine);
  };
  assert.match(check("192KiB").join("\n"), /journal\.buffer: .*details of a TLS connection take up to 96 KiB/);
  assert.deepEqual(check("193KiB"), []);
});
