import { z } from "zod";
import { path } from "../../service/config/kinds.ts";

/** A made-up session and what it is to come to: what stands in `cases.yaml`, and what `policyTest` takes. */

const several = z.union([z.string(), z.array(z.string())]).transform((given) => [given].flat());
const record = z.union([z.string(), z.array(z.string())]);

const filterAnswer = z.union([
  z.enum(["accept", "reject", "defer", "discard", "quarantine"]),
  z.strictObject({
    verdict: z.enum(["accept", "reject", "defer", "discard", "quarantine"]).default("accept"),
    at: z
      .enum(["connect", "helo", "auth", "mail", "rcpt", "data", "message"])
      .default("message")
      .describe("The stage it says this at."),
    code: z.number().int().min(400).max(599).optional().describe("Of its refusal: 550, or 451 to defer."),
    text: z.string().optional().describe("Of its refusal."),
    because: z.string().optional().describe("For the log, and of a quarantine."),
    tags: z.array(z.string()).optional().describe("Tags that it gives."),
    header: z.record(z.string(), z.string()).optional().describe("Header fields that it adds."),
    action: z.string().optional().describe("The action that it chooses."),
  }),
]);

/** Who comes with which mail, and what the world around says. */
export const trialShape = {
  listener: z
    .string()
    .optional()
    .describe("Where the client comes in: the listener's name. The first one, if it is left out."),
  client: z.string().default("192.0.2.1").describe("Its address, or `local` for a unix socket."),
  clientName: z.string().optional().describe("Its name, as the DNS would confirm it. Else `dns` says it."),
  helo: z.string().default("client.example").describe("What it says in EHLO (or LHLO)."),
  tls: z
    .union([
      z.boolean(),
      z.strictObject({
        version: z.string().default("TLSv1.3").describe("The protocol."),
        certificate: z
          .strictObject({
            subject: z.string().default("CN=client").describe("One line."),
            names: z.array(z.string()).default([]).describe("Its DNS names."),
            fingerprint: z.string().optional().describe("SHA-256, hex."),
            verified: z.boolean().default(true).describe("Whether it verifies."),
          })
          .optional()
          .describe("What the client shows."),
      }),
    ])
    .optional()
    .describe("Whether its connection is encrypted. Left out: where it logs in."),
  auth: z.string().optional().describe("The account that it logs in to; its password is right."),
  from: z.string().default("sender@example.com").describe("The sender; `<>` or nothing is the null sender."),
  parameters: z.array(z.string()).default([]).describe("Of MAIL, such as `BODY=8BITMIME`."),
  to: several.describe("The recipient, or a list of them."),
  message: z.string().optional().describe("The whole mail, header and body."),
  file: path().optional().describe("A file with the whole mail."),
  fields: z.record(z.string(), record).default({}).describe("Header fields of a mail that is made up otherwise."),
  body: z.string().default("Hello.\n").describe("Its body."),
  dns: z
    .record(z.string(), z.union([z.enum(["none", "fail"]), z.record(z.string(), record)]))
    .default({})
    .describe(
      'Answers of the DNS by name, or by address for PTR: `{ example.org: { MX: 10 mx.example.org } }`; `none` for a name that is not there, with all below it, and `"*": none` for all others; `fail` for one that cannot be looked up.',
    ),
  tables: z
    .record(z.string(), z.record(z.string(), z.string()))
    .default({})
    .describe(
      "What tables hold that are elsewhere (databases, programs), by the table's name; for others it goes before their own.",
    ),
  filters: z
    .record(z.string(), filterAnswer)
    .default({})
    .describe("What filters answer that would need the network, by name; others may be answered for, too."),
  policy: z.string().optional().describe("What policy services answer: `DUNNO`, `REJECT …`."),
  greylisted: z.boolean().default(false).describe("Whether greylisting sees the client for the first time."),
  callout: z
    .enum(["taken", "refused"])
    .optional()
    .describe("What the next host says to a recipient that is verified there."),
  at: z.string().optional().describe("When it is: `2026-11-21T12:00:00Z`. Left out: now."),
} as const;

const trialSettings = z.strictObject(trialShape);
export type Trial = z.output<typeof trialSettings>;
export type TrialInput = z.input<typeof trialSettings>;

const VERDICTS = ["accept", "reject", "defer", "discard", "quarantine", "disconnect"] as const;
export type TrialVerdict = (typeof VERDICTS)[number];

const word = z.string().describe("");
/** Text that must occur, or a `/pattern/`. */
const pattern = z.string();

export const expectationSettings = z
  .union([
    z.enum(VERDICTS),
    z.strictObject({
      verdict: z
        .enum(VERDICTS)
        .optional()
        .describe("What becomes of the mail; of several recipients `accept` means at least one."),
      stage: z
        .enum(["connect", "helo", "auth", "mail", "rcpt", "data", "message"])
        .optional()
        .describe("Where it was decided."),
      code: z.number().int().optional().describe("The reply's code."),
      text: pattern.optional().describe("What the reply says, code and all: a part of it, or a `/pattern/`."),
      rule: word.optional().describe("The rule that decided: its name, or its number as the log shows it."),
      restriction: word.optional().describe("The restriction that refused."),
      because: pattern.optional().describe("What the log would say about the refusal or the quarantine."),
      action: several.optional().describe("The action that the recipients get, or the actions."),
      recipients: several.optional().describe("Whom the mail goes to in the end, aliases followed, in any order."),
      refused: several.optional().describe("Recipients that are refused, of several."),
      sender: z.string().optional().describe("The sender that the mail leaves reception with."),
      header: z
        .record(z.string(), pattern)
        .optional()
        .describe("Header fields of the mail that is kept: a part of the value, or a `/pattern/`."),
      absent: several.optional().describe("Header fields that the mail that is kept may not have."),
      body: pattern.optional().describe("Of the mail that is kept: a part, or a `/pattern/`."),
      tags: several.optional().describe("Tags that filters gave; others may be there, too."),
    }),
  ])
  .transform((given) => (typeof given === "string" ? { verdict: given } : given));
export type Expectation = z.output<typeof expectationSettings>;
export type ExpectationInput = z.input<typeof expectationSettings>;

export const caseSettings = z.strictObject({
  name: z.string().optional().describe("What it shows, as a sentence."),
  ...trialShape,
  expect: expectationSettings.describe("What it is to come to: a word, or more."),
});

/** `cases.yaml` as a whole. */
export const caseFileSettings = z.strictObject({
  settings: path().optional().describe("The settings that are tried; else those that are given or found."),
  cases: z.array(caseSettings).describe("The cases, in order."),
});
