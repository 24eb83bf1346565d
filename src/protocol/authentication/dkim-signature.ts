import { domainToASCII } from "node:url";
import type { Canonicalization } from "./canonical.ts";
import type { RawField } from "./raw-fields.ts";
import { rawValue } from "./raw-fields.ts";
import { base64Bytes, parseTagList, withoutBlanks, type TagList } from "./tag-list.ts";

/** A DKIM-Signature field, or an ARC-Message-Signature, taken apart (RFC 6376 section 3.5, RFC 8617 section 4.1.2). */
export interface DkimSignature {
  readonly field: RawField;
  readonly algorithm: "rsa-sha256" | "ed25519-sha256";
  readonly signature: Buffer;
  /** Base64, without blanks. */
  readonly bodyHash: string;
  readonly header: Canonicalization;
  readonly body: Canonicalization;
  /** Lower case, A-labels. */
  readonly domain: string;
  readonly selector: string;
  /** Names in lower case, as listed. */
  readonly signed: readonly string[];
  /** `i=` as written, or `@domain`. */
  readonly identity: string;
  /** `l=`. */
  readonly bodyBytes?: number | undefined;
  /** Seconds since the epoch. */
  readonly signedAt?: number | undefined;
  readonly expiresAt?: number | undefined;
}

/** What can be said of a signature that makes no sense: enough to name it. */
export interface SignatureFault {
  readonly text: string;
  readonly domain?: string | undefined;
  readonly selector?: string | undefined;
}

const NAME = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const NUMBER = /^[0-9]{1,12}$/;

/** `kind` says what the field is: the one of ARC has no `v=`, and in `i=` its number. */
export function parseDkimSignature(
  field: RawField,
  kind: "dkim" | "arc",
): { readonly ok: true; readonly value: DkimSignature } | { readonly ok: false; readonly fault: SignatureFault } {
  const tags = parseTagList(rawValue(field));
  if (tags === undefined) return { ok: false, fault: { text: "it is no list of tags" } };
  const domain = dnsName(tags.get("d"));
  const selector = dnsName(tags.get("s"));
  const fault = (text: string) => ({ ok: false, fault: { text, domain, selector } }) as const;
  if (kind === "dkim" && tags.get("v") !== "1") return fault("its version is not 1");
  if (domain === undefined) return fault("d= is missing or no domain");
  if (selector === undefined) return fault("s= is missing or no selector");
  const algorithm = algorithmOf(tags);
  if (algorithm === undefined) return fault(`the algorithm ${(tags.get("a") ?? "").slice(0, 20)} is not accepted`);
  const signature = base64Bytes(tags.get("b") ?? "");
  if (signature === undefined) return fault("b= is missing or not base64");
  const bodyHash = base64Bytes(tags.get("bh") ?? "");
  if (bodyHash === undefined) return fault("bh= is missing or not base64");
  const forms = canonicalizations(tags.get("c"));
  if (forms === undefined) return fault("c= names an unknown form");
  const signed = withoutBlanks(tags.get("h") ?? "")
    .toLowerCase()
    .split(":");
  if (signed.some((name) => name === "")) return fault("h= is missing or has an empty name");
  if (kind === "dkim" && !signed.includes("from")) return fault("the From field is not signed");
  // RFC 8617 section 4.1.2: seals are signed by seals only.
  if (kind === "arc" && signed.includes("arc-seal")) return fault("it signs an ARC-Seal");
  const query = tags.get("q");
  if (query !== undefined && !withoutBlanks(query).split(":").includes("dns/txt")) return fault("q= is not dns/txt");
  for (const name of ["l", "t", "x"])
    if (tags.has(name) && !NUMBER.test(tags.get(name) ?? "")) return fault(`${name}= is no number`);
  const [signedAt, expiresAt, bodyBytes] = ["t", "x", "l"].map((name) => numberIn(tags, name));
  if (signedAt !== undefined && expiresAt !== undefined && expiresAt < signedAt)
    return fault("it ends before it begins");
  const identity = kind === "dkim" ? (tags.get("i") ?? `@${domain}`) : `@${domain}`;
  if (kind === "dkim" && !isWithin(identityDomain(identity), domain)) return fault("i= is outside of d=");
  return {
    ok: true,
    value: {
      field,
      algorithm,
      signature,
      bodyHash: bodyHash.toString("base64"),
      header: forms[0],
      body: forms[1],
      domain,
      selector,
      signed,
      identity,
      bodyBytes,
      signedAt,
      expiresAt,
    },
  };
}

/** The domain or selector of a tag as the DNS is asked for it; undefined for what is no name. */
export function dnsName(value: string | undefined): string | undefined {
  if (value === undefined || value.length > 253) return undefined;
  const text = value.toLowerCase();
  if (NAME.test(text)) return text;
  // RFC 8616: U-labels, in UTF-8, which stands here octet by octet.
  const ascii = /[\x80-\xff]/.test(text) ? domainToASCII(Buffer.from(text, "latin1").toString("utf8")) : "";
  return NAME.test(ascii) ? ascii : undefined;
}

export function algorithmOf(tags: TagList): DkimSignature["algorithm"] | undefined {
  const written = (tags.get("a") ?? "").toLowerCase();
  return written === "rsa-sha256" || written === "ed25519-sha256" ? written : undefined;
}

export function identityDomain(identity: string): string {
  return dnsName(identity.slice(identity.lastIndexOf("@") + 1)) ?? "";
}

/** Whether a name is the domain or below it. */
function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

/** The field as it was signed: with nothing behind `b=` (RFC 6376 section 3.7). */
export function withoutSignature(field: RawField): RawField {
  const colon = field.text.indexOf(":") + 1;
  const value = field.text.slice(colon).replace(/((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*/, "$1");
  return { name: field.name, text: field.text.slice(0, colon) + value };
}

function canonicalizations(written: string | undefined): readonly [Canonicalization, Canonicalization] | undefined {
  const [header = "simple", body = "simple", more] = (written ?? "simple").toLowerCase().split("/");
  const isForm = (form: string): form is Canonicalization => form === "simple" || form === "relaxed";
  return isForm(header) && isForm(body) && more === undefined ? [header, body] : undefined;
}

function numberIn(tags: TagList, name: string): number | undefined {
  const written = tags.get(name);
  return written === undefined ? undefined : Number(written);
}
