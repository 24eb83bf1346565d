import { defineEvent, type Speaker } from "../../../foundation/events.ts";
import { closedText, establishedText, findingFields, findingText, tlsFields } from "../../../service/tls/told-text.ts";

/** What delivery over the network tells beside the outcomes, which the scheduler logs. Worded as Postfix's client does. */

/** As with Postfix, the client speaks as what it is at the moment: one and the same may do both. */
const clientSpeaks = {
  speaker: "smtp",
  speaksAs: ({ protocol }: { readonly protocol: string }): Speaker => (protocol === "lmtp" ? "lmtp" : "smtp"),
} as const;

export const connectFailed = defineEvent({
  name: "delivery.connect-failed",
  level: "info",
  ...clientSpeaks,
  says: "A next host could not be connected to at one address.",
  fields: { session: "text", protocol: "text", host: "text", problem: "text", took: "ms" },
  line: (e) => `connect to ${e.host}: ${e.problem}`,
});

export const sessionOpened = defineEvent({
  name: "delivery.session-opened",
  level: "debug",
  ...clientSpeaks,
  says: "A session with a next host is ready for mail.",
  fields: { session: "text", protocol: "text", host: "text", relay: "text", extensions: "list", took: "ms" },
  line: (e) => `session with ${e.host} for ${e.relay}: ${e.extensions.join(" ")}`,
});

const tlsSubject = { session: "text", protocol: "text", host: "text", relay: "text" } as const;

export const tlsEstablished = defineEvent({
  name: "delivery.tls-established",
  level: "info",
  ...clientSpeaks,
  says: "A session is encrypted. Verified: the chain and the name were checked and are right; trusted: the chain alone; untrusted: neither. The problem is told where the certificate must verify.",
  fields: { ...tlsSubject, rule: "text", ...tlsFields, isQuiet: "flag?", details: "data?" },
  line: (e) => (e.isQuiet === true ? undefined : establishedText(e, "to", e.host)),
});

export const tlsClosed = defineEvent({
  name: "delivery.tls-closed",
  level: "info",
  ...clientSpeaks,
  says: "A TLS connection ended: with the next host's close_notify (clean) or without, and what that means at that point of the dialogue.",
  fields: {
    ...tlsSubject,
    /** `clean`, `unclean`, `unknown`. */
    end: "text",
    peerEnd: "text",
    ourEnd: "text",
    moment: "text",
    after: "text",
    isLoss: "flag",
    because: "text?",
    isQuiet: "flag?",
    details: "data?",
  },
  line: (e) => (e.isQuiet === true ? undefined : `TLS connection to ${e.host} closed ${closedText(e)}`),
});

export const tlsFailed = defineEvent({
  name: "delivery.tls-failed",
  level: "info",
  ...clientSpeaks,
  says: "The TLS handshake with a next host failed, or something went wrong with TLS after it: why, whose fault it is, and what usually cures it.",
  fields: { ...tlsSubject, rule: "text", wasUp: "flag", ...findingFields, details: "data?" },
  line: (e) => `${e.wasUp ? "TLS" : "SSL_connect"} error to ${e.host}: ${findingText(e)}`,
});

export const tlsTrace = defineEvent({
  name: "delivery.tls-trace",
  level: "info",
  ...clientSpeaks,
  says: "What a trace shows of a TLS connection to a next host: a step, or a line of hex and ASCII as on the wire.",
  fields: { session: "text", protocol: "text", host: "text", shown: "text" },
  line: (e) => `TLS trace ${e.session} ${e.host}: ${e.shown}`,
});

export const unencrypted = defineEvent({
  name: "delivery.unencrypted",
  level: "info",
  ...clientSpeaks,
  says: "Mail was handed over without encryption: counted for `posthorn tls plaintext`.",
  fields: { ...tlsSubject, rule: "text", mails: "count", details: "data?" },
  // The lines of the attempts tell people what was sent.
  line: () => undefined,
});

export const sentInPlaintext = defineEvent({
  name: "delivery.plaintext",
  level: "warning",
  ...clientSpeaks,
  says: "The next host offers encryption that does not work; the policy in force allows plaintext, so that is used.",
  fields: { session: "text", protocol: "text", host: "text", because: "text" },
  line: (e) => `warning: ${e.host}: going on in plaintext: ${e.because}`,
});

export const sessionFailed = defineEvent({
  name: "delivery.session-failed",
  level: "info",
  ...clientSpeaks,
  says: "A next host was reached, but the session could not be made ready for mail.",
  fields: { session: "text", protocol: "text", host: "text", problem: "text" },
  line: (e) => e.problem,
});

export const authenticated = defineEvent({
  name: "delivery.authenticated",
  level: "debug",
  ...clientSpeaks,
  says: "We logged in at a next host.",
  fields: { session: "text", protocol: "text", host: "text", mechanism: "text", user: "text" },
  line: (e) => `logged in at ${e.host}${e.user === "" ? "" : ` as ${e.user}`} by ${e.mechanism}`,
});

export const closedIdle = defineEvent({
  name: "delivery.closed-idle",
  level: "debug",
  ...clientSpeaks,
  says: "A kept session ended while it had nothing to do.",
  fields: { session: "text", protocol: "text", host: "text", how: "text" },
  line: (e) => `idle session with ${e.host} ended: ${e.how}`,
});
