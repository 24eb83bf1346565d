import type { TailItem } from "../control/streams.ts";
import { withServer, type CliCommand } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { recordJson, recordLine } from "./record-line.ts";
import { wordOf } from "./selector.ts";

export const tail: CliCommand = {
  name: "tail",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows events as they happen, until interrupted.",
  options: {
    level: { says: "error, warning, info (the default) or debug (only what the server records: -v).", value: "LEVEL" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const level = wordOf(tail, given, "level", ["error", "warning", "info", "debug"]) ?? "info";
    await withServer(given, world, "query", async (server) => {
      world.interrupted.addEventListener("abort", () => server[Symbol.dispose](), { once: true });
      try {
        for await (const item of server.stream("tail", { level })) {
          // The server's stream `tail` consists of these.
          const { record, missed } = item as Partial<{ record: unknown; missed: number }>;
          if (missed !== undefined) world.stderr.write(`(${missed} events were left out: this reader is too slow)\n`);
          if (record === undefined) continue;
          const event = (item as Extract<TailItem, { record: unknown }>).record;
          const line = given.has("json") ? recordJson(event) : recordLine(event, world);
          if (line !== undefined) world.stdout.write(`${line}\n`);
        }
      } catch (thrown) {
        if (!world.interrupted.aborted) throw thrown;
      }
    });
    return exitCodes.ok;
  },
};
