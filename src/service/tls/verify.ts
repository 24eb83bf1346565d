import { X509Certificate } from "node:crypto";
import type { PeerCertificate, Verdict, VerifyProblem } from "./facts.ts";
import { fingerprintOf, keyFingerprintOf } from "./fingerprint.ts";
import { addressesOf, commonNameOf, dnsNamesOf, emailsOf, isCertificateFor, MOST_NAMES } from "./names.ts";
import type { ShownChain } from "./tls.ts";

/**
 * What is judged. `authorities`: the chain by OpenSSL with the authorities of the connection's context, the dates, and
 * one of the names; `any`: nobody's name is asked for, as of clients. `fingerprint`: the certificate or its public key is one
 * of these; then nothing else counts, neither chain nor name nor date.
 */
export type Wanted =
  | { readonly by: "authorities"; readonly names: readonly string[] | "any" }
  | { readonly by: "fingerprint"; readonly fingerprints: readonly string[] };

/**
 * The verdict on what a peer showed, as data. A resumed session is judged by what the first one showed, at the present
 * time and by what is wanted now: no check is skipped. `now` is an instant in milliseconds. Never throws.
 *
 * RFC 5280 (chain and dates), RFC 9525 (names).
 */
export function verify(shown: ShownChain, wanted: Wanted, now: number): Verdict {
  const by = wanted.by;
  const fail = (kind: VerifyProblem["kind"], text: string): Verdict => ({
    result: "FAIL",
    by,
    problem: { kind, text },
  });
  const [der] = shown.certificates;
  if (der === undefined) return fail("no-certificate", "no certificate was shown");
  const leaf = read(der);
  if (leaf === undefined) return fail("other", "the certificate cannot be read: it is damaged");

  if (wanted.by === "fingerprint") {
    const certificate = fingerprintOf(leaf);
    if (wanted.fingerprints.includes(certificate)) return { result: "OK", by };
    const key = keyFingerprintOf(leaf);
    if (wanted.fingerprints.includes(key)) return { result: "OK", by };
    return fail(
      "wrong-fingerprint",
      `the certificate's fingerprint is ${certificate}, its public key's ${key}: neither is one of those expected`,
    );
  }
  if (!shown.isTrusted) {
    const [kind, text] = chainProblem(shown, leaf, now);
    return fail(kind, text);
  }
  // OpenSSL looked at the dates when the chain was shown; a session may be resumed after the certificate's end.
  const age = dateProblem(leaf, "the certificate", now);
  if (age !== undefined) return fail(...age);
  const { names } = wanted;
  if (names === "any" || names.some((name) => isCertificateFor(leaf, name))) return { result: "OK", by };
  if (names.length === 0)
    return fail("wrong-name", `${namesText(leaf)}, and here no name is known that it should be for`);
  return fail("wrong-name", `${namesText(leaf)}, not for ${either(names)}`);
}

/** The chain and dates are right, whatever the name: what logs call a trusted, rather than verified, peer. */
export function isChainTrusted(verdict: Verdict): boolean {
  return verdict.result === "OK" || verdict.result === "DANE" || verdict.problem?.kind === "wrong-name";
}

/** What a certificate chain says of itself, for logs and records; undefined when none was shown or it is damaged. */
export function peerCertificate(shown: ShownChain): PeerCertificate | undefined {
  const [der] = shown.certificates;
  const leaf = der === undefined ? undefined : read(der);
  if (leaf === undefined) return undefined;
  const commonName = commonNameOf(leaf);
  return {
    fingerprint: fingerprintOf(leaf),
    keyFingerprint: keyFingerprintOf(leaf),
    subject: oneLine(leaf.subject),
    ...wholeOf(leaf.subject),
    issuer: oneLine(leaf.issuer),
    ...(commonName === undefined ? {} : { commonName }),
    names: dnsNamesOf(leaf),
    emails: emailsOf(leaf),
    notBeforeAt: leaf.validFromDate.getTime(),
    notAfterAt: leaf.validToDate.getTime(),
    chain: shown.certificates.flatMap((one) => {
      const certificate = read(one);
      return certificate === undefined ? [] : [fingerprintOf(certificate)];
    }),
  };
}

type Told = [VerifyProblem["kind"], string];

/** OpenSSL's code in plain words, told apart further by what was sent. */
function chainProblem(shown: ShownChain, leaf: X509Certificate, now: number): Told {
  const code = shown.trustProblem ?? "";
  const issuer = oneLine(leaf.issuer);
  switch (code) {
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return [
        "self-signed",
        `the certificate (${oneLine(leaf.subject)}) is signed by itself; no authority vouches for it`,
      ];
    case "SELF_SIGNED_CERT_IN_CHAIN": {
      const root = shown.certificates.map(read).find((one) => one !== undefined && one.subject === one.issuer);
      const name = root === undefined ? "an authority" : `the authority ${oneLine(root.subject)}`;
      return ["unknown-authority", `the chain ends at ${name}, which is not trusted here`];
    }
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE": {
      if (shown.certificates.length === 1)
        return [
          "incomplete-chain",
          `only the certificate itself was sent; that of its issuer (${issuer}) was not, and is not among the trusted ones`,
        ];
      const last = missingIssuer(shown, leaf);
      return ["unknown-authority", `the chain ends at a certificate issued by ${last}, which is not trusted here`];
    }
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID": {
      for (const [at, one] of shown.certificates.entries()) {
        const certificate = at === 0 ? leaf : read(one);
        const name = at === 0 ? "the certificate" : `the certificate ${oneLine(certificate?.subject)} in its chain`;
        const told = certificate === undefined ? undefined : dateProblem(certificate, name, now);
        if (told !== undefined) return told;
      }
      return code === "CERT_HAS_EXPIRED"
        ? ["expired", "a certificate of the chain has expired"]
        : ["not-yet-valid", "a certificate of the chain is not valid yet"];
    }
    case "CERT_REVOKED":
      return ["revoked", `its issuer (${issuer}) has revoked the certificate`];
    case "NO_AUTHORITIES":
      return ["no-authorities", "there are no trusted authorities here to verify it with"];
    default:
      return UNFIT.has(code)
        ? ["unfit", `${UNFIT.get(code)} (${code})`]
        : ["other", `the chain cannot be verified (${code === "" ? "for no reason told" : code})`];
  }
}

const UNFIT: ReadonlyMap<string, string> = new Map([
  ["INVALID_PURPOSE", "the certificate is not meant for this use"],
  ["INVALID_CA", "a certificate in the chain may not issue others"],
  ["PATH_LENGTH_EXCEEDED", "the chain is longer than its authority allows"],
  ["CERT_SIGNATURE_FAILURE", "a signature in the chain is wrong"],
  ["CERT_CHAIN_TOO_LONG", "the chain is too long"],
  ["CERT_UNTRUSTED", "a certificate in the chain is marked as not trusted for this use"],
  ["CERT_REJECTED", "a certificate in the chain is marked as rejected for this use"],
  ["EE_KEY_TOO_SMALL", "the certificate's key is too short"],
  ["CA_KEY_TOO_SMALL", "the key of an authority in the chain is too short"],
  ["CA_MD_TOO_WEAK", "a signature in the chain uses a broken hash"],
  ["HOSTNAME_MISMATCH", "the certificate is for another name"],
]);

function dateProblem(certificate: X509Certificate, name: string, now: number): Told | undefined {
  const notAfter = certificate.validToDate;
  if (now > notAfter.getTime()) return ["expired", `${name} expired on ${day(notAfter)}`];
  const notBefore = certificate.validFromDate;
  if (now < notBefore.getTime()) return ["not-yet-valid", `${name} is not valid before ${day(notBefore)}`];
  return undefined;
}

/** The issuer that nobody sent: upwards from the leaf through what was sent. */
function missingIssuer(shown: ShownChain, leaf: X509Certificate): string {
  const others = shown.certificates.slice(1).flatMap((der) => read(der) ?? []);
  let current = leaf;
  for (let step = 0; step <= shown.certificates.length; step++) {
    const { issuer } = current;
    const next = others.find((one) => one !== current && one.subject === issuer);
    if (next === undefined) break;
    current = next;
  }
  return oneLine(current.issuer);
}

function namesText(leaf: X509Certificate): string {
  const lists = [dnsNamesOf(leaf), addressesOf(leaf)];
  const names = lists.flat();
  if (names.length === 0) {
    const common = commonNameOf(leaf);
    return `the certificate names no host${common === undefined ? "" : ` but as its common name, ${common}, which does not count`}`;
  }
  const isAll = lists.every((list) => list.length < MOST_NAMES);
  const more = names.length > 4 ? ` and ${isAll ? names.length - 3 : "many"} more` : "";
  return `the certificate is for ${(more === "" ? names : names.slice(0, 3)).join(", ")}${more}`;
}

function either(names: readonly string[]): string {
  return names.map((name) => (name.startsWith(".") ? `*${name}` : name)).join(" or ");
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** Node gives a distinguished name a line for each part, or undefined when it is empty. */
function oneLine(name: string | undefined): string {
  return joined(name).slice(0, MOST_SHOWN) || "without a name";
}

function joined(name: string | undefined): string {
  return (name ?? "").split("\n").join(",");
}

/** What logs show of a name, and what may be compared of it. */
const MOST_SHOWN = 200;
const MOST_COMPARED = 2000;

/** Two certificates may begin alike: what is longer than anybody writes is nobody's. */
function wholeOf(name: string | undefined): Pick<PeerCertificate, "wholeSubject"> {
  const text = joined(name);
  return text.length <= MOST_SHOWN ? {} : { wholeSubject: text.length <= MOST_COMPARED ? text : "" };
}

function read(der: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(der);
  } catch {
    return undefined;
  }
}
