import { PosthornError } from "../../foundation/error.ts";
import { usage, type CliCommand, type CliOption, type Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { instantText } from "./text.ts";
import type { World } from "./world.ts";

/**
 * Looks again and again. In a terminal the picture is drawn anew, elsewhere each look is added below the one before, after
 * a line with the time. It ends on an interrupt, and with whoever reads. A server that is away is waited for.
 */
export const watchOption = {
  says: "Again every so many seconds (2, if nothing is said), until interrupted.",
  value: "SECONDS",
  usual: "2",
} as const satisfies CliOption;

const CLEAR = "\u001b[H\u001b[2J";

/** Undefined when nobody watches. */
export function watchMsOf(command: CliCommand, given: Given): number | undefined {
  const text = given.text("watch");
  if (text === undefined) return undefined;
  if (!/^\d{1,5}(\.\d{1,3})?$/.test(text))
    throw usage(command, `--watch: expected seconds, got ${JSON.stringify(text)}`);
  return Math.max(200, Number(text) * 1000);
}

export async function watching(
  everyMs: number,
  world: World,
  isJson: boolean,
  look: () => Promise<string>,
): Promise<number> {
  const { stdout, interrupted } = world;
  while (!interrupted.aborted) {
    const text = await look().catch((thrown: unknown) => {
      if (!(thrown instanceof PosthornError) || !AWAY.has(thrown.code)) throw thrown;
      return isJson ? "" : `the server is not there (${thrown.message}); waiting for it\n`;
    });
    if (interrupted.aborted) break;
    const now = instantText(world.now(), world.offsetMinutes);
    if (isJson) stdout.write(text);
    else if (stdout.isTerminal) stdout.write(`${CLEAR}${now}\n${fitting(text, stdout.rows)}`);
    else stdout.write(`${now}\n${text}\n`);
    await stdout.room();
    await world.sleep(everyMs);
  }
  return exitCodes.ok;
}

const AWAY: ReadonlySet<string> = new Set(["CONTROL_UNREACHABLE", "ROLE_UNAVAILABLE"]);

/** What a terminal has room for, under the line with the time; more would scroll the beginning away. */
export function fitting(text: string, rows: number | undefined): string {
  const lines = text.split("\n");
  const room = (rows ?? 25) - 2;
  if (rows === undefined || lines.length <= room) return text;
  return [...lines.slice(0, room - 1), `… ${lines.length - room} lines more`].join("\n");
}
