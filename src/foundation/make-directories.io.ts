import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { systemCodeOf } from "./error.ts";

/**
 * Makes a directory and what is missing above it. The first that was made, or undefined when it was there. Node's own (`recursive`)
 * never ends where the system says that there is no such directory of one that it will not make in one that is there: below /proc.
 */
export function makeDirectories(path: string, mode?: number): string | undefined {
  const whole = resolve(path);
  try {
    mkdirSync(whole, { mode });
    return whole;
  } catch (thrown) {
    if (systemCodeOf(thrown) !== "ENOENT" || dirname(whole) === whole) {
      if (isDirectory(whole)) return undefined;
      throw thrown;
    }
  }
  const first = makeDirectories(dirname(whole), mode);
  try {
    mkdirSync(whole, { mode });
  } catch (thrown) {
    // Somebody was quicker.
    if (!isDirectory(whole)) throw thrown;
  }
  return first ?? whole;
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
