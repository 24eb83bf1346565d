import { defineEvent, type FieldsOf, type Speaker } from "../../foundation/events.ts";

/**
 * What the scheduler tells. The lines of attempts are Postfix's, field for field, so that people's tools count them;
 * there is one event for each speaker because the speaker is part of the line's prefix.
 */
const attemptFields = {
  message: "text",
  envelope: "text",
  to: "text",
  origTo: "text?",
  /** `name[address]:port`, `maildir:…`, or `none`. */
  relay: "text",
  /** The session with the next host: its lines belong to the message's story. */
  session: "text?",
  delay: "text",
  delays: "text",
  dsn: "text",
  status: "text",
  /** The next host's reply, or what went wrong. */
  reply: "text",
  attempt: "count",
  took: "ms",
} as const;

export type AttemptFields = FieldsOf<typeof attemptFields>;

const attemptEnded = (speaker: Speaker, says: string) =>
  defineEvent({
    name: `delivery.${speaker}`,
    level: "info",
    speaker,
    says,
    fields: attemptFields,
    line: (e) =>
      `${e.message}: to=<${e.to}>, ${e.origTo === undefined ? "" : `orig_to=<${e.origTo}>, `}relay=${e.relay}, ` +
      `delay=${e.delay}, delays=${e.delays}, dsn=${e.dsn}, status=${e.status} (${e.reply})`,
  });

export const smtpAttempt = attemptEnded("smtp", "An attempt over SMTP ended: sent, deferred or bounced.");
export const lmtpAttempt = attemptEnded("lmtp", "An attempt over LMTP ended: sent, deferred or bounced.");
export const localAttempt = attemptEnded("local", "An attempt of final delivery ended: sent, deferred or bounced.");
export const discardAttempt = attemptEnded("discard", "An envelope was discarded because its action says so.");
export const queueAttempt = attemptEnded(
  "qmgr",
  "An envelope could not be given to any delivery, or an operator returned it.",
);

/** The end of an attempt, by who made it. */
export const attemptBy = {
  smtp: smtpAttempt,
  lmtp: lmtpAttempt,
  local: localAttempt,
  discard: discardAttempt,
  qmgr: queueAttempt,
} as const;
export type AttemptSpeaker = keyof typeof attemptBy;

export const active = defineEvent({
  name: "queue.active",
  level: "info",
  speaker: "qmgr",
  says: "Envelopes of a message became due; the message is being worked on.",
  fields: { message: "text", from: "text", size: "bytes", recipients: "count" },
  line: (e) => `${e.message}: from=<${e.from}>, size=${e.size}, nrcpt=${e.recipients} (queue active)`,
});

export const removed = defineEvent({
  name: "queue.removed",
  level: "info",
  speaker: "qmgr",
  says: "The last envelope of a message left the queue, and the message with it.",
  fields: { message: "text" },
  line: (e) => `${e.message}: removed`,
});

export const expired = defineEvent({
  name: "queue.expired",
  level: "info",
  speaker: "qmgr",
  says: "Envelopes were tried for as long as settings say; they are returned to the sender.",
  fields: { message: "text", from: "text", envelopes: "list" },
  line: (e) => `${e.message}: from=<${e.from}>, status=expired, returned to sender`,
});

export const died = defineEvent({
  name: "queue.dead",
  level: "warning",
  speaker: "qmgr",
  says: "An envelope from the null sender failed for good; there is nobody to tell, so it is kept as dead for a while.",
  fields: { envelope: "text", to: "text", until: "at" },
  line: (e) => `${e.envelope}: from=<>, to=<${e.to}>: undeliverable and not returnable, kept as dead`,
});

export const deadRemoved = defineEvent({
  name: "queue.dead-removed",
  level: "warning",
  speaker: "qmgr",
  says: "A dead envelope had been kept for as long as settings say and was taken out.",
  fields: { envelope: "text", to: "text" },
  line: (e) => `${e.envelope}: from=<>, to=<${e.to}>: dead envelope removed after its time`,
});

export const noticeQueued = defineEvent({
  name: "bounce.queued",
  level: "info",
  speaker: "bounce",
  says: "A delivery status notification was queued, in one step with the change it tells of.",
  fields: { message: "text", notice: "text", kind: "text", to: "text" },
  line: (e) =>
    `${e.message}: ${e.to === "postmaster" ? "postmaster" : "sender"} ${NOTICE_NAMES[e.kind] ?? e.kind}: ${e.notice}`,
});

const NOTICE_NAMES: Readonly<Record<string, string>> = {
  bounce: "non-delivery notification",
  delay: "delay notification",
  success: "delivery status notification",
};

export const noticeFailed = defineEvent({
  name: "bounce.failed",
  level: "error",
  speaker: "bounce",
  says: "A notification could not be made. A bounce or delay notice is tried again; a success notice is left out.",
  fields: { message: "text", kind: "text", problem: "text" },
  line: (e) => `error: ${e.message}: ${NOTICE_NAMES[e.kind] ?? e.kind} could not be made: ${e.problem}`,
});

export const held = defineEvent({
  name: "queue.held",
  level: "info",
  speaker: "qmgr",
  says: "An envelope is held: not tried, warned about or expired until it is released.",
  fields: { message: "text", envelope: "text", to: "text", because: "text", until: "at?" },
  line: (e) => `${e.message}: hold: to=<${e.to}>: ${e.because}`,
});

export const released = defineEvent({
  name: "queue.released",
  level: "info",
  speaker: "qmgr",
  says: "A held or dead envelope is tried again.",
  fields: { message: "text", envelope: "text", to: "text" },
  line: (e) => `${e.message}: released from hold: to=<${e.to}>`,
});

export const removedByOperator = defineEvent({
  name: "queue.removed-by-operator",
  level: "info",
  speaker: "qmgr",
  says: "An operator took an envelope out of the queue; its sender is not told.",
  fields: { message: "text", envelope: "text", to: "text", because: "text" },
  line: (e) => `${e.message}: removed by operator: to=<${e.to}>: ${e.because}`,
});

export const routeRests = defineEvent({
  name: "route.rests",
  level: "info",
  speaker: "qmgr",
  says: "A route (or a relay whose hosts could not be found) failed and rests; what goes there waits for it.",
  fields: { route: "text", penalty: "count", rest: "ms", until: "at", because: "text" },
  line: (e) => `route ${e.route} rests for ${Math.round(e.rest / 1000)} s, penalty ${e.penalty} (${e.because})`,
});

export const routeResumed = defineEvent({
  name: "route.resumed",
  level: "info",
  speaker: "qmgr",
  says: "A route that had failed works again.",
  fields: { route: "text", penalty: "count" },
  line: (e) => `route ${e.route} works again, penalty ${e.penalty}`,
});

export const paused = defineEvent({
  name: "scheduler.paused",
  level: "warning",
  speaker: "qmgr",
  says: "An operator paused reception, network delivery or final delivery.",
  fields: { direction: "text", because: "text" },
  line: (e) => `paused ${e.direction}: ${e.because}`,
});

export const resumed = defineEvent({
  name: "scheduler.resumed",
  level: "info",
  speaker: "qmgr",
  says: "An operator resumed what had been paused.",
  fields: { direction: "text" },
  line: (e) => `resumed ${e.direction}`,
});

export const loaded = defineEvent({
  name: "scheduler.loaded",
  level: "info",
  speaker: "qmgr",
  says: "The scheduler knows everything that the queue held when it was opened.",
  fields: { envelopes: "count", took: "ms" },
  line: (e) => `loaded ${e.envelopes} envelopes in ${e.took} ms`,
});

export const storeLost = defineEvent({
  name: "scheduler.store-lost",
  level: "error",
  speaker: "qmgr",
  says: "The queue's store failed: nothing is handed out until it is recovered and what was not written is written.",
  fields: { problem: "text", unwritten: "count" },
  line: (e) => `error: queue store failed: ${e.problem}; delivery stops, ${e.unwritten} outcomes wait to be written`,
});

export const storeRegained = defineEvent({
  name: "scheduler.store-regained",
  level: "warning",
  speaker: "qmgr",
  says: "The store is usable again, the outcomes that waited are written, and delivery goes on.",
  fields: { waited: "ms" },
  line: (e) => `warning: queue store usable again after ${Math.round(e.waited / 1000)} s; delivery goes on`,
});

export const deliveryUnavailable = defineEvent({
  name: "scheduler.delivery-unavailable",
  level: "warning",
  speaker: "qmgr",
  says: "A delivery process died or refused in the middle of an attempt; the envelopes are tried again soon.",
  fields: { what: "text", problem: "text" },
  line: (e) => `warning: ${e.what}: ${e.problem}; trying again`,
});
