import { z } from "zod";
import { oneOrMore, rate } from "../../../service/config/kinds.ts";
import { parseDuration, parseSize, type Rate } from "../../../foundation/units.ts";

export const RATE_SUBJECTS = [
  "address",
  "network",
  "account",
  "helo",
  "sender",
  "sender-domain",
  "recipient",
  "recipient-domain",
  "listener",
] as const;
export type RateSubject = (typeof RATE_SUBJECTS)[number];

/** `50MiB/h`: bytes in a time. */
function bytesRate(): z.ZodType<Rate, string> {
  const expected = "a size in a time, such as 50MiB/h or 1GiB/1d";
  return z
    .string()
    .transform((text, context): Rate => {
      const [, written = "", per = ""] = /^([^/]+?)\s*\/\s*(\S+)$/.exec(text.trim()) ?? [];
      const bytes = parseSize(written);
      const time = parseDuration(/^\d/.test(per) ? per : `1${per}`);
      if (bytes.ok && time.ok && bytes.value > 0 && time.value >= 1000 && time.value <= 86_400_000)
        return { count: bytes.value, perMs: time.value };
      context.addIssue({ code: "custom", message: `expected ${expected}; a day at most` });
      return z.NEVER;
    })
    .meta({ kind: expected });
}

const by = oneOrMore(z.enum(RATE_SUBJECTS)).describe(
  "Whose mail is counted: of a client's address, its network, the account that logged in, the name in EHLO, the sender or its domain, the recipient or its domain, or of the listener as a whole. Several: each combination for itself. Who has none of it (no account) is not counted.",
);
const networks = {
  ipv4Prefix: z.number().int().min(8).max(32).default(24).describe("How long a network of IPv4 addresses is."),
  ipv6Prefix: z.number().int().min(16).max(128).default(64).describe("How long a network of IPv6 addresses is."),
};

export const rateSettings = z.union([
  z.strictObject({
    by,
    count: z.literal("bytes").describe("What is counted: the size of mails, when their content has come."),
    limit: bytesRate().describe("How much in which time: `500MiB/h`. One mail is never too large for it alone."),
    ...networks,
  }),
  z.strictObject({
    by,
    count: z
      .enum(["recipients", "messages"])
      .default("recipients")
      .describe("What is counted: recipients as they are given, or mails, when their content is announced (DATA)."),
    limit: rate().describe("How many in which time: `100/h`, `2000/1d`."),
    ...networks,
  }),
]);
export type RateSettings = z.output<typeof rateSettings>;
