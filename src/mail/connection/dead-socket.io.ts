import { lstatSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { systemCodeOf } from "../../foundation/error.ts";

/**
 * A socket file that nobody listens on is left from a process that was killed, and in the way. One that answers belongs
 * to somebody, and so does a file that is no socket: both stay, and binding says so.
 */
export async function removeDeadSocket(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) return;
  } catch {
    return;
  }
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => resolve(systemCodeOf(error) !== "ECONNREFUSED"));
  });
  if (!isAlive) unlinkSync(path);
}
