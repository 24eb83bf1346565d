import { harmlessJson } from "../../../foundation/escape.ts";
import type { ServerStatus } from "../../control/admin.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { statusText } from "./status.ts";
import { watching, watchMsOf, watchOption } from "../watch.ts";

export const showStatus: CliCommand = {
  name: "show status",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows what `posthorn status` shows, under a line of flags that tells what is out of the ordinary.",
  explains:
    "Flags: STORE the disk failed; NO-LOG the log or the journal cannot be written; LOADING the queue is being read; PAUSED-IN, PAUSED-OUT, PAUSED-LOCAL; RESTING routes rest after failures; HELD envelopes are held; DEAD some can neither be delivered nor returned; RESTARTED a process was started again. OK: none of them.",
  options: { watch: watchOption, json: { says: "As one JSON object." } },
  async run(given, world) {
    const look = async (): Promise<string> => {
      const status = await withServer(given, world, "query", (server) => server.call("status"));
      const flags = flagsOf(status);
      if (given.has("json")) return `${harmlessJson({ flags, ...status })}\n`;
      return `flags      ${flags.length === 0 ? "OK" : flags.join(" ")}\n${statusText(status, world)}`;
    };
    const everyMs = watchMsOf(showStatus, given);
    if (everyMs !== undefined) return watching(everyMs, world, given.has("json"), look);
    world.stdout.write(await look());
    return exitCodes.ok;
  },
};

export function flagsOf({
  queue,
  processes,
  logTroubles = [],
}: Pick<ServerStatus, "queue" | "processes" | "logTroubles">): readonly string[] {
  const flags = {
    STORE: !queue.isStoreUsable,
    "NO-LOG": logTroubles.length > 0,
    LOADING: queue.isLoading,
    ...Object.fromEntries(queue.paused.map(({ direction }) => [`PAUSED-${direction.toUpperCase()}`, true])),
    RESTING: queue.routesResting > 0,
    HELD: queue.envelopes.held > 0,
    DEAD: queue.envelopes.dead > 0,
    RESTARTED: processes.some(({ restarts }) => restarts > 0),
  };
  return Object.entries(flags).flatMap(([flag, holds]) => (holds ? [flag] : []));
}
