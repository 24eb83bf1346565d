import { harmlessJson } from "../../../foundation/escape.ts";
import { parseSize } from "../../../foundation/units.ts";
import type { TraceShown } from "../../control/admin.ts";
import { usage, withServer, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { durationOf } from "../selector.ts";
import { counted, instantText, roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import type { World } from "../world.ts";

const TARGETS = ["peer", "listener", "relay"] as const;
const TEN_MINUTES_MS = 600_000;
const A_DAY_MS = 86_400_000;
const TEN_MIB = 10 * 1024 * 1024;

export const traceTls: CliCommand = {
  name: "trace tls",
  operands: "[LEVEL|off]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Shows TLS connections that begin from now on in the log, for a time; without LEVEL lists what is being traced.",
  explains:
    "LEVEL: 0 nothing but failures; 1 one line a handshake and one at its end; 2 the steps of the handshake; 3 hex and ASCII of the handshake; 4 of everything, as on the wire. off ends a trace (without a target: all). --decrypted writes what is inside the encryption into a file that only its owner can read, with AUTH hidden and the mail in clear; it never goes to the log or the journal.",
  options: {
    peer: { says: "Connections with this address, network, host name or domain.", value: "PEER" },
    listener: { says: "Connections to this listener.", value: "NAME" },
    relay: { says: "Connections for this relay, host, host:port, or domain where MX decides.", value: "RELAY" },
    for: { says: "How long; 10m, if nothing is said, and a day at most.", value: "TIME" },
    decrypted: { says: "Write the decrypted dialogue into a file of its own." },
    size: { says: "With --decrypted: at most so much; 10MiB, if nothing is said.", value: "SIZE" },
    json: { says: "As JSON." },
  },
  async run(given, world) {
    const [word] = given.operands;
    const target = targetOf(given);
    if (word === undefined) return list(given, world);
    if (word === "off") {
      const { removed } = await withServer(given, world, "change", (server) =>
        server.call("trace.tls-off", target === undefined ? {} : { target }),
      );
      world.stdout.write(`${counted(removed, "trace")} ended\n`);
      return removed > 0 ? exitCodes.ok : exitCodes.nothing;
    }
    if (!/^[0-4]$/.test(word))
      throw usage(traceTls, `expected a level from 0 to 4, or off, got ${JSON.stringify(word)}`);
    if (target === undefined) throw usage(traceTls, "--peer, --listener or --relay is missing");
    const forMs = durationOf(traceTls, given, "for") ?? TEN_MINUTES_MS;
    if (forMs < 1000 || forMs > A_DAY_MS) throw usage(traceTls, "--for: expected between 1s and 1d");
    const shown = await withServer(given, world, "change", (server) =>
      server.call("trace.tls", { target, level: Number(word), forMs, ...decryptedOf(given) }),
    );
    world.stdout.write(given.has("json") ? `${harmlessJson(shown)}\n` : setText(shown, world));
    return exitCodes.ok;
  },
};

function targetOf(given: Given): TraceShown["target"] | undefined {
  const named = TARGETS.flatMap((by) => {
    const value = given.text(by);
    return value === undefined ? [] : [{ by, value }];
  });
  if (named.length > 1) throw usage(traceTls, "--peer, --listener and --relay do not go together");
  return named[0];
}

function decryptedOf(given: Given): { decryptedBytes?: number } {
  const size = given.text("size");
  if (!given.has("decrypted")) {
    if (size !== undefined) throw usage(traceTls, "--size goes with --decrypted");
    return {};
  }
  if (size === undefined) return { decryptedBytes: TEN_MIB };
  const parsed = parseSize(size);
  if (!parsed.ok) throw usage(traceTls, `--size: expected ${parsed.problem.expected}`);
  return { decryptedBytes: parsed.value };
}

async function list(given: Given, world: World): Promise<number> {
  const traces = await withServer(given, world, "query", (server) => server.call("trace.list"));
  if (given.has("json")) for (const trace of traces) world.stdout.write(`${harmlessJson(trace)}\n`);
  else if (traces.length === 0) world.stdout.write("nothing is traced beyond what the settings say (tls.trace)\n");
  else {
    const now = world.now();
    world.stdout.write(
      textTable(
        [{ title: "WHAT" }, { title: "LEVEL" }, { title: "FOR" }, { title: "DECRYPTED INTO" }],
        traces.map(({ target, level, untilAt, decryptedInto }) => [
          `${target.by} ${target.value}`,
          String(level),
          roughDuration(Math.max(0, untilAt - now)),
          decryptedInto ?? "",
        ]),
      ),
    );
  }
  return traces.length > 0 ? exitCodes.ok : exitCodes.nothing;
}

function setText({ target, level, untilAt, decryptedInto }: TraceShown, world: World): string {
  const until = instantText(untilAt, world.offsetMinutes);
  const into = decryptedInto === undefined ? "" : `; decrypted content goes into ${decryptedInto}`;
  return `TLS of ${target.by} ${target.value} is traced at level ${level} until ${until}${into}\n`;
}
