import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { recordJson, recordLine } from "./record-line.ts";
import { wordOf } from "../selector.ts";

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
          if ("missed" in item) {
            world.stderr.write(`(${item.missed} events were left out: this reader is too slow)\n`);
            continue;
          }
          const line = given.has("json") ? recordJson(item.record) : recordLine(item.record, world);
          if (line !== undefined) world.stdout.write(`${line}\n`);
        }
      } catch (thrown) {
        if (!world.interrupted.aborted) throw thrown;
      }
    });
    return exitCodes.ok;
  },
};
