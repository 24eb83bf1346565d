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
  says: "An envelope failed for good and nobody can be told: it is from the null sender, or there is no way back to its sender. It is kept as dead for a while.",
  fields: { envelope: "text", from: "text", to: "text", because: "text?", until: "at" },
  line: (e) =>
    `${e.envelope}: from=<${e.from}>, to=<${e.to}>: undeliverable and not returnable, kept as dead${
      e.because === undefined ? "" : `: ${e.because}`
    }`,
});

export const deadRemoved = defineEvent({
  name: "queue.dead-removed",
  level: "warning",
  speaker: "qmgr",
  says: "A dead envelope had been kept for as long as settings say and was taken out.",
  fields: { envelope: "text", from: "text", to: "text" },
  line: (e) => `${e.envelope}: from=<${e.from}>, to=<${e.to}>: dead envelope removed after its time`,
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

export const writeRefused = defineEvent({
  name: "queue.write-refused",
  level: "error",
  speaker: "qmgr",
  says: "The queue refused to write what became of an envelope. It is written again after a while, and not tried before; without a wait the server stops, and the envelope is tried anew after the next start. Look at what the queue's program, or its database, says.",
  fields: { message: "text", envelope: "text", to: "text", because: "text", wait: "ms?" },
  line: (e) => {
    const next =
      e.wait === undefined
        ? "the server stops, and it is tried anew"
        : `written again in ${Math.round(e.wait / 1000)} s`;
    return `error: ${e.message}: to=<${e.to}>: the queue refuses what became of it: ${e.because}; ${next}`;
  },
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

export const suspended = defineEvent({
  name: "scheduler.suspended",
  level: "warning",
  speaker: "qmgr",
  says: "An operator suspended something: mail under it, also what is yet to come, is not tried until that ends.",
  fields: { level: "text", key: "text", because: "text", by: "text", until: "at?" },
  line: (e) => `suspended ${e.level} ${e.key} by ${e.by}: ${e.because}`,
});

export const suspensionEnded = defineEvent({
  name: "scheduler.suspension-ended",
  level: "info",
  speaker: "qmgr",
  says: "A suspension was lifted by an operator (`by`) or its time is over; what it held is due.",
  fields: { level: "text", key: "text", by: "text?", envelopes: "count" },
  line: (e) =>
    `suspension of ${e.level} ${e.key} ${e.by === undefined ? "is over" : `lifted by ${e.by}`}, ${e.envelopes} envelopes held`,
});

export const suspensionUnreadable = defineEvent({
  name: "scheduler.suspension-unreadable",
  level: "error",
  speaker: "qmgr",
  says: "What the queue keeps of a suspension cannot be understood; it is not in force. Set it again.",
  fields: { key: "text" },
  line: (e) => `error: the ${e.key} kept in the queue cannot be understood and is not in force`,
});

export const removedByOperator = defineEvent({
  name: "queue.removed-by-operator",
  level: "info",
  speaker: "qmgr",
  says: "An operator took an envelope out of the queue; its sender is not told.",
  fields: { message: "text", envelope: "text", to: "text", because: "text" },
  line: (e) => `${e.message}: removed by operator: to=<${e.to}>: ${e.because}`,
});

export const changeUndone = defineEvent({
  name: "queue.change-undone",
  level: "warning",
  speaker: "qmgr",
  says: "What an operator wanted done with an envelope was not done: the attempt that ran then delivered it, the server stopped before that had ended, or its bounce could not be made.",
  fields: { message: "text", envelope: "text", to: "text", wanted: "text", why: "text" },
  line: (e) => `warning: ${e.message}: not ${e.wanted}: to=<${e.to}>: ${e.why}`,
});

export const routeRests = defineEvent({
  name: "route.rests",
  level: "info",
  speaker: "qmgr",
  says: "A route (or a relay whose hosts could not be found) failed and rests; what goes there waits for it.",
  fields: { route: "text", penalty: "count", rest: "ms", until: "at", because: "text" },
  line: (e) => `route ${e.route} rests for ${Math.round(e.rest / 1000)} s, penalty ${e.penalty} (${e.because})`,
});

export const sourceRests = defineEvent({
  name: "source.rests",
  level: "warning",
  speaker: "qmgr",
  says: "This machine does not have an address that connections were to come from; other addresses carry on without it.",
  fields: { source: "text", rest: "ms", until: "at", because: "text" },
  line: (e) =>
    `warning: source ${e.source} cannot be used and rests for ${Math.round(e.rest / 1000)} s: is it an address of this machine? (${e.because})`,
});

export const clockSetBack = defineEvent({
  name: "scheduler.clock-set-back",
  level: "warning",
  speaker: "qmgr",
  says: "The machine's clock was set back; what waits goes on waiting for as long as it still had to.",
  fields: { by: "ms" },
  line: (e) => `warning: the clock was set back by ${Math.round(e.by / 1000)} s; waits go on from the new time`,
});

export const routeResumed = defineEvent({
  name: "route.resumed",
  level: "info",
  speaker: "qmgr",
  says: "A route that had failed works again.",
  fields: { route: "text", penalty: "count" },
  line: (e) => `route ${e.route} works again, penalty ${e.penalty}`,
});

export const greylistSeen = defineEvent({
  name: "relay.greylists",
  level: "info",
  speaker: "qmgr",
  says: "Some recipients in a row were refused for now: the relay seems to greylist. Says what is done about it.",
  fields: { relay: "text", refused: "count", ready: "count", plan: "text", wait: "ms?", until: "at?", because: "text" },
  line: (e) =>
    `relay ${e.relay} seems to greylist: ${e.refused} recipients in a row refused; ` +
    `${GREYLIST_PLANS[e.plan]?.(Math.round((e.wait ?? 0) / 1000), e.ready) ?? e.plan} (${e.because})`,
});

const GREYLIST_PLANS: Readonly<Record<string, (seconds: number, ready: number) => string>> = {
  presenting: (seconds, ready) => `the rest (${ready}) is presented once, those refused again after ${seconds} s`,
  resting: (seconds, ready) => `the rest (${ready}) waits ${seconds} s`,
  "put-off": (seconds, ready) => `the rest (${ready}) is put off for ${seconds} s`,
};

export const greylistPassed = defineEvent({
  name: "relay.greylist-passed",
  level: "info",
  speaker: "qmgr",
  says: "A relay that seemed to greylist takes mail again; what waited there goes on.",
  fields: { relay: "text", ready: "count" },
  line: (e) => `relay ${e.relay} takes mail again: ${e.ready} go on`,
});

export const greylistLearnt = defineEvent({
  name: "relay.greylist-learnt",
  level: "info",
  speaker: "qmgr",
  says: "It was learnt what a relay's refusals follow: each recipient (nobody is held back then), or no greylisting at all.",
  fields: { relay: "text", keys: "text", until: "at" },
  line: (e) =>
    e.keys === "recipient"
      ? `relay ${e.relay} greylists each recipient: each is presented once, nobody is held back`
      : `relay ${e.relay} refuses some recipients, but does not greylist: nobody is held back`,
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

export const contentLost = defineEvent({
  name: "scheduler.content-lost",
  level: "error",
  speaker: "qmgr",
  says: "The queue has a message whose content is missing in its database: somebody or something changed the spool. It is tried again, for the content may come back from a backup; at its end the sender is told, without the content. `posthorn queue bounce` tells him at once.",
  fields: { message: "text" },
  line: (e) =>
    `error: ${e.message}: its content is not in the queue any more: bring the queue back from a backup, or return the mail (posthorn queue bounce ${e.message})`,
});

export const deliveryUnavailable = defineEvent({
  name: "scheduler.delivery-unavailable",
  level: "warning",
  speaker: "qmgr",
  says: "A delivery process died or refused in the middle of an attempt; the envelopes are tried again soon.",
  fields: { what: "text", problem: "text" },
  line: (e) => `warning: ${e.what}: ${e.problem}; trying again`,
});
