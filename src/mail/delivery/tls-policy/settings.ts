import { z } from "zod";
import { duration, hostName, oneOrMore, path, tableName } from "../../../service/config/kinds.ts";
import { parseFingerprint } from "../../../service/tls/fingerprint.ts";
import { checkedPolicy, parseLevel, parseMatchName, parsePolicy, type TlsLevel, type TlsPolicy } from "./policy.ts";
import { policyKey } from "./policy-key.ts";
import { TLS_VERSIONS } from "./protocols.ts";

/** What a parser of ours says becomes the setting's error. */
function taken<Value>(
  parse: (
    text: string,
  ) => { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly problem: string },
): z.ZodType<Value, string> {
  return z.string().transform((text, context): Value => {
    const parsed = parse(text);
    if (parsed.ok) return parsed.value;
    context.addIssue({ code: "custom", message: parsed.problem });
    return z.NEVER;
  });
}

const fingerprint = (): z.ZodType<string, string> =>
  taken((text) => {
    const parsed = parseFingerprint(text);
    return parsed.ok ? parsed : { ok: false, problem: `expected ${parsed.problem.expected}` };
  });

const policyFields = z.strictObject({
  level: taken<TlsLevel>(parseLevel).describe("none, may, encrypt, fingerprint, verify or secure; or an old word."),
  minVersion: z
    .enum(TLS_VERSIONS)
    .optional()
    .describe("The oldest version of TLS. Without it: `delivery.tls.minVersion`."),
  maxVersion: z.enum(TLS_VERSIONS).optional().describe("The newest version of TLS."),
  ciphers: z.string().min(1).optional().describe("Ciphers, as a list for OpenSSL. Without it: `delivery.tls.ciphers`."),
  caFile: path()
    .optional()
    .describe("A PEM file with the authorities that count here. Without it: those of `delivery.caFile`."),
  fingerprints: oneOrMore(fingerprint())
    .optional()
    .describe("SHA-256 of the certificates, or of the public keys, that are right; for the level fingerprint."),
  match: oneOrMore(taken(parseMatchName))
    .optional()
    .describe("Names that the certificate may be for, instead of the level's own; `.example.org` is every name below."),
  serverName: hostName().optional().describe("The name asked for by SNI. Without it: the host's."),
  certificate: z
    .string()
    .min(1)
    .optional()
    .describe("The label of the entry of `certificates` that is shown to a host which asks for one."),
  tickets: z.boolean().optional().describe("Whether sessions may be resumed. Without it: `delivery.tls.tickets`."),
  logLevel: z.literal([0, 1, 2, 3, 4]).optional().describe("How much of these sessions is told, 0 to 4."),
});

/** `secure`, `verify match=.example.org`, or the fields one by one. */
const policySettings = z.union([z.string(), policyFields]).transform((written, context): TlsPolicy => {
  const checked = typeof written === "string" ? parsePolicy(written) : checkedPolicy(written);
  if (checked.ok) return checked.value;
  context.addIssue({ code: "custom", message: checked.problem });
  return z.NEVER;
});

const policiesSettings = z.record(z.string(), policySettings).superRefine((policies, context) => {
  const seen = new Map<string, string>();
  for (const written of Object.keys(policies)) {
    const key = policyKey(written);
    const earlier = key.ok ? seen.get(key.value) : undefined;
    if (!key.ok) context.addIssue({ code: "custom", path: [written], message: key.problem });
    else if (earlier === undefined) seen.set(key.value, written);
    else
      context.addIssue({
        code: "custom",
        path: [written],
        message: `means the same as ${earlier}, which stands above`,
      });
  }
});

/** TLS towards next hosts. */
export const tlsClientSettings = z
  .strictObject({
    policy: policiesSettings
      .default({})
      .describe(
        "Encryption by destination: `example.org: secure`. Keys are hosts or addresses, with or without a port, `*.domain`, `*`; the most specific counts.",
      ),
    policyTable: tableName()
      .optional()
      .describe("A table with more of these: a key, and behind it the level and name=value each."),
    caFiles: z
      .array(path())
      .default([])
      .describe("Files of authorities that entries of the table may name, besides those of the settings."),
    minVersion: z.enum(TLS_VERSIONS).default("TLSv1.2").describe("The oldest version of TLS."),
    ciphers: z.string().min(1).optional().describe("Ciphers, as a list for OpenSSL. Without it: Node's."),
    tickets: z.boolean().default(true).describe("Whether sessions may be resumed."),
    sessionLifetime: duration({ min: "1s", max: "1d" })
      .prefault("1h")
      .describe("For how long from its first handshake a session may be resumed."),
    variants: z
      .boolean()
      .default(true)
      .describe("Whether a host whose handshakes keep failing is asked, without mail, which kind of handshake works."),
    variantsKept: duration({ min: "1m", max: "30d" })
      .prefault("1d")
      .describe("How long the kind of handshake that worked is used for a host before the usual one is tried again."),
  })
  .prefault({})
  .describe("TLS towards next hosts.");

export type TlsClientSettings = z.output<typeof tlsClientSettings>;
