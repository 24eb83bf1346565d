import { defineEvent } from "../../foundation/events.ts";

export const filterDown = defineEvent({
  name: "filter.down",
  level: "warning",
  speaker: "cleanup",
  says: "A filter could not be asked, or gave no answer that makes sense. Told once, and again when that changes; what became of the mail stands in `session` events.",
  fields: { filter: "text", reason: "text" },
  line: (e) => `filter ${e.filter}: ${e.reason}`,
});

export const filterUp = defineEvent({
  name: "filter.up",
  level: "info",
  speaker: "cleanup",
  says: "A filter that had failed answers again.",
  fields: { filter: "text" },
  line: (e) => `filter ${e.filter}: answers again`,
});

export const filterVerdict = defineEvent({
  name: "filter.verdict",
  level: "info",
  speaker: "cleanup",
  says: "What a filter said of a command or a mail, where that is more than that it may go on. `failed`: it gave no answer. `skipped`: it was not shown the mail.",
  fields: {
    session: "text",
    message: "text?",
    filter: "text",
    /** connect, helo, auth, mail, rcpt, data, message */
    stage: "text",
    verdict: "text",
    score: "text?",
    symbols: "text?",
    because: "text?",
  },
  line: (e) =>
    `${e.message ?? "NOQUEUE"}: filter ${e.filter}: ${e.verdict} at ${e.stage}` +
    (e.score === undefined ? "" : ` score=${e.score}`) +
    (e.symbols === undefined || e.symbols === "" ? "" : ` symbols=${e.symbols}`) +
    (e.because === undefined || e.because === "" ? "" : `: ${e.because}`),
});

export const filterSaid = defineEvent({
  name: "filter.said",
  level: "info",
  speaker: "cleanup",
  says: "What a filter's program wrote on standard error or reported, or what became of the program itself: that it ended, and when it is started again.",
  fields: { filter: "text", text: "text" },
  line: (e) => `filter ${e.filter}: ${e.text}`,
});
