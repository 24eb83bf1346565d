import { z } from "zod";
import { duration } from "../../../service/config/kinds.ts";
import { MILTER_VERSIONS } from "../../../protocol/milter/negotiation.ts";
import { milterAddress } from "./milter-address.ts";

/** `daemon_name` or `{daemon_name}`; those of one letter stand without braces. */
const macroName = z.string().regex(/^(?:[A-Za-z0-9_]{1,60}|\{[A-Za-z0-9_]{1,60}\})$/, "expected a macro's name");
const macroNames = z.array(macroName);

const whole = z.strictObject({
  address: milterAddress().describe(
    "Where the milter listens: inet: with host and port, or unix: with a socket's path. The way that milters write it in their own settings (inet:8891@localhost, local:/path) will do too. Nothing is encrypted.",
  ),
  connectTimeout: duration({ min: "10ms", max: "1m" })
    .prefault("5s")
    .describe("How long connecting may take, and then agreeing on the protocol."),
  commandTimeout: duration({ min: "10ms", max: "5m" })
    .prefault("30s")
    .describe(
      "How long the milter may be silent about a command. When it says that it works on it, the wait begins anew; all of it together has the filter's `timeout`.",
    ),
  contentTimeout: duration({ min: "10ms", max: "8m" })
    .prefault("2m")
    .describe(
      "How long the milter may be silent about a field, a piece of the body, or the end of a mail; all of a mail together has the filter's `messageTimeout`.",
    ),
  protocol: z
    .union(MILTER_VERSIONS.map((version) => z.literal(version)))
    .default(6)
    .describe("The newest version of the protocol that is offered. Less than 6 only for milters that refuse it."),
  quarantine: z
    .enum(["quarantine", "accept", "reject", "discard"])
    .default("quarantine")
    .describe("What becomes of mail that the milter wants in quarantine."),
  macros: z
    .record(macroName, z.string())
    .default({})
    .describe(
      "Values of macros, instead of our own or besides them: {daemon_name: ORIGINATING}. Those that no list names are sent when a client connects.",
    ),
  macrosAt: z
    .strictObject({
      connect: macroNames.optional(),
      helo: macroNames.optional(),
      mail: macroNames.optional(),
      rcpt: macroNames.optional(),
      data: macroNames.optional(),
      endOfHeader: macroNames.optional(),
      endOfMessage: macroNames.optional(),
    })
    .default({})
    .describe(
      "The names of the macros that are sent at a stage, instead of the usual ones. A milter that chooses its macros itself gets those that it chose.",
    ),
});

const address = milterAddress()
  .transform((at) => ({ ...whole.parse({ address: at.text }) }))
  .meta({ kind: "inet:host:port, or unix:/path" });

/** A milter: its address alone, or with more. */
export const milterSettings: z.ZodType<z.output<typeof whole>, string | z.input<typeof whole>> = z.union([
  address,
  whole,
]);
export type MilterSettings = z.output<typeof whole>;
