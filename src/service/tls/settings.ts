import { z } from "zod";
import { traceSettings } from "./tracer/trace-settings.ts";
import { absolutePath, count, duration, hostName, path, tableName } from "../config/kinds.ts";
import type { RequestedKeyKind } from "./keeper/certificate.ts";

/** Where certificates of the server come from. */
export type CertificateSource =
  | {
      readonly kind: "files";
      readonly label?: string | undefined;
      readonly certificate: string;
      readonly key: string;
      readonly names?: readonly string[] | undefined;
    }
  | { readonly kind: "directory"; readonly label?: string | undefined; readonly directory: string }
  | {
      readonly kind: "table";
      readonly label?: string | undefined;
      readonly table: string;
      /** The files that the table names are in here. */
      readonly directory?: string | undefined;
    }
  | {
      /** Issued to us over ACME (`acme` says by whom). */
      readonly kind: "acme";
      /** Also the name it is kept under. */
      readonly label: string;
      readonly names: readonly string[];
      readonly keyKinds: readonly RequestedKeyKind[];
    };

/** A key's file, or a PKCS#11 URI, which is no path. */
const keyPlace = z
  .string()
  .min(1)
  .transform((text) => (text.startsWith("pkcs11:") ? text : absolutePath(text)))
  .meta({ kind: "path" });

/** The word that listeners and relays use for a certificate. */
const certificateLabel = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, { error: "expected letters, digits, dot, dash or underscore" });

const certificateSettings = z
  .strictObject({
    label: certificateLabel.optional().describe("The word by which listeners and relays choose it."),
    certificate: path().optional().describe("The certificate and its chain in PEM form, the server's own first."),
    key: keyPlace
      .optional()
      .describe(
        "The private key in PEM form, without a passphrase; or a PKCS#11 URI (pkcs11:token=…), which is experimental.",
      ),
    names: z
      .array(z.union([hostName(), z.string().regex(/^\*\.[a-z0-9.-]+$/i, "expected a host name or *.domain")]))
      .optional()
      .describe("The host names it serves. Without it: those in the certificate."),
    directory: path()
      .optional()
      .describe(
        "A folder: each certificate in it (*.pem, *.crt) with its key, and each folder in it with fullchain.pem and privkey.pem. With table: where the files are that the table names.",
      ),
    table: tableName().optional().describe("A table from host names to files in the directory, or to PEM text."),
    acme: z
      .array(hostName())
      .min(1)
      .max(100)
      .optional()
      .describe(
        "Host names for which the server gets itself a certificate, as `acme` says, and renews it. Its label is the first of them, unless there is a label.",
      ),
    keyKind: z
      .enum(["ec", "rsa", "both"])
      .optional()
      .describe("With acme: the kind of key. both: two certificates, for old clients too. Left out: ec."),
  })
  .transform((written, context): CertificateSource => {
    const { label, certificate, key, names, directory, table, acme, keyKind } = written;
    const refuse = (message: string): never => {
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    };
    const named = label === undefined ? {} : { label };
    if (acme !== undefined) {
      if ([certificate, key, names, directory, table].some((other) => other !== undefined))
        return refuse("expected acme by itself, or with label and key-kind");
      const keyKinds = keyKind === "both" ? (["ec", "rsa"] as const) : [keyKind ?? "ec"];
      const chosen = certificateLabel.safeParse(label ?? acme[0]);
      if (!chosen.success) return refuse("expected a label: the first name is too long to be one");
      return { kind: "acme", label: chosen.data, names: acme, keyKinds };
    }
    if (keyKind !== undefined) return refuse("expected key-kind only together with acme");
    if (table !== undefined) {
      if (certificate !== undefined || key !== undefined || names !== undefined)
        return refuse("expected table by itself, or with directory and label");
      return { kind: "table", ...named, table, ...(directory === undefined ? {} : { directory }) };
    }
    if (directory !== undefined) {
      if (certificate !== undefined || key !== undefined || names !== undefined)
        return refuse("expected either directory, or certificate and key");
      return { kind: "directory", ...named, directory };
    }
    if (certificate === undefined || key === undefined)
      return refuse("expected certificate and key, or directory, or table, or acme");
    return { kind: "files", ...named, certificate, key, ...(names === undefined ? {} : { names }) };
  });

export const certificatesSettings = z
  .array(certificateSettings)
  .default([])
  .describe(
    "Certificates of the server; the first also serves clients that name no host. Two with the same names, RSA and ECDSA, serve together. Files that change are taken by themselves. Without any the server makes one for itself.",
  );

const version = z.enum(["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]);

/** What a listener shows and negotiates. */
export const listenerTlsSettings = {
  certificates: z
    .array(certificateLabel)
    .min(1)
    .optional()
    .describe("Labels of the certificates shown here; the first is for clients that name no host. Left out: all."),
  tlsMinVersion: version.prefault("TLSv1.2").describe("The oldest TLS version that is spoken."),
  tlsMaxVersion: version.prefault("TLSv1.3").describe("The newest."),
  tlsCiphers: z
    .string()
    .regex(/^[\w:!+@=.-]+$/, "expected an OpenSSL cipher list")
    .optional()
    .describe(
      "An OpenSSL cipher list, for TLS 1.2 and older, and suites of TLS 1.3 (TLS_…); without any suite that version has its own. Left out: those that Node recommends.",
    ),
  tlsGroups: z
    .string()
    .regex(/^[\w:-]+$/, "expected group names with colons between them")
    .optional()
    .describe(
      "Key exchange groups with colons between them, the preferred first. Left out: OpenSSL's, with the post-quantum hybrid X25519MLKEM768 first.",
    ),
};

/** What is common to all TLS of the server. */
export const tlsSettings = z
  .strictObject({
    trace: traceSettings.describe("How much the log shows of TLS connections."),
    tickets: z.boolean().prefault(true).describe("Whether clients get tickets to resume sessions with."),
    ticketLifetime: duration({ min: "1m", max: "1d" })
      .prefault("1h")
      .describe("How long a ticket is good for; the key that tickets are encrypted with is replaced as often."),
    expiryWarning: duration({ max: "365d" })
      .prefault("21d")
      .describe("Certificates that expire within this time are told of at the start, daily, and in the check."),
    mostContexts: count({ min: 10, max: 100_000 })
      .prefault(1000)
      .describe("Certificates of tables and folders that a process keeps ready; about 40 KiB each."),
  })
  .prefault({});
