import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

test("a program finds the names that it is given and none of Node's, also where Node's permission model holds", () => {
  const code = `
    import { spawnSync } from "node:child_process";
    import { childEnvironment } from ${JSON.stringify(import.meta.resolve("./child-environment.ts"))};
    const env = childEnvironment({ PATH: "/bin", HOME: "/" });
    process.stdout.write(spawnSync("/usr/bin/env", [], { env, encoding: "utf8" }).stdout);
  `;
  const options = ["--permission", "--allow-fs-read=*", "--allow-child-process", "--input-type=module", "--eval", code];
  const { stdout, stderr } = spawnSync(process.execPath, options, { encoding: "utf8", timeout: 60_000 });
  assert.equal(stdout, "PATH=/bin\nHOME=/\n", stderr);
});
