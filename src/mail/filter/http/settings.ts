import { z } from "zod";
import { oneOrMore, path, secret } from "../../../service/config/kinds.ts";
import { HTTP_SERVER_KIND, httpServer } from "../scanner/http-server.ts";
import { addressOr, scannerWaits } from "../scanner/settings.ts";

const STAGES = ["connect", "helo", "auth", "mail", "rcpt", "data", "message"] as const;

/** A program of the operator's own behind HTTP. */
export const httpHookSettings = addressOr(
  z.strictObject({
    servers: oneOrMore(httpServer("/")).describe(
      "Where events are posted to, asked in this order: `https://hooks.example.org/mail`, `http://` on networks that nobody else reads, or unix: and a socket's path. Redirects are not followed.",
    ),
    stages: z
      .array(z.enum(STAGES))
      .min(1, "expected at least one stage")
      .default(["message"])
      .describe("At which stages of the dialogue it is asked."),
    content: z
      .enum(["header", "base64", "multipart"])
      .default("header")
      .describe(
        "What is shown of a mail at `message`: the fields of its header; with them the whole mail in the JSON, as base64; or the whole mail as a second part of a form, message/rfc822.",
      ),
    secret: secret().optional().describe("What questions are signed with. Better kept in a file of its own."),
    secretFile: path()
      .optional()
      .describe(
        "A file with the secret that questions are signed with (HMAC-SHA256), in its first line: text, or `whsec_` and base64.",
      ),
    tlsCa: path()
      .optional()
      .describe(
        "A file with the authorities that an https server's certificate is verified with. Left out: the system's.",
      ),
    ...scannerWaits("30s"),
  }),
  HTTP_SERVER_KIND,
);
export type HttpHookSettings = z.output<typeof httpHookSettings>;
