import { defineEvent } from "../../../foundation/events.ts";

export const hookStrayed = defineEvent({
  name: "filter.hook-strayed",
  level: "warning",
  speaker: "smtpd",
  says: "Code of hooks failed where nobody waits for it: a promise without await, a timer. No mail is touched by it.",
  fields: { filter: "text", reason: "text" },
  line: (e) => `warning: filter ${e.filter}: failed behind its answer: ${e.reason}`,
});

export const hookThreadEnded = defineEvent({
  name: "filter.hook-thread-ended",
  level: "warning",
  speaker: "smtpd",
  says: "The thread of hooks was ended or has ended by itself; the next question starts another. What it was asked counts as failed.",
  fields: { filter: "text", reason: "text" },
  line: (e) => `warning: filter ${e.filter}: its thread has ended: ${e.reason}`,
});
