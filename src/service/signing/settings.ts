import { z } from "zod";
import { hostName, path, tableName } from "../config/kinds.ts";

/** One label of a DNS name, or a few with dots between: `mail`, `2026.mail`. */
const selector = z.string().regex(/^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*$/i, {
  error: "expected a selector of letters, digits and dashes",
});

/** Keys to sign mail with: written in place, or in a table. */
const signingKeySettings = z
  .strictObject({
    domain: hostName().describe("The domain that signs: d= of the signature."),
    selector: selector.describe("Under which name the DNS has the key: SELECTOR._domainkey.DOMAIN."),
    key: path().describe("The file of the private key in PEM form, RSA or Ed25519, without a passphrase."),
  })
  .describe("A key.");

export const signingSourceSettings = {
  keys: z
    .array(signingKeySettings)
    .default([])
    .describe("Keys. Several of one domain make several signatures: one of RSA and one of Ed25519."),
  keyTable: tableName()
    .optional()
    .describe("Keys in a table: a domain, and behind it `selector:file`, several with commas between."),
  keyFolder: path()
    .optional()
    .describe("Where the files are that the table names; they can't be anywhere else. Needed with keyTable."),
} as const;

/** What a filter that signs says of its keys. */
export interface SigningSource {
  readonly keys: readonly { readonly domain: string; readonly selector: string; readonly key: string }[];
  readonly keyTable?: string | undefined;
  readonly keyFolder?: string | undefined;
}
