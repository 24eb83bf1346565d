import { z } from "zod";
import { count, duration, size } from "../../service/config/kinds.ts";

/**
 * The world that mail is sent into, as plain data: hosts and how they behave, domains and where their mail goes. All
 * instants are told from the beginning of the run. Every field has a default: `{}` is a host that takes everything.
 */
const share = () => z.number().min(0).max(1);
const code = () => count({ min: 400, max: 599 });

const reply = (usual: { code: number; status?: string; text: string }) =>
  z
    .strictObject({
      code: code().default(usual.code).describe("The reply's code."),
      status: z
        .string()
        .regex(/^([245]\.\d{1,3}\.\d{1,3})?$/)
        .default(usual.status ?? "")
        .describe("The enhanced status code; empty where the host says none."),
      text: z.string().max(400).default(usual.text).describe("The reply's words."),
    })
    .prefault({});
export type ReplyModel = z.output<ReturnType<typeof reply>>;

const period = {
  from: duration().prefault("0s").describe("When it begins."),
  until: duration().optional().describe("When it ends. Without it: never."),
  every: duration({ min: "1m" }).optional().describe("After how long it begins again: 24h for a time of day."),
};
export interface Period {
  readonly from: number;
  readonly until?: number | undefined;
  readonly every?: number | undefined;
}

const greylisting = z.strictObject({
  by: z
    .enum(["client", "spamd", "triplet"])
    .describe(
      "What it remembers: the client alone; as OpenBSD's spamd, where one tuple of client, sender and recipient that came again admits the client; or each triplet for itself.",
    ),
  wait: duration().prefault("5m").describe("How long who is new has to wait; for spamd 25m is usual."),
  window: duration().prefault("4h").describe("After this a first attempt is forgotten, and the wait begins anew."),
  memory: duration().prefault("36d").describe("How long who has passed may send without waiting."),
  restarts: z.boolean().default(false).describe("Each attempt within the wait begins it anew."),
  tells: z.boolean().default(false).describe("The reply tells how long is left: `{}` in its words."),
  reply: reply({ code: 450, text: "Greylisted, please try again later" }).describe("What it says."),
});
export type GreylistingModel = z.output<typeof greylisting>;

const reachable = z
  .enum(["works", "refuses", "hangs", "none"])
  .describe("Whether it has such an address, and what becomes of connections there.");

export const hostModel = z.strictObject({
  count: count({ min: 1, max: 1_000_000 }).default(1).describe("How many hosts of this kind there are."),
  ipv4: reachable.default("works"),
  ipv6: reachable.default("none"),
  addresses: count({ min: 1, max: 16 }).default(1).describe("How many addresses of each family a host has."),
  latency: duration({ max: "1m" }).prefault("40ms").describe("The time of a round trip."),
  bandwidth: size({ min: "1KiB" }).prefault("10MiB").describe("Bytes a second of content."),
  slow: z
    .strictObject({
      greeting: duration().prefault("0s").describe("Before the greeting."),
      command: duration().prefault("0s").describe("Before each answer to a command."),
      recipient: duration().prefault("0s").describe("Before each answer to RCPT, besides."),
      end: duration().prefault("0s").describe("Before the answer to the end of the content."),
    })
    .prefault({})
    .describe("How long its answers take: a tarpit."),
  greylisting: greylisting.optional().describe("It greylists."),
  connections: z
    .strictObject({
      most: count({ min: 0, max: 1_000_000 }).optional().describe("Most connections of everybody."),
      perClient: count({ min: 0, max: 1_000_000 }).optional().describe("Most connections of one client address."),
      beyond: z.enum(["421", "refuses", "hangs"]).default("421").describe("What becomes of those beyond."),
    })
    .optional()
    .describe("How many connections it takes."),
  rate: z
    .strictObject({
      most: count({ min: 1, max: 10_000_000 }).describe("Recipients in each `per`."),
      per: duration({ min: "1s" }).prefault("1m").describe("The time in which they are counted."),
      reply: reply({ code: 450, status: "4.7.1", text: "Too many messages, slow down" }).describe(
        "What those beyond are told; 421 closes the connection.",
      ),
    })
    .optional()
    .describe("How many recipients it takes of a client in a time."),
  drops: z
    .array(
      z.strictObject({
        at: z
          .enum(["connect", "greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"])
          .describe("Where the connection is cut."),
        likelihood: share().describe("How often, from 0 to 1."),
        ...period,
      }),
    )
    .default([])
    .describe("Connections that break."),
  storms: z
    .array(
      z.strictObject({
        at: z.enum(["greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"]).default("RCPT").describe("What it answers so."),
        likelihood: share().default(1).describe("How often, from 0 to 1."),
        reply: reply({ code: 451, status: "4.3.2", text: "Please come back later" }).describe("What it says."),
        ...period,
      }),
    )
    .default([])
    .describe("Times at which it refuses for now."),
  unknownUsers: share().default(0).describe("The share of recipients that do not exist there (550)."),
  fullMailboxes: share().default(0).describe("The share of recipients whose mailbox is full (452)."),
  recipients: z
    .array(
      z.strictObject({
        match: z.string().min(1).describe("The local part; `*` stands for anything."),
        reply: reply({ code: 550, status: "5.1.1", text: "No such user here" }).describe("What it says to RCPT."),
        ...period,
      }),
    )
    .default([])
    .describe("Recipients that it treats in their own way; the first that fits."),
  sources: z
    .array(
      z.strictObject({
        address: z.string().describe("Our address."),
        how: z.enum(["refuses", "hangs", "554"]).default("554").describe("What becomes of connections from there."),
        ...period,
      }),
    )
    .default([])
    .describe("Addresses of ours that it does not want."),
  down: z
    .array(z.strictObject({ how: z.enum(["hangs", "refuses"]).default("hangs").describe("In which way."), ...period }))
    .default([])
    .describe("When it cannot be reached."),
  closesAfter: count({ min: 1, max: 1_000_000 }).optional().describe("The mails after which it says 421 and closes."),
  announces: z
    .strictObject({
      pipelining: z.boolean().default(true).describe("PIPELINING."),
      chunking: z.boolean().default(true).describe("CHUNKING."),
      tls: z.enum(["no", "works", "fails"]).default("no").describe("STARTTLS, and whether the handshake works."),
      size: size().optional().describe("SIZE."),
      mostMails: count({ min: 1, max: 1_000_000 }).optional().describe("LIMITS MAILMAX (RFC 9422)."),
      mostRecipients: count({ min: 1, max: 1_000_000 }).optional().describe("LIMITS RCPTMAX."),
    })
    .prefault({})
    .describe("What its answer to EHLO says."),
  takesRecipients: count({ min: 1, max: 1_000_000 })
    .optional()
    .describe("Recipients that it takes in one mail, announced or not; those beyond get 452 4.5.3."),
});
export type HostModel = z.output<typeof hostModel>;

export const domainModel = z.strictObject({
  count: count({ min: 1, max: 10_000_000 })
    .default(1)
    .describe("How many domains of this kind there are: `name1.example`, `name2.example`, …"),
  mx: z
    .array(
      z.strictObject({
        host: z.string().describe("A kind of hosts. Of several, the n-th domain gets the n-th, over and over."),
        preference: count({ min: 0, max: 65_535 }).default(10).describe("Its preference."),
        shift: count({ min: 0, max: 1_000_000 }).default(0).describe("Which of several: so many further on."),
      }),
    )
    .default([])
    .describe("Its mail exchangers. None: the domain takes no mail (a null MX)."),
  dns: z
    .strictObject({
      takes: duration().prefault("20ms").describe("How long looking its hosts up takes."),
      fails: z
        .enum(["servfail", "timeout", "no-such-domain"])
        .optional()
        .describe("What comes of it instead of an answer."),
      likelihood: share().default(1).describe("How often it fails so."),
      ...period,
      freshFor: duration({ min: "1s" }).prefault("1h").describe("How long an answer is good."),
    })
    .prefault({})
    .describe("Its DNS."),
});
export type DomainModel = z.output<typeof domainModel>;

export const worldSettings = z.strictObject({
  hosts: z
    .record(z.string().regex(/^[a-z][a-z0-9-]*$/), hostModel)
    .default({})
    .describe("Kinds of hosts, by name."),
  domains: z
    .record(z.string().regex(/^[a-z][a-z0-9.-]*$/), domainModel)
    .default({})
    .describe("Kinds of domains, by name; one whose name has a dot is a single domain of that name."),
});
export type WorldSettings = z.output<typeof worldSettings>;

/** Whether a period runs, so long after the beginning. */
export function isDuring({ from, until, every }: Period, sinceStartMs: number): boolean {
  if (sinceStartMs < from) return false;
  const length = (until ?? Infinity) - from;
  return (every === undefined ? sinceStartMs - from : (sinceStartMs - from) % every) < length;
}
