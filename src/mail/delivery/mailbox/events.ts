import { defineEvent } from "../../../foundation/events.ts";

/** Events of final delivery. What became of an envelope is told by the scheduler, from the outcome. */

export const mailboxCreated = defineEvent({
  name: "mailbox.created",
  level: "info",
  speaker: "local",
  says: "The first mail for a mailbox: its directories or its file were made.",
  fields: { mailbox: "text", envelope: "text" },
  line: (e) => `${e.envelope}: created mailbox ${e.mailbox}`,
});

export const mailboxRepeat = defineEvent({
  name: "mailbox.repeat",
  level: "info",
  speaker: "local",
  says: "The mail was in the mailbox already, from an attempt whose outcome was lost in a crash: it is not put there twice.",
  fields: { mailbox: "text", envelope: "text" },
  line: (e) => `${e.envelope}: already in ${e.mailbox}, not delivered again`,
});

export const mboxRecovered = defineEvent({
  name: "mailbox.mbox-recovered",
  level: "warning",
  speaker: "local",
  says: "A crash or a failed write had left the end of an mbox unfinished; it is whole again.",
  fields: { mailbox: "text", envelope: "text", what: "text" },
  line: (e) => `warning: ${e.envelope}: mbox ${e.mailbox} recovered: ${e.what}`,
});

export const mboxNotRecovered = defineEvent({
  name: "mailbox.mbox-not-recovered",
  level: "warning",
  speaker: "local",
  says: "The unfinished end of an mbox could not be looked at; it will be before the next delivery into that mbox.",
  fields: { mailbox: "text", problem: "text" },
  line: (e) => `warning: mbox ${e.mailbox} not recovered yet: ${e.problem}`,
});

export const staleLockBroken = defineEvent({
  name: "mailbox.stale-lock-broken",
  level: "warning",
  speaker: "local",
  says: "A dot-lock that nobody alive holds was removed.",
  fields: { lock: "text", because: "text" },
  line: (e) => `warning: broke stale lock ${e.lock}: ${e.because}`,
});

export const forwardBroken = defineEvent({
  name: "mailbox.forward-broken",
  level: "warning",
  speaker: "local",
  says: "A user's .forward is there and cannot be used; mail for the user waits until it is mended.",
  fields: { envelope: "text", user: "text", problem: "text" },
  line: (e) => `warning: ${e.envelope}: the .forward of ${e.user} cannot be used: ${e.problem}`,
});

export const agentStarted = defineEvent({
  name: "mailbox.agent-started",
  level: "debug",
  speaker: "local",
  says: "A process that delivers with users' rights was started.",
  fields: { pid: "count" },
  line: (e) => `started delivery agent ${e.pid}`,
});

export const agentStuck = defineEvent({
  name: "mailbox.agent-stuck",
  level: "warning",
  speaker: "local",
  says: "A delivery with a user's rights does not come back (a file server that hangs). Other users get another process; more mail for this one is put off.",
  fields: { pid: "count", user: "text", forMs: "ms" },
  line: (e) => `warning: delivery for ${e.user} hangs in process ${e.pid} for ${e.forMs} ms`,
});

export const agentLost = defineEvent({
  name: "mailbox.agent-lost",
  level: "warning",
  speaker: "local",
  says: "A process that delivers with users' rights ended before its work did; that mail is tried again.",
  fields: { pid: "count", how: "text", envelopes: "count" },
  line: (e) => `warning: delivery agent ${e.pid} ended: ${e.how}; ${e.envelopes} envelopes are tried again`,
});

export const threadStuck = defineEvent({
  name: "mailbox.thread-stuck",
  level: "warning",
  speaker: "local",
  says: "A delivery into a Maildir does not come back (a file server that hangs). Other mailboxes get another thread; more mail for this one is put off.",
  fields: { mailbox: "text", forMs: "ms" },
  line: (e) => `warning: delivery into ${e.mailbox} hangs for ${e.forMs} ms`,
});

export const threadLost = defineEvent({
  name: "mailbox.thread-lost",
  level: "warning",
  speaker: "local",
  says: "A thread that delivers into Maildirs ended before its work did; that mail is tried again.",
  fields: { how: "text", envelope: "text" },
  line: (e) => `warning: ${e.envelope}: the thread that delivered it ended: ${e.how}; it is tried again`,
});
