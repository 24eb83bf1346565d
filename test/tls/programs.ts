import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { TestContext } from "node:test";

/** What a case leaves running; called when it is over. */
export const cleanups: (() => void)[] = [];

/** A program that plays one side; undefined, and the test skipped, when it is not installed. */
export function program(
  t: TestContext,
  command: string,
  args: (port: number) => readonly string[],
  begun?: (child: ChildProcess) => void,
): ((port: number) => ChildProcess) | undefined {
  if (spawnSync("which", [command]).status !== 0) {
    assert.notEqual(process.env["POSTHORN_REQUIRE_PEERS"], "1", `${command} is not installed`);
    t.skip(`${command} is not installed`);
    return undefined;
  }
  return (port) => {
    const child = spawn(command, args(port), { stdio: ["pipe", "pipe", "ignore"] });
    child.stdin.on("error", () => {});
    child.stdout.resume();
    cleanups.push(() => child.kill("SIGKILL"));
    begun?.(child);
    return child;
  };
}
