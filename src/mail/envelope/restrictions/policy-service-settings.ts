import { z } from "zod";
import { count, duration, oneOrMore } from "../../../service/config/kinds.ts";
import { parsePolicyAction } from "../../../protocol/policy/answer.ts";
import { parseServerAddress } from "../../../service/table/pool/server-address.ts";

/** `inet:127.0.0.1:10023`, `unix:/path`, as Postfix writes them, or without the word in front; in the code without it. */
function policyServer(): z.ZodType<string, string> {
  const expected = "inet:host:port or unix:/path";
  return z
    .string()
    .transform((text, context): string => {
      const [, word, rest = ""] = /^(?:(inet|unix):)?(.*)$/s.exec(text) ?? [];
      const address = parseServerAddress(rest);
      const isRight =
        address.ok &&
        (address.value.kind === "unix"
          ? word !== "inet"
          : word !== "unix" && address.value.port !== undefined && address.value.scheme === undefined);
      if (isRight) return rest;
      context.addIssue({ code: "custom", message: `expected ${expected}` });
      return z.NEVER;
    })
    .meta({ kind: expected });
}

const whole = z.strictObject({
  at: oneOrMore(policyServer()).describe(
    "Where it listens: `inet:127.0.0.1:10023` or `unix:/path`. Of several the next is asked while those before it cannot be reached.",
  ),
  context: z
    .string()
    .max(200)
    .regex(/^[\x20-\x7e]+$/, "expected printable ASCII")
    .optional()
    .describe("Told to it as `policy_context`, so that one server can have several policies."),
  timeout: duration({ min: "100ms", max: "5m" })
    .prefault("10s")
    .describe("How long one question may take, with the wait for a connection."),
  default: z
    .string()
    .refine((text) => parsePolicyAction(text).ok, { error: "expected an action such as DUNNO or 451 4.3.5 text" })
    .optional()
    .describe(
      "What it is taken to have said when it cannot be asked: `DUNNO` goes on without it. Left out: 451, unless something behind it refuses for good.",
    ),
  filters: z
    .record(z.string(), z.string())
    .default({})
    .describe(
      "What its FILTER means: from its words (`smtp:[127.0.0.1]:10025`) to the name of an action. The name of an action itself needs no entry; anything else is a failure.",
    ),
  connections: count({ min: 1, max: 100 }).default(20).describe("The most connections at once, of each process."),
  idle: duration({ min: "1s", max: "1h" })
    .prefault("5m")
    .describe("A connection that was not used for so long is closed."),
});

export const policyServiceSettings = z.union([
  policyServer().transform((at) => whole.parse({ at: at.startsWith("/") ? `unix:${at}` : at })),
  whole,
]);
export type PolicyServiceSettings = z.output<typeof whole>;
