import { defineEvent, type Speaker } from "../../../foundation/events.ts";

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

export const tlsEstablished = defineEvent({
  name: "delivery.tls-established",
  level: "info",
  ...clientSpeaks,
  says: "A session is encrypted. Verified: the chain and the name were checked and are right; trusted: the chain alone; untrusted: neither.",
  fields: {
    session: "text",
    protocol: "text",
    host: "text",
    verdict: "text",
    version: "text",
    cipher: "text",
    because: "text?",
  },
  line: (e) =>
    `${e.verdict} TLS connection established to ${e.host}: ${e.version} with cipher ${e.cipher}` +
    (e.because === undefined ? "" : ` (${e.because})`),
});

export const tlsFailed = defineEvent({
  name: "delivery.tls-failed",
  level: "info",
  ...clientSpeaks,
  says: "Encryption with a next host could not be had.",
  fields: { session: "text", protocol: "text", host: "text", problem: "text" },
  line: (e) => `SSL_connect error to ${e.host}: ${e.problem}`,
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
  line: (e) => `logged in at ${e.host} as ${e.user} by ${e.mechanism}`,
});

export const closedIdle = defineEvent({
  name: "delivery.closed-idle",
  level: "debug",
  ...clientSpeaks,
  says: "A kept session ended while it had nothing to do.",
  fields: { session: "text", protocol: "text", host: "text", how: "text" },
  line: (e) => `idle session with ${e.host} ended: ${e.how}`,
});
