import { defineEvent } from "../../foundation/events.ts";
import { findingFields, findingText } from "../../service/tls/told-text.ts";

/** What the connection stage tells. Lines are Postfix's smtpd(8) and anvil(8). */

export const listening = defineEvent({
  name: "connection.listening",
  level: "info",
  speaker: "master",
  says: "A listener takes connections.",
  fields: { listener: "text", at: "text", protocol: "text", tls: "text" },
  line: (e) => `listening on ${e.at} (${e.listener}: ${e.protocol}, TLS ${e.tls})`,
});

export const listenerFailed = defineEvent({
  name: "connection.listener-failed",
  level: "error",
  speaker: "master",
  says: "A listener cannot take connections at the moment (often: out of file descriptors).",
  fields: { listener: "text", reason: "text" },
  line: (e) => `error: listener ${e.listener}: ${e.reason}`,
});

export const connected = defineEvent({
  name: "connection.connected",
  level: "info",
  speaker: "smtpd",
  says: "A client is connected; its name has been looked up.",
  fields: { session: "text", listener: "text", client: "text", address: "text?", port: "count?", proxy: "text?" },
  line: (e) => `connect from ${e.client}`,
});

export const disconnected = defineEvent({
  name: "connection.disconnected",
  level: "info",
  speaker: "smtpd",
  says: "A session is over: its commands, done/all where some were refused.",
  fields: { session: "text", listener: "text", client: "text", commands: "text", tookMs: "ms" },
  line: (e) => `disconnect from ${e.client} ${e.commands}`,
});

export const refused = defineEvent({
  name: "connection.refused",
  level: "warning",
  speaker: "smtpd",
  says: "A connection was refused because a limit was reached.",
  fields: { listener: "text", client: "text", limit: "text", session: "text?", details: "data?" },
  line: (e) => `warning: Connection ${e.limit} limit exceeded: from ${e.client} for service ${e.listener}`,
});

export const webAnswered = defineEvent({
  name: "connection.web-answered",
  level: "info",
  speaker: "http",
  says: "Somebody asked a listener for HTTP: a mail program for its settings, or a server for an MTA-STS policy.",
  fields: { session: "text", listener: "text", client: "text", asked: "text", status: "count?" },
  line: (e) => `${e.client}: ${e.asked}: ${e.status ?? "no answer"}`,
});

export const badProxyHeader = defineEvent({
  name: "connection.bad-proxy-header",
  level: "warning",
  speaker: "smtpd",
  says: "A proxy did not begin with a proper PROXY header; the connection was closed.",
  fields: { listener: "text", proxy: "text", reason: "text" },
  line: (e) => `warning: proxy ${e.proxy} for service ${e.listener}: ${e.reason}`,
});

export const implicitTlsFailed = defineEvent({
  name: "connection.tls-failed",
  level: "info",
  speaker: "smtpd",
  says: "The TLS handshake on an implicit TLS port failed: why, whose fault it is, and what usually cures it.",
  fields: { session: "text", listener: "text", client: "text", ...findingFields, details: "data?" },
  line: (e) => `SSL_accept error from ${e.client}: ${findingText(e)}`,
});

export const dropKept = defineEvent({
  name: "drop.taken",
  level: "info",
  speaker: "pickup",
  says: "A mail that a user of this host had left while the server was down is in the queue.",
  fields: { file: "text", uid: "count", account: "text", recipients: "count" },
  line: (e) => `${e.file}: uid=${e.uid} account=${e.account}, nrcpt=${e.recipients}`,
});

export const dropRefused = defineEvent({
  name: "drop.refused",
  level: "warning",
  speaker: "pickup",
  says: "Something in the drop folder is no mail, or its mail was refused; then its user gets it back.",
  fields: { file: "text", uid: "count?", account: "text?", problem: "text" },
  line: (e) => `warning: ${e.file}: uid=${e.uid ?? "?"}: ${e.problem}`,
});

export const dropSetAside = defineEvent({
  name: "drop.set-aside",
  level: "warning",
  speaker: "pickup",
  says: "A mail in the drop folder was refused, and the notice to its user, too. The file stays where `file` says until you remove it.",
  fields: { file: "text", problem: "text" },
  line: (e) => `warning: ${e.file}: nobody takes it back, so it stays there until you remove it: ${e.problem}`,
});

export const dropUntaken = defineEvent({
  name: "drop.untaken",
  level: "warning",
  speaker: "pickup",
  says: "Mail that users left while the server was down waits in the drop folder, and the settings want nobody to take it in.",
  fields: { folder: "text", files: "count" },
  line: (e) =>
    `warning: ${e.files} mails of users wait in ${e.folder} and are not taken in: set local-submission.enabled and drop to true, or remove them`,
});

export const dropLeft = defineEvent({
  name: "drop.left",
  level: "warning",
  speaker: "pickup",
  says: "A mail in the drop folder cannot be taken now; it stays and is tried again.",
  fields: { file: "text", problem: "text", againInMs: "ms" },
  line: (e) => `warning: drop folder: ${e.file}: ${e.problem}; again in ${Math.round(e.againInMs / 1000)} s`,
});
