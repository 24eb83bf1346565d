import { z } from "zod";
import { absolutePath, duration, size } from "../../service/config/kinds.ts";

/** Where the log goes. `auto`: stdout in the foreground, syslog(3) in the background. */
export type LogTarget =
  | { readonly kind: "auto" }
  | { readonly kind: "stdout" }
  | { readonly kind: "syslog" }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

const ALLOWED =
  "auto, stdout, syslog, file:/path, syslog+udp://host:514, syslog+tcp://host:601 or syslog+unix:/path (the last three: RFC 5424)";

export function parseLogTarget(text: string): LogTarget | undefined {
  if (text === "auto" || text === "stdout" || text === "syslog") return { kind: text };
  const path = /^(file|syslog\+unix):(\/.*|\.{1,2}\/.*)$/.exec(text);
  if (path?.[2] !== undefined) return { kind: path[1] === "file" ? "file" : "unix", path: path[2] };
  const address = /^syslog\+(udp|tcp):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([^:/[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = address?.[2] ?? address?.[3];
  if (address === null || host === undefined) return undefined;
  const kind = address[1] === "udp" ? "udp" : "tcp";
  const port = address[4] === undefined ? (kind === "udp" ? 514 : 601) : Number(address[4]);
  return port >= 1 && port <= 65_535 ? { kind, host, port } : undefined;
}

function logTarget(): z.ZodType<LogTarget, string> {
  return z
    .string()
    .transform((text, context) => {
      const target = parseLogTarget(text);
      if (target !== undefined) return "path" in target ? { ...target, path: absolutePath(target.path) } : target;
      context.addIssue({ code: "custom", message: `expected ${ALLOWED}` });
      return z.NEVER;
    })
    .meta({ kind: "log target" });
}

export const logSettings = z
  .strictObject({
    to: logTarget().prefault("auto").describe(`Where the log goes: ${ALLOWED}.`),
    format: z
      .enum(["line", "json"])
      .default("line")
      .describe("Lines as Postfix writes them, or one JSON object a line."),
    level: z
      .enum(["error", "warning", "info", "debug"])
      .default("info")
      .describe(
        "The least urgent level that is written to the log; the journal has everything from `info` on. The option -v means debug, for both.",
      ),
    timestamps: z
      .enum(["classic", "iso"])
      .default("classic")
      .describe("`Nov 21 03:04:05` or `2026-11-21T03:04:05.123+01:00` at the start of a line."),
    buffer: size({ min: "64KiB", max: "256MiB" })
      .prefault("4MiB")
      .describe("How much may wait for a slow or stuck sink before lines are dropped, debug first, and counted."),
  })
  .prefault({});

export const journalSettings = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe("Whether events are kept in the SQLite journal that `posthorn log` reads."),
    retention: duration({ min: "1h", max: "3650d" }).prefault("30d").describe("How long events are kept."),
    size: size({ min: "16MiB", max: "1024GiB" })
      .prefault("4GiB")
      .describe("The journal's largest size, recorded inputs included; beyond it the oldest events go first."),
    inputs: z
      .strictObject({
        enabled: z.boolean().default(true).describe("Whether the scheduler's inputs are recorded, for exact replays."),
        retention: duration({ min: "1h", max: "365d" }).prefault("2d").describe("How long inputs are kept."),
        size: size({ min: "1MiB", max: "64GiB" })
          .prefault("256MiB")
          .describe("The largest total of recorded inputs, which never take more than half of `journal.size`."),
      })
      .prefault({})
      .describe("The scheduler's inputs in replayable form."),
    buffer: size({ min: "64KiB", max: "256MiB" })
      .prefault("16MiB")
      .describe(
        "How much may wait for the journal's disk before events are dropped, debug first, and counted. When half of it is taken, details of TLS connections are left out.",
      ),
  })
  .prefault({});

export type LogSettings = z.output<typeof logSettings>;
export type JournalSettings = z.output<typeof journalSettings>;
