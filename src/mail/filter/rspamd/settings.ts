import { z } from "zod";
import { oneOrMore, path, secret } from "../../../service/config/kinds.ts";
import { HTTP_SERVER_KIND, httpServer } from "../scanner/http-server.ts";
import { addressOr, BAD_MAIL_FATES, scannerWaits } from "../scanner/settings.ts";

const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]{1,76}$/;
/** A header of HTTP. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,76}$/;

/** rspamd, over HTTP: its normal worker, or its proxy. */
export const rspamdSettings = addressOr(
  z.strictObject({
    servers: oneOrMore(httpServer("/checkv2")).describe(
      "Where rspamd speaks HTTP, asked in this order: `http://127.0.0.1:11333`, `https://…` where something in front of it encrypts, or unix: and a socket's path.",
    ),
    password: secret().optional().describe("The password that the worker wants. Better kept in a file of its own."),
    passwordFile: path().optional().describe("A file with the password, in its first line."),
    tlsCa: path()
      .optional()
      .describe(
        "A file with the authorities that an https server's certificate is verified with. Left out: the system's.",
      ),
    settingsId: z
      .string()
      .regex(/^[\x21-\x7e]{1,100}$/, "expected a word")
      .optional()
      .describe("Which of rspamd's settings are to be applied (Settings-ID)."),
    headers: z
      .record(z.string().regex(TOKEN, "expected the name of an HTTP header"), z.string().max(1000))
      .default({})
      .describe("More headers of the question, such as MTA-Tag."),
    onReject: z
      .enum([...BAD_MAIL_FATES, "mark", "accept"])
      .default("refuse")
      .describe("What becomes of mail that rspamd would reject."),
    onSoftReject: z
      .enum(["defer", "accept"])
      .default("defer")
      .describe("What becomes of mail that is to come again later, for greylisting or a rate."),
    onGreylist: z
      .enum(["accept", "defer"])
      .default("accept")
      .describe(
        "What `greylist` means. rspamd's own module of that name asks for `soft reject` the first time; without that module nobody remembers, and mail that is deferred for `greylist` never arrives.",
      ),
    onAddHeader: z
      .enum(["mark", ...BAD_MAIL_FATES, "accept"])
      .default("mark")
      .describe("What becomes of mail that is to be marked as spam."),
    onRewriteSubject: z
      .enum(["rewrite", "mark", "accept"])
      .default("rewrite")
      .describe("Whether a subject that rspamd gives is taken, or the mail is marked instead."),
    spamHeader: z
      .string()
      .regex(FIELD_NAME, "expected the name of a header field")
      .default("X-Spam")
      .describe("The field that marks spam, with the value Yes. Where the client sent one it is taken out."),
    edits: z
      .boolean()
      .default(true)
      .describe(
        "Whether header fields, signatures, sender, recipients and bodies that rspamd gives are taken. Without it only its action counts, and the mark.",
      ),
    action: z
      .string()
      .optional()
      .describe("The action for mail that is marked, for all recipients, instead of the one that the rules chose."),
    ...scannerWaits("30s"),
  }),
  HTTP_SERVER_KIND,
);
export type RspamdSettings = z.output<typeof rspamdSettings>;
