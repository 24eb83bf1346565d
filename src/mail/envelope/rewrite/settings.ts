import { z } from "zod";
import { count, duration, hostName, oneOrMore, path, tableOrList } from "../../../service/config/kinds.ts";
import { foldDomain } from "../../../service/table/pattern.ts";
import { parseSenderOverride, type SenderOverride } from "./sender-override.ts";
import { parseVerpDelimiters, usualVerp, type VerpDelimiters } from "./verp.ts";

/** `as` of an action. */
export function senderOverride(): z.ZodType<SenderOverride, string> {
  return z
    .string()
    .transform((text, context): SenderOverride => {
      const parsed = parseSenderOverride(text);
      if (parsed.ok) return parsed.value;
      context.addIssue({ code: "custom", message: `expected ${parsed.problem.expected}` });
      return z.NEVER;
    })
    .meta({ kind: "an address, @ and a domain, or the part in front of @" });
}

/** `verp` of an action: yes, no, or with which delimiters. */
export function verpChoice(): z.ZodType<VerpDelimiters | false, boolean | string> {
  return z.union([
    z.boolean().transform((isWanted): VerpDelimiters | false => isWanted && usualVerp),
    verpDelimiters(),
  ]);
}

function verpDelimiters(): z.ZodType<VerpDelimiters, string> {
  return z
    .string()
    .transform((text, context): VerpDelimiters => {
      const delimiters = parseVerpDelimiters(text);
      if (delimiters !== undefined) return delimiters;
      context.addIssue({ code: "custom", message: "expected two characters of - = +, such as +=" });
      return z.NEVER;
    })
    .meta({ kind: "two characters of - = +" });
}

export const verpSettings = z
  .strictObject({
    senders: tableOrList()
      .optional()
      .describe(
        "Senders whose mail gets a sender of its own for each recipient: bounces@list.example becomes bounces+user=example.org@list.example. Other mail: by `verp` of an action, or when a client asks with XVERP.",
      ),
    delimiters: verpDelimiters()
      .default(usualVerp)
      .describe("What stands in front of the recipient, and what instead of its @: two characters of - = +."),
    clients: z
      .enum(["none", "local", "authenticated"])
      .default("none")
      .describe(
        "Who may ask for it with XVERP in MAIL: nobody, programs of this host, or those and clients that have logged in.",
      ),
  })
  .prefault({})
  .describe("Variable envelope return paths: bounces that say whom they are about.");
export type VerpSettings = z.output<typeof verpSettings>;

/**
 * Present: forwarded mail of others leaves with a sender of ours. The secrets leave the settings when they are read: see
 * `Secrets`.
 */
export const srsSettings = z
  .strictObject({
    domain: hostName()
      .optional()
      .describe(
        "The domain of the senders that we make: its mail must come here, and its SPF record must name this host. Without it: the host name.",
      ),
    secretFiles: oneOrMore(path())
      .optional()
      .describe(
        "Files with a secret on the first line: the first one signs, all of them verify. Without it the server makes one: `srs-secret` in the state directory.",
      ),
    separator: z.enum(["=", "+", "-"]).default("=").describe("What follows SRS0 and SRS1 in what we write."),
    hash: z
      .enum(["sha1", "sha256"])
      .default("sha1")
      .describe("The hash of the signature; sha1 is what other programs with the same secret understand."),
    hashLength: count({ min: 4, max: 20 }).default(4).describe("Characters of the signature."),
    maxAge: duration({ min: "1d", max: "365d" })
      .prefault("21d")
      .describe("How long bounces may come back to such an address."),
    longLocalParts: z
      .enum(["send", "keep"])
      .default("send")
      .describe(
        "What is done where the part in front of @ would have more than the 64 octets of RFC 5321: send it, as most servers take it, or keep the sender that the mail came with.",
      ),
  })
  .optional()
  .describe(
    "The sender rewriting scheme: mail from elsewhere that aliases or users forward to elsewhere leaves with a sender of ours, so that its SPF check does not fail, and bounces to it find their way back. Without it the sender stays.",
  );
export type SrsSettings = z.output<typeof srsSettings>;

const CLASSES = ["envelope-sender", "header-sender", "header-recipient"] as const;

export const masqueradeSettings = z
  .strictObject({
    domains: z
      .array(
        z
          .string()
          .regex(/^!?[^\s!@.][^\s!@]*$/, "expected a domain, or ! and a domain")
          .transform((text) => (text.startsWith("!") ? `!${foldDomain(text.slice(1))}` : foldDomain(text))),
      )
      .default([])
      .describe(
        "Domains that stand for all hosts below them: pc.example.org becomes example.org. The first entry that a name is below decides; one with ! keeps the name.",
      ),
    exceptions: z
      .array(z.string().min(1))
      .default([])
      .describe("Users whose addresses stay as they are, such as root."),
    classes: z
      .array(z.enum(CLASSES))
      .default(["envelope-sender", "header-sender", "header-recipient"])
      .describe(
        "What is changed: the sender of the envelope; From, Sender, Reply-To and where receipts go; To, Cc, Bcc. Resent fields go with them.",
      ),
    listeners: z
      .array(z.string())
      .optional()
      .describe("The listeners whose mail is changed. Without it: those with protocol submission."),
  })
  .prefault({})
  .describe(
    "Hides the names of single hosts in mail that our own users submit. Mail with a DKIM signature keeps its header.",
  );
export type MasqueradeSettings = z.output<typeof masqueradeSettings>;
