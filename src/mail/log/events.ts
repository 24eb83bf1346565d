import { defineEvent } from "../../foundation/events.ts";

export const eventsLost = defineEvent({
  name: "log.events-lost",
  level: "warning",
  speaker: "master",
  says: "Events could not be written fast enough and were dropped, debug first. Mail is not affected; the log has a gap.",
  fields: { where: "text", lost: "count", lostDebug: "count" },
  line: (e) => `warning: log: ${e.where}: ${e.lost} events and ${e.lostDebug} debug events lost`,
});

export const sinkFailed = defineEvent({
  name: "log.sink-failed",
  level: "error",
  speaker: "master",
  says: "A log sink or the journal cannot write; what comes meanwhile is kept within a bound, then dropped and counted.",
  fields: { sink: "text", problem: "text" },
  line: (e) => `error: log: ${e.sink}: ${e.problem}`,
});

export const eventRefused = defineEvent({
  name: "log.event-refused",
  level: "error",
  speaker: "master",
  says: "The journal could not keep an event, or its details, whatever the disk does: a fault of Posthorn's. The rest is kept; please report it.",
  fields: { what: "text", problem: "text", more: "count" },
  line: (e) =>
    `error: journal: ${e.what} could not be kept: ${e.problem}${e.more > 0 ? `, and ${e.more} more` : ""}; the rest is kept`,
});

export const sinkRecovered = defineEvent({
  name: "log.sink-recovered",
  level: "info",
  speaker: "master",
  says: "A log sink or the journal that failed writes again.",
  fields: { sink: "text" },
  line: (e) => `log: ${e.sink}: writes again`,
});
