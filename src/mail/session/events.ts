import { defineEvent } from "../../foundation/events.ts";
import { formatRfc3339 } from "../../protocol/message/date-time.ts";
import { closedText, establishedText, findingFields, findingText, tlsFields } from "../../service/tls/told-text.ts";

/** What a session tells. Lines are Postfix's smtpd(8) and cleanup(8), which people's tools read. */

export const clientAccepted = defineEvent({
  name: "session.client",
  level: "info",
  speaker: "smtpd",
  says: "A message has its first accepted recipient and with it an id.",
  fields: {
    session: "text",
    listener: "text",
    message: "text",
    client: "text",
    mechanism: "text?",
    account: "text?",
    originalClient: "text?",
  },
  line: (e) =>
    `${e.message}: client=${e.client}` +
    (e.mechanism === undefined ? "" : `, sasl_method=${e.mechanism}`) +
    (e.account === undefined ? "" : `, sasl_username=${e.account}`) +
    (e.originalClient === undefined ? "" : `, orig_client=${e.originalClient}`),
});

export const recipientExpanded = defineEvent({
  name: "session.expanded",
  level: "info",
  speaker: "smtpd",
  says: "An accepted recipient stands for others, by the entries that are named.",
  fields: { session: "text", message: "text", to: "text", targets: "count", steps: "text" },
  line: (e) => `${e.message}: expand: <${e.to}> is ${e.targets} ${e.targets === 1 ? "target" : "targets"}: ${e.steps}`,
});

export const messageIdSeen = defineEvent({
  name: "session.message-id",
  level: "info",
  speaker: "cleanup",
  says: "The content of a message has come whole; its Message-ID field.",
  fields: { session: "text", message: "text", messageId: "text" },
  line: (e) => `${e.message}: message-id=${e.messageId}`,
});

export const filteredCopy = defineEvent({
  name: "session.filtered-copy",
  level: "info",
  speaker: "smtpd",
  says: "A message is what came of another one in a filter, which hands it back here.",
  fields: { session: "text", message: "text", original: "text" },
  line: (e) => `${e.message}: filtered copy of ${e.original}`,
});

export const leftAsCopy = defineEvent({
  name: "session.came-back",
  level: "info",
  speaker: "smtpd",
  says: "A message came back from its filter, under another id: the same as `session.filtered-copy`, from the other end.",
  fields: { message: "text", copy: "text" },
  // The line of the copy says it to people.
  line: () => undefined,
});

export const messageKept = defineEvent({
  name: "session.kept",
  level: "info",
  speaker: "smtpd",
  says: "A message is durable in the queue; the client is being told 250.",
  fields: {
    session: "text",
    listener: "text",
    message: "text",
    client: "text",
    helo: "text?",
    account: "text?",
    isEncrypted: "flag",
    from: "text",
    /** As the client gave them, the first hundred. */
    to: "list",
    /** The rules that accepted them, each once. */
    rules: "list",
    sizeBytes: "bytes",
    recipients: "count",
    envelopes: "count",
    tookMs: "ms",
    details: "data?",
  },
  // The scheduler's `queue active` line tells people the same.
  line: () => undefined,
});

export const messageNotKept = defineEvent({
  name: "session.not-kept",
  level: "error",
  speaker: "smtpd",
  says: "A message could not be made durable; the client is asked to come again.",
  fields: { session: "text", message: "text", reason: "text", reply: "text" },
  line: (e) => `${e.message}: warning: not kept: ${e.reason}; told the client ${e.reply}`,
});

export const rejected = defineEvent({
  name: "session.rejected",
  level: "info",
  speaker: "smtpd",
  says: "A sender, a recipient or a message was refused, for good (5xx) or for the moment (4xx).",
  fields: {
    session: "text",
    listener: "text",
    message: "text?",
    stage: "text",
    client: "text",
    reply: "text",
    because: "text?",
    from: "text?",
    to: "text?",
    protocol: "text",
    helo: "text?",
    /** The rule that refused, by its name or its place in the settings. */
    rule: "text?",
    restriction: "text?",
  },
  line: (e) =>
    `${e.message ?? "NOQUEUE"}: reject: ${e.stage} from ${e.client}: ${withSubject(e)};` +
    (e.from === undefined ? "" : ` from=<${e.from}>`) +
    (e.to === undefined ? "" : ` to=<${e.to}>`) +
    ` proto=${e.protocol}` +
    (e.helo === undefined ? "" : ` helo=<${e.helo}>`) +
    (e.rule === undefined ? "" : ` rule=<${e.rule}>`) +
    (e.restriction === undefined ? "" : ` restriction=<${e.restriction}>`) +
    (e.restriction === undefined || e.because === undefined || e.because === "" ? "" : ` because=<${e.because}>`),
});

export const restrictionNoted = defineEvent({
  name: "session.restriction",
  level: "info",
  speaker: "smtpd",
  says: "A restriction had something to say and decided nothing: what it would have refused (warn-only), or what it was told.",
  fields: {
    session: "text",
    listener: "text",
    message: "text?",
    client: "text",
    restriction: "text",
    /** It would have refused or changed the mail, and is only to warn. */
    isWarning: "flag",
    /** `RCPT`, in the words of rejections. */
    stage: "text",
    text: "text",
    from: "text?",
    to: "text?",
    protocol: "text",
    helo: "text?",
  },
  line: (e) =>
    `${e.message ?? "NOQUEUE"}: ${e.isWarning ? "reject_warning" : "info"}: ${e.stage} from ${e.client}: ${e.text};` +
    (e.from === undefined ? "" : ` from=<${e.from}>`) +
    (e.to === undefined ? "" : ` to=<${e.to}>`) +
    ` proto=${e.protocol}` +
    (e.helo === undefined ? "" : ` helo=<${e.helo}>`) +
    ` restriction=<${e.restriction}>`,
});

/** Postfix names what was refused between status and text, and pflogsumm looks for it there. */
function withSubject(e: { stage: string; reply: string; from?: string | undefined; to?: string | undefined }): string {
  const subject = e.stage === "RCPT" ? e.to : e.stage === "MAIL" ? e.from : e.stage;
  const parts = /^(\d{3}(?: \d\.\d{1,3}\.\d{1,3})?) (?!<|\d\.\d{1,3}\.\d{1,3} <)(.*)$/s.exec(e.reply);
  return parts === null || subject === undefined ? e.reply : `${parts[1]} <${subject}>: ${parts[2]}`;
}

export const misused = defineEvent({
  name: "session.misused",
  level: "debug",
  speaker: "smtpd",
  says: "A command was malformed, unknown or out of order.",
  fields: { session: "text", client: "text", command: "text", reply: "text" },
  line: (e) => `improper command from ${e.client}: ${e.command}: ${e.reply}`,
});

export const wakeAsked = defineEvent({
  name: "session.etrn",
  level: "info",
  speaker: "smtpd",
  says: "A client asked with ETRN for the mail of a domain: what it was told.",
  fields: { session: "text", listener: "text", client: "text", node: "text", reply: "text", because: "text?" },
  line: (e) => `ETRN ${e.node} from ${e.client}: ${e.reply}${e.because === undefined ? "" : ` (${e.because})`}`,
});

export const improperPipelining = defineEvent({
  name: "session.improper-pipelining",
  level: "info",
  speaker: "smtpd",
  says: "The client sent on where it had to wait for our answer; it was refused.",
  fields: { session: "text", client: "text", after: "text", bytes: "bytes" },
  line: (e) =>
    `improper command pipelining after ${e.after} from ${e.client}: ${e.bytes} byte${e.bytes === 1 ? "" : "s"} too soon`,
});

export const barelyEnded = defineEvent({
  name: "session.bare-line-end",
  level: "info",
  speaker: "smtpd",
  says: "A CR or LF stood alone where only CRLF ends a line; the command or message was refused.",
  fields: { session: "text", client: "text", after: "text" },
  line: (e) => `warning: ${e.client}: bare line end received after ${e.after}`,
});

export const connectionLost = defineEvent({
  name: "session.lost",
  level: "info",
  speaker: "smtpd",
  says: "The client went away without QUIT; with TLS, and how the client ended that.",
  fields: { session: "text", client: "text", after: "text", reason: "text", tls: "text?" },
  line: (e) => `lost connection after ${e.after} from ${e.client}${e.tls === undefined ? "" : ` (TLS: ${e.tls})`}`,
});

export const timedOut = defineEvent({
  name: "session.timeout",
  level: "info",
  speaker: "smtpd",
  says: "The client was silent, or slow, for longer than the settings allow.",
  fields: { session: "text", client: "text", after: "text", reason: "text" },
  line: (e) => `timeout after ${e.after} from ${e.client}`,
});

export const tooManyErrors = defineEvent({
  name: "session.too-many-errors",
  level: "info",
  speaker: "smtpd",
  says: "The session was ended after the number of errors that the settings allow.",
  fields: { session: "text", client: "text", after: "text", errors: "count" },
  line: (e) => `too many errors after ${e.after} from ${e.client}`,
});

export const limitReached = defineEvent({
  name: "session.limit",
  level: "warning",
  speaker: "smtpd",
  says: "The client did something more often than the settings allow.",
  fields: { session: "text", client: "text", what: "text", details: "data?" },
  line: (e) => `warning: limit exceeded: ${e.what} by ${e.client}`,
});

export const roomIsShort = defineEvent({
  name: "session.shortage",
  level: "warning",
  speaker: "smtpd",
  says: "Mail is not accepted at present because the queue is short of room; delivery goes on.",
  fields: { session: "text", client: "text", what: "text" },
  line: (e) => `NOQUEUE: reject: MAIL from ${e.client}: 452 4.3.1 Insufficient system storage; ${e.what}`,
});

export const receptionPaused = defineEvent({
  name: "session.paused",
  level: "info",
  speaker: "smtpd",
  says: "Mail is not accepted at present because an operator has paused reception; delivery goes on.",
  fields: { session: "text", client: "text", because: "text" },
  line: (e) =>
    `NOQUEUE: reject: MAIL from ${e.client}: 450 4.3.2 Mail is not accepted at present; paused: ${e.because}`,
});

export const encrypted = defineEvent({
  name: "session.tls",
  level: "info",
  speaker: "smtpd",
  says: "TLS is up with the client. `trust` is of its certificate, in Postfix's words.",
  fields: {
    session: "text",
    listener: "text",
    client: "text",
    ...tlsFields,
    subject: "text?",
    /** Trace level 0: the journal has it, people are not told. */
    isQuiet: "flag?",
    details: "data?",
  },
  line: (e) => (e.isQuiet === true ? undefined : establishedText(e, "from", e.client)),
});

export const tlsClosed = defineEvent({
  name: "session.tls-closed",
  level: "info",
  speaker: "smtpd",
  says: "A TLS connection ended: with the client's close_notify (clean) or without, and what that means at that point of the dialogue.",
  fields: {
    session: "text",
    listener: "text",
    client: "text",
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
  line: (e) => (e.isQuiet === true ? undefined : `TLS connection from ${e.client} closed ${closedText(e)}`),
});

const failureFields = {
  session: "text",
  listener: "text",
  client: "text",
  ...findingFields,
  details: "data?",
} as const;

export const handshakeFailed = defineEvent({
  name: "session.tls-failed",
  level: "info",
  speaker: "smtpd",
  says: "The TLS handshake with the client failed: why, whose fault it is, and what usually cures it.",
  fields: failureFields,
  line: (e) => `SSL_accept error from ${e.client}: ${findingText(e)}`,
});

export const tlsTrace = defineEvent({
  name: "session.tls-trace",
  level: "info",
  speaker: "smtpd",
  says: "What a trace shows of a client's TLS connection: a step, or a line of hex and ASCII as on the wire.",
  fields: { session: "text", listener: "text", client: "text", shown: "text" },
  line: (e) => `TLS trace ${e.session} ${e.client}: ${e.shown}`,
});

export const tlsTrouble = defineEvent({
  name: "session.tls-trouble",
  level: "info",
  speaker: "smtpd",
  says: "Something went wrong with TLS after the handshake: the connection was cut, or the client's certificate is not what the listener asks for, and it gets no service.",
  fields: failureFields,
  line: (e) => `TLS error from ${e.client}: ${findingText(e)}`,
});

export const injection = defineEvent({
  name: "session.injection",
  level: "warning",
  speaker: "smtpd",
  says: "Plaintext came behind STARTTLS, before TLS: somebody on the way may have put it there to be taken for encrypted. Nothing of it was heard; the connection was closed.",
  fields: { ...failureFields, bytes: "bytes", when: "text" },
  line: (e) => `warning: injection from ${e.client}: ${e.bytes} bytes of plaintext ${e.when}, before TLS; refused`,
});

export const authenticated = defineEvent({
  name: "session.authenticated",
  level: "info",
  speaker: "smtpd",
  says: "The client proved an account.",
  fields: { session: "text", client: "text", mechanism: "text", account: "text" },
  // The message's client= line tells people.
  line: () => undefined,
});

export const authenticationFailed = defineEvent({
  name: "session.authentication-failed",
  level: "warning",
  speaker: "smtpd",
  says: "A password was wrong, or could not be checked.",
  fields: { session: "text", client: "text", mechanism: "text", user: "text", reason: "text" },
  line: (e) => `warning: ${e.client}: SASL ${e.mechanism} authentication failed: ${e.reason}, sasl_username=${e.user}`,
});

export const loginsBlocked = defineEvent({
  name: "session.logins-blocked",
  level: "warning",
  speaker: "smtpd",
  says: "So many logins from an address, or into an account, have failed that none is looked at for a while. Told once for each block.",
  fields: { session: "text", client: "text", what: "text", key: "text", failures: "count", untilAt: "at" },
  line: (e) =>
    `warning: logins ${e.what === "account" ? `into ${e.key}` : `from ${e.key}`} are blocked after ${e.failures} failures` +
    ` until ${formatRfc3339(e.untilAt)}; last from ${e.client}`,
});

export const loginUnheard = defineEvent({
  name: "session.login-unheard",
  level: "debug",
  speaker: "smtpd",
  says: "A login was not looked at: its address or account is blocked.",
  fields: { session: "text", client: "text", mechanism: "text", user: "text", what: "text", untilAt: "at" },
  line: (e) =>
    `${e.client}: SASL ${e.mechanism} authentication not heard: ${e.what} is blocked, sasl_username=${e.user}`,
});

export const actedFor = defineEvent({
  name: "session.xclient",
  level: "info",
  speaker: "smtpd",
  says: "A trusted client said with XCLIENT for whom it speaks.",
  fields: { session: "text", client: "text", for: "text" },
  line: (e) => `XCLIENT from ${e.client}: now acting for ${e.for}`,
});

export const tlsOnPlaintextPort = defineEvent({
  name: "session.tls-on-plaintext-port",
  level: "info",
  speaker: "smtpd",
  says: "The client began a TLS handshake where plaintext is spoken first; the connection was closed.",
  fields: failureFields,
  line: (e) =>
    `warning: TLS handshake on the plaintext port of ${e.listener} from ${e.client}: ${findingText(e)}` +
    (e.ja4 === undefined ? "" : `; ja4=${e.ja4}`),
});

export const mailDiscarded = defineEvent({
  name: "session.discarded",
  level: "info",
  speaker: "cleanup",
  says: "A message was accepted and thrown away, because a filter said so, or took away all of its recipients.",
  fields: { session: "text", message: "text", from: "text", recipients: "count", filter: "text?", because: "text?" },
  line: (e) =>
    `${e.message}: discard: from=<${e.from}>, ${e.recipients} recipients` +
    (e.filter === undefined ? "" : `, filter=<${e.filter}>`) +
    (e.because === undefined || e.because === "" ? "" : `: ${e.because}`),
});

export const mailFilteredOn = defineEvent({
  name: "session.handed-over",
  level: "info",
  speaker: "smtpd",
  says: "A filter has passed the message on itself, and it was taken there: nothing of it is kept here.",
  fields: { session: "text", message: "text", filter: "text", reply: "text" },
  line: (e) => `${e.message}: handed over by filter ${e.filter}: ${e.reply}`,
});

export const recipientNotAdded = defineEvent({
  name: "session.recipient-not-added",
  level: "warning",
  speaker: "cleanup",
  says: "A filter added a recipient that the rules do not accept. The message goes to the others.",
  fields: { session: "text", message: "text", recipient: "text", because: "text" },
  line: (e) => `${e.message}: a filter's recipient <${e.recipient}> is not added: ${e.because}`,
});

export const mailQuarantined = defineEvent({
  name: "session.quarantined",
  level: "info",
  speaker: "cleanup",
  says: "A message is kept, in quarantine: it goes nowhere until somebody has looked at it (`posthorn quarantine`).",
  fields: {
    session: "text",
    message: "text",
    from: "text",
    /** The first of them, as the client gave it. */
    to: "text",
    recipients: "count",
    filter: "text",
    because: "text?",
  },
  line: (e) =>
    `${e.message}: quarantine: from=<${e.from}>, to=<${e.to}>${e.recipients > 1 ? ` and ${e.recipients - 1} more` : ""}, filter=<${e.filter}>` +
    (e.because === undefined || e.because === "" ? "" : `: ${e.because}`),
});
