import { defineEvent, type Speaker } from "../../../foundation/events.ts";
import type { TlsVariant } from "./demand.ts";

/** What is said of encryption towards next hosts beside each session's own line. */

const clientSpeaks = {
  speaker: "smtp",
  speaksAs: ({ protocol }: { readonly protocol: string }): Speaker => (protocol === "lmtp" ? "lmtp" : "smtp"),
} as const;

/** In the words of a sentence: "handshakes work …". */
const VARIANT_WORDS: Readonly<Record<TlsVariant, string>> = {
  "no-hybrid-group": "without the post-quantum group, whose key makes the first message longer than one packet",
  "no-tickets": "without session tickets",
  "rsa-only": "with RSA certificates and signatures only",
  "tls1.2": "with TLS 1.2, not with TLS 1.3",
};

export function variantWords(variant: string): string {
  return Object.hasOwn(VARIANT_WORDS, variant) ? VARIANT_WORDS[variant as TlsVariant] : variant;
}

export const tlsTrial = defineEvent({
  name: "delivery.tls-trial",
  level: "debug",
  ...clientSpeaks,
  says: "A host whose handshakes fail was asked, without mail, whether one of another kind works.",
  fields: { session: "text", protocol: "text", host: "text", trial: "text", result: "text", text: "text" },
  line: (e) => `TLS trial with ${e.host}: ${e.trial}: ${e.result}: ${e.text}`,
});

export const tlsVariantFound = defineEvent({
  name: "delivery.tls-variant",
  level: "warning",
  ...clientSpeaks,
  says: "A host's usual handshakes fail, and one that differs in a single trait works: it is used for a while. What breaks the usual ones is at the host's side, or on the way there.",
  fields: { session: "text", protocol: "text", host: "text", variant: "text", negotiated: "text" },
  line: (e) =>
    `warning: ${e.host}: TLS handshakes fail, but work ${variantWords(e.variant)}: used from now on (${e.negotiated})`,
});

export const tlsNothingWorks = defineEvent({
  name: "delivery.tls-nothing-works",
  level: "info",
  ...clientSpeaks,
  says: "A host's handshakes fail whichever kind is tried.",
  fields: { session: "text", protocol: "text", host: "text", tried: "count" },
  line: (e) => `${e.host}: no kind of TLS handshake works (${e.tried} tried)`,
});

export const policyApplied = defineEvent({
  name: "delivery.tls-policy",
  level: "info",
  ...clientSpeaks,
  says: "A TLS policy decides a session: which key matched, and where it stands.",
  fields: {
    session: "text",
    protocol: "text",
    host: "text",
    destination: "text",
    level: "text",
    key: "text",
    where: "text",
  },
  line: (e) => `TLS policy for ${e.host}: ${e.level}, by ${e.key} (${e.where})`,
});

export const policyUnavailable = defineEvent({
  name: "delivery.tls-policy-unavailable",
  level: "warning",
  ...clientSpeaks,
  says: "The TLS policy for a destination could not be found out: its mail waits.",
  fields: { session: "text", protocol: "text", host: "text", destination: "text", problem: "text" },
  line: (e) => `warning: TLS policy for ${e.destination}: ${e.problem}`,
});

export const plaintextByPolicy = defineEvent({
  name: "delivery.plaintext-by-policy",
  level: "info",
  ...clientSpeaks,
  says: "Mail goes in plaintext to a host that offers encryption, for the policy or the relay says so; told once for each host.",
  fields: { session: "text", protocol: "text", host: "text", rule: "text" },
  line: (e) => `${e.host} offers STARTTLS, but mail goes there in plaintext: ${e.rule}`,
});
