import { z } from "zod";
import { count, duration, hostName } from "../../../service/config/kinds.ts";
import { signingSourceSettings } from "../../../service/signing/settings.ts";

/** What becomes of mail for which the DNS can't be asked. */
const onTemporary = z
  .enum(["accept", "defer"])
  .default("accept")
  .describe(
    "What becomes of mail of which SPF or DMARC could not be found out now: it goes on (the field says temperror), or its sender is told to come again (451).",
  );

/** Whether mail is from whom it says. */
export const authenticateSettings = z.strictObject({
  authority: hostName()
    .optional()
    .describe(
      "The name in the Authentication-Results field; fields from outside that bear it are removed. Left out: the server's hostname.",
    ),
  submissions: z
    .boolean()
    .default(false)
    .describe(
      "Whether mail of clients that logged in, or of this host, is looked at too. Fields with our name are removed from it anyway.",
    ),
  spf: z
    .strictObject({
      check: z.boolean().default(true).describe("Whether SPF is asked at all."),
      at: z
        .enum(["message", "rcpt"])
        .default("message")
        .describe("When it is judged: with the whole mail, or at the first recipient, before the content comes."),
      helo: z.boolean().default(true).describe("Whether the name in HELO is asked about too."),
      onFail: z
        .enum(["accept", "quarantine", "reject"])
        .default("accept")
        .describe(
          "What becomes of mail whose sender's domain says that this client may not send for it. `reject` also meets forwarded mail; DMARC is the better judge.",
        ),
      onHeloFail: z.enum(["accept", "reject"]).default("accept").describe("The same for the name in HELO."),
      receivedSpf: z
        .boolean()
        .default(false)
        .describe("Whether mail gets a Received-SPF field as well (RFC 7208 section 9.1)."),
    })
    .prefault({})
    .describe("SPF (RFC 7208)."),
  dkim: z
    .strictObject({
      mostSignatures: count({ min: 1, max: 50 }).default(8).describe("How many signatures of a mail are looked at."),
      acceptPartial: z
        .boolean()
        .default(false)
        .describe(
          "Whether a signature counts that covers only the beginning of the body (l=): anybody can add to such mail.",
        ),
    })
    .prefault({})
    .describe("DKIM (RFC 6376, RFC 8463)."),
  dmarc: z
    .enum(["none", "quarantine", "reject", "as-published"])
    .default("as-published")
    .describe(
      "What becomes of mail that fails DMARC: nothing; quarantine, or a refusal, wherever its domain publishes quarantine or reject; or what the domain publishes.",
    ),
  trustedSealers: z
    .array(hostName())
    .default([])
    .describe(
      "Domains of forwarders and lists that we believe when they sealed (ARC) that DMARC had passed before they changed the mail.",
    ),
  onTemporary,
  reports: z
    .boolean()
    .default(false)
    .describe(
      "Whether results are collected for the daily reports that domains ask for (rua). They are sent where `dmarcReports` says from whom.",
    ),
});
export type AuthenticateSettings = z.output<typeof authenticateSettings>;

/** RFC 6376 section 5.4.1, and what today's mail shows. */
const SIGNED = [
  "resent-from",
  "resent-to",
  "resent-cc",
  "resent-date",
  "resent-message-id",
  "in-reply-to",
  "references",
  "mime-version",
  "content-type",
  "content-transfer-encoding",
  "content-id",
  "content-description",
  "list-id",
  "list-help",
  "list-unsubscribe",
  "list-unsubscribe-post",
  "list-subscribe",
  "list-post",
  "list-owner",
  "list-archive",
];
const OVERSIGNED = ["from", "to", "cc", "subject", "date", "reply-to", "message-id", "sender"];

const fieldNames = z.array(
  z
    .string()
    .regex(/^[\x21-\x39\x3c-\x7e]{1,76}$/, "expected the name of a header field")
    .transform((name) => name.toLowerCase()),
);

const canonicalization = z.enum(["relaxed", "simple"]).default("relaxed");

/** DKIM signatures, and seals of forwarded mail. */
export const signSettings = z
  .strictObject({
    ...signingSourceSettings,
    whose: z
      .enum(["own", "everybody"])
      .default("own")
      .describe(
        "Whose mail is signed: that of clients which logged in or are on this host; or that of everybody this filter's `match` lets through, which must then keep strangers out: they write any From they like.",
      ),
    subdomains: z
      .boolean()
      .default(true)
      .describe("Whether mail from below a domain that has a key (user@host.example.org) is signed in its name."),
    signed: fieldNames
      .default(SIGNED)
      .describe("Header fields that are signed where a mail has them, every one of them."),
    oversigned: fieldNames
      .default(OVERSIGNED)
      .describe("Fields that are signed once more than they are there, so that nobody can add one. From always is."),
    header: canonicalization.describe(
      "How the header is canonicalised (c=). `simple` breaks where a space is changed.",
    ),
    body: canonicalization.describe("How the body is."),
    expires: duration({ min: "1h", max: "90d" })
      .optional()
      .describe("How long a signature is valid (x=). Left out: without end."),
    seal: hostName()
      .optional()
      .describe(
        "Mail that comes from others is sealed (ARC) with the keys of this domain, so that whoever it is forwarded to can see what we saw. Needs an `authenticate` filter before this one.",
      ),
    authority: hostName()
      .optional()
      .describe(
        "Whose Authentication-Results field is sealed: the authority of the `authenticate` filter. Left out: the server's hostname.",
      ),
  })
  .refine(({ keys, keyTable }) => keys.length > 0 || keyTable !== undefined, { error: "expected keys, or keyTable" })
  .refine(({ keyTable, keyFolder }) => keyTable === undefined || keyFolder !== undefined, {
    error: "keyTable needs keyFolder, where its files are",
    path: ["keyTable"],
  });
export type SignSettings = z.output<typeof signSettings>;

/** Daily reports on DMARC to the domains that ask for them. */
export const dmarcReportsSettings = z
  .strictObject({
    from: z
      .email({ error: "expected an e-mail address" })
      .describe(
        "Who sends the reports; bounces come back there. Its domain should sign: reports are mail like any other.",
      ),
    organization: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe("Who we are, in the reports. Left out: the server's hostname."),
    contact: z
      .email({ error: "expected an e-mail address" })
      .optional()
      .describe("Whom to ask about a report. Left out: `from`."),
  })
  .optional()
  .describe(
    "Daily reports on DMARC to domains that ask for them (rua), on what `authenticate` filters with `reports: true` saw. Left out: nobody gets any.",
  );
