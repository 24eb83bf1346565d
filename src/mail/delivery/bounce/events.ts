import { defineEvent } from "../../../foundation/events.ts";

/** Events of the notices to senders. That one was queued is told by the scheduler. */

export const noticeUnroutable = defineEvent({
  name: "bounce.unroutable",
  level: "warning",
  speaker: "bounce",
  says: "A notice is due, but there is no way to its addressee: it is not sent. What cannot be returned is kept as dead, or told to postmaster.",
  fields: { message: "text", kind: "text", to: "text", because: "text" },
  line: (e) => `warning: ${e.message}: no ${e.kind} notice to <${e.to}>: ${e.because}`,
});

export const contentNotReturned = defineEvent({
  name: "bounce.content-not-returned",
  level: "warning",
  speaker: "bounce",
  says: "The message a notice is about could not be read, so the notice goes without it.",
  fields: { message: "text", problem: "text" },
  line: (e) => `warning: ${e.message}: content is not returned: ${e.problem}`,
});
