import { ipv4Number } from "./ipv4-number.ts";
import { isIP } from "node:net";
import { z } from "zod";
import { count, duration, hostName, oneOrMore } from "../../../service/config/kinds.ts";

/** IPv4 addresses from one to another, as numbers. */
export interface AnswerRange {
  readonly from: number;
  readonly to: number;
}

/** `127.0.0.2` or `127.0.0.4-127.0.0.11` */
function answerRange(): z.ZodType<AnswerRange, string> {
  const allowed = "an answer such as 127.0.0.2, or a range such as 127.0.0.4-127.0.0.11";
  return z
    .string()
    .transform((text, context): AnswerRange => {
      const [first = "", last = first, ...more] = text.split("-").map((part) => part.trim());
      const range = { from: ipv4Number(first), to: ipv4Number(last) };
      if (more.length === 0 && isIP(first) === 4 && isIP(last) === 4 && range.from <= range.to) return range;
      context.addIssue({ code: "custom", message: `expected ${allowed}` });
      return z.NEVER;
    })
    .meta({ kind: allowed });
}

const whole = z.strictObject({
  zone: hostName().describe("The list's zone in the DNS."),
  of: z
    .enum(["client", "client-name", "helo", "sender"])
    .default("client")
    .describe("What is looked up: the client's address, its name, the name in EHLO, or the sender's domain."),
  answers: oneOrMore(answerRange())
    .optional()
    .describe(
      "Which answers count: `127.0.0.2`, `127.0.0.4-127.0.0.11`. Without it: all in 127.0.0.0/8. 127.255.255.0/24 never counts: lists tell trouble by it.",
    ),
  weight: count({ min: -1000, max: 1000 })
    .default(1)
    .describe(
      "What it adds to the total when it has an entry; less than nothing for a list of those who may be trusted.",
    ),
});

const list = z.union([hostName().transform((zone) => whole.parse({ zone })), whole]);
export type DnsList = z.output<typeof whole>;

export const dnsListSettings = z
  .strictObject({
    lists: z.array(list).min(1).max(64).describe("The lists: zones, or zones with answers and weight."),
    reject: count({ min: 1, max: 10_000 }).default(1).describe("From which total on the mail is refused."),
    defer: count({ min: 1, max: 10_000 })
      .optional()
      .describe("From which total on it has to come again, 450. Without it: never."),
    timeout: duration({ min: "100ms", max: "30s" })
      .prefault("5s")
      .describe("How long all lists together may take; those that have not answered by then count nothing."),
  })
  .refine(({ reject, defer = 0 }) => defer < reject, {
    error: "what is refused is never deferred: expected less than reject",
    path: ["defer"],
  });
export type DnsListSettings = z.output<typeof dnsListSettings>;
