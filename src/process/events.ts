import { defineEvent } from "../foundation/events.ts";
import { formatDuration } from "../foundation/units.ts";

export const serverStarted = defineEvent({
  name: "server.started",
  level: "info",
  speaker: "master",
  says: "The server is up: every role runs and every listener listens.",
  fields: { version: "text", layout: "text", listeners: "list", settings: "text", tookMs: "ms" },
  line: (e) =>
    `daemon started -- version ${e.version}, layout ${e.layout}, settings ${e.settings}, listening on ${e.listeners.join(" ")}`,
});

export const databaseSetAside = defineEvent({
  name: "server.database-set-aside",
  level: "error",
  speaker: "master",
  says: "A database of facts that mail can do without was damaged on the disk: the file is kept under another name, and a new one begun.",
  fields: { holds: "text", file: "text", aside: "text", problem: "text" },
  line: (e) =>
    `error: ${e.file}, which holds ${e.holds}, is damaged: ${e.problem}; it is now ${e.aside}, and a new one is begun: look after the disk, and remove it when nobody wants to look into it`,
});

export const serverStopping = defineEvent({
  name: "server.stopping",
  level: "info",
  speaker: "master",
  says: "An orderly stop began: no new connections; what runs may finish within the deadline.",
  fields: { because: "text", deadlineMs: "ms" },
  line: (e) => `terminating: ${e.because}; running transactions may take ${e.deadlineMs / 1000} s`,
});

export const serverStopped = defineEvent({
  name: "server.stopped",
  level: "info",
  speaker: "master",
  says: "The server has stopped in good order.",
  fields: { tookMs: "ms" },
  line: (e) => `stopped after ${e.tookMs} ms`,
});

export const settingsReloaded = defineEvent({
  name: "server.reloaded",
  level: "info",
  speaker: "master",
  says: "New settings are in force; running sessions keep those they began with.",
  fields: { settings: "text", by: "text", tookMs: "ms", changed: "list", needsRestart: "list" },
  line: (e) =>
    `reload -- settings ${e.settings} in force, asked by ${e.by}` +
    (e.needsRestart.length === 0 ? "" : `; only after a restart: ${e.needsRestart.join(", ")}`),
});

export const reloadFailed = defineEvent({
  name: "server.reload-failed",
  level: "error",
  speaker: "master",
  says: "The new settings were refused; the old ones stay in force.",
  fields: { settings: "text", by: "text", errors: "list" },
  line: (e) => `reload refused, the old settings stay: ${e.errors.join("; ")}`,
});

export const workerStarted = defineEvent({
  name: "worker.started",
  level: "debug",
  speaker: "master",
  says: "A worker process is ready.",
  fields: { role: "text", worker: "text", pid: "count", tookMs: "ms" },
  line: (e) => `${e.worker}: ready, pid ${e.pid}, after ${e.tookMs} ms`,
});

export const workerLost = defineEvent({
  name: "worker.lost",
  level: "error",
  speaker: "master",
  says: "A worker process ended although nobody asked it to; it is started again.",
  fields: { role: "text", worker: "text", pid: "count", how: "text", restartInMs: "ms" },
  line: (e) => `warning: process ${e.worker} pid ${e.pid} ended: ${e.how}; starting it again in ${e.restartInMs} ms`,
});

export const workerNotStarted = defineEvent({
  name: "worker.not-started",
  level: "error",
  speaker: "master",
  says: "A worker process that had ended could not be started again: the system gave none. It says why: there are no descriptors (EMFILE, ENFILE), processes (EAGAIN) or memory (ENOMEM) left, or Node's program is not where it was (ENOENT). It is tried again, with growing pauses of up to 30 s, until it works; nothing else has to be done than to mend the cause.",
  fields: { role: "text", worker: "text", how: "text", againInMs: "ms" },
  line: (e) => `warning: process ${e.worker} could not be started: ${e.how}; trying again in ${e.againInMs} ms`,
});

export const workerHangs = defineEvent({
  name: "worker.hangs",
  level: "error",
  speaker: "master",
  says: "A worker process stood still: it did not answer its supervisor for a minute. It was killed and is started again; what it had in hand is tried again.",
  fields: { role: "text", worker: "text", pid: "count", forMs: "ms" },
  line: (e) => `warning: process ${e.worker} pid ${e.pid} stood still for ${e.forMs / 1000} s; killed`,
});

export const workerUnresponsive = defineEvent({
  name: "worker.unresponsive",
  level: "error",
  speaker: "master",
  says: "A worker process did not end within the deadline of an orderly stop and was killed.",
  fields: { role: "text", worker: "text", pid: "count", deadlineMs: "ms" },
  line: (e) => `warning: process ${e.worker} pid ${e.pid} did not stop within ${e.deadlineMs} ms; killed`,
});

export const tableTrouble = defineEvent({
  name: "server.table-trouble",
  level: "warning",
  speaker: "master",
  says: "A table could not be read anew; what was read before stays in force.",
  fields: { table: "text", problem: "text" },
  line: (e) => `warning: table ${e.table}: ${e.problem}`,
});

export const certificateTrouble = defineEvent({
  name: "tls.certificate-trouble",
  level: "warning",
  speaker: "master",
  says: "A certificate, key, table or file of authorities cannot be used as it is now; what was read before stays in force.",
  fields: { source: "text", problem: "text" },
  line: (e) => `warning: certificates: ${e.source}: ${e.problem}`,
});

export const certificateTaken = defineEvent({
  name: "tls.certificate-taken",
  level: "info",
  speaker: "master",
  says: "A new certificate is shown from the next handshake on, by every process.",
  fields: { source: "text", names: "list", until: "text" },
  line: (e) => `certificate ${e.source} for ${e.names.join(", ")} in force, valid until ${e.until}`,
});

export const certificateAge = defineEvent({
  name: "tls.certificate-age",
  level: "warning",
  speaker: "master",
  says: "A certificate has expired or expires soon; told daily. At a start and a reload the check of the settings says it.",
  fields: { source: "text", problem: "text" },
  line: (e) => `warning: certificate ${e.source} ${e.problem}`,
});

const issuedFields = {
  certificate: "text",
  keyKind: "text",
  names: "list",
  because: "text",
  until: "text",
  tookMs: "ms",
} as const;

export const certificateIssued = defineEvent({
  name: "acme.issued",
  level: "info",
  speaker: "master",
  says: "An authority has issued a certificate that was not there before; it is in force.",
  fields: issuedFields,
  line: (e) =>
    `certificate ${e.certificate} (${e.keyKind}) for ${e.names.join(", ")} issued, valid until ${e.until}, after ${e.tookMs} ms`,
});

export const certificateRenewed = defineEvent({
  name: "acme.renewed",
  level: "info",
  speaker: "master",
  says: "An authority has issued a certificate in the place of another: because that was old (renewal), had other names (names) or somebody asked (asked). It is in force.",
  fields: issuedFields,
  line: (e) =>
    `certificate ${e.certificate} (${e.keyKind}) for ${e.names.join(", ")} renewed (${e.because}), valid until ${e.until}, after ${e.tookMs} ms`,
});

const orderTroubleFields = {
  certificate: "text",
  keyKind: "text",
  names: "list",
  reason: "text",
  problem: "text",
  cure: "text",
  failures: "count",
  nextAt: "at",
  nextInMs: "ms",
} as const;

export const certificateNotIssued = defineEvent({
  name: "acme.failed",
  level: "error",
  speaker: "master",
  says: "A certificate was not issued: why, what usually cures it, and when it is tried again. What is there stays in force.",
  fields: orderTroubleFields,
  line: (e) =>
    `error: certificate ${e.certificate} (${e.keyKind}) not issued: ${e.problem}; ${e.cure}; failure ${e.failures}, next try in ${formatDuration(Math.ceil(e.nextInMs / 1000) * 1000)}`,
});

export const certificateDueAgain = defineEvent({
  name: "acme.due-again",
  level: "warning",
  speaker: "master",
  says: "A certificate was issued, is in force, and would be asked for again at once: why, what usually cures it, and when the next order is.",
  fields: orderTroubleFields,
  line: (e) =>
    `warning: certificate ${e.certificate} (${e.keyKind}): ${e.problem}; ${e.cure}; next order in ${formatDuration(Math.ceil(e.nextInMs / 1000) * 1000)}`,
});

export const acmeTrouble = defineEvent({
  name: "acme.trouble",
  level: "warning",
  speaker: "master",
  says: "The part that gets certificates from an authority cannot work as it should.",
  fields: { problem: "text" },
  line: (e) => `warning: acme: ${e.problem}`,
});

export const settingsWarning = defineEvent({
  name: "server.settings-warning",
  level: "warning",
  speaker: "master",
  says: "The settings are in force, but something in them is probably not meant so.",
  fields: { problem: "text" },
  // `posthorn.yaml:4:5: warning: …`: the word stands behind the place, as the check writes it.
  line: (e) => (e.problem.includes(": warning: ") ? e.problem : `warning: ${e.problem}`),
});

export const roleTrouble = defineEvent({
  name: "server.role-trouble",
  level: "error",
  speaker: "master",
  says: "A part of the server could not end in good order; it is left behind.",
  fields: { role: "text", problem: "text" },
  line: (e) => `warning: ${e.role}: ${e.problem}`,
});

export const traceLine = defineEvent({
  name: "trace.line",
  level: "debug",
  speaker: "master",
  speaksAs: ({ topic }) => (topic === "scheduler" ? "qmgr" : topic === "smtp" ? "smtpd" : "smtp"),
  isAsked: true,
  says: "A line of a trace that the operator switched on (`posthorn trace on`): a step of the scheduler, a line of a dialogue, a question to a DNS server.",
  fields: { topic: "text", shown: "text" },
  line: (e) => `trace ${e.topic}: ${e.shown}`,
});

export const topicTraced = defineEvent({
  name: "server.topic-traced",
  level: "warning",
  speaker: "master",
  says: "The operator has steps, dialogues or questions shown in the log until a time.",
  fields: { topic: "text", filter: "text?", untilAt: "at" },
  line: (e) =>
    `${e.topic}${e.filter === undefined ? "" : ` with ${JSON.stringify(e.filter)}`} is traced until ${new Date(e.untilAt).toISOString()}`,
});

export const topicTraceEnded = defineEvent({
  name: "server.topic-trace-ended",
  level: "info",
  speaker: "master",
  says: "The operator ended such a trace before its time.",
  fields: { topic: "text" },
  line: (e) => `${e.topic} is no longer traced`,
});

export const traceSet = defineEvent({
  name: "server.trace-set",
  level: "warning",
  speaker: "master",
  says: "The operator has TLS connections shown in the log, or decrypted into a file, until a time.",
  fields: { target: "text", trace: "count", untilAt: "at", decrypted: "text?" },
  line: (e) =>
    `TLS of ${e.target} is traced at level ${e.trace} until ${new Date(e.untilAt).toISOString()}` +
    (e.decrypted === undefined ? "" : `; its decrypted content goes into ${e.decrypted}`),
});

export const traceEnded = defineEvent({
  name: "server.trace-ended",
  level: "info",
  speaker: "master",
  says: "The operator ended a trace of TLS connections before its time.",
  fields: { target: "text" },
  line: (e) => `TLS of ${e.target} is no longer traced`,
});

export const traceTrouble = defineEvent({
  name: "server.trace-trouble",
  level: "warning",
  speaker: "master",
  says: "A file of decrypted content could not be written.",
  fields: { problem: "text" },
  line: (e) => `warning: a trace is not written: ${e.problem}`,
});

export const submitListening = defineEvent({
  name: "process.submit-listening",
  level: "info",
  speaker: "pickup",
  says: "Users of this host may hand in mail through this socket.",
  fields: { path: "text" },
  line: (e) => `listening on ${e.path} for users of this host`,
});

export const submitTrouble = defineEvent({
  name: "process.submit-trouble",
  level: "warning",
  speaker: "pickup",
  says: "The socket for users of this host cannot take a connection at the moment, or is not there at all.",
  fields: { problem: "text" },
  line: (e) => `warning: mail from users of this host: ${e.problem}`,
});
