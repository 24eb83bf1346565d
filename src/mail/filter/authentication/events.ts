import { defineEvent } from "../../../foundation/events.ts";

export const dmarcReportSent = defineEvent({
  name: "filter.dmarc-report-sent",
  level: "info",
  speaker: "cleanup",
  says: "A domain's daily report on DMARC was handed to the queue.",
  fields: { domain: "text", to: "list", mails: "count" },
  line: (e) => `DMARC report for ${e.domain} on ${e.mails} mails to ${e.to.join(", ")}`,
});

export const dmarcReportNotSent = defineEvent({
  name: "filter.dmarc-report-not-sent",
  level: "warning",
  speaker: "cleanup",
  says: "A domain's report on DMARC could not be made or handed in. `willRepeat` says whether it is tried again in an hour.",
  fields: { domain: "text", reason: "text", willRepeat: "flag" },
  line: (e) =>
    `warning: DMARC report for ${e.domain} not sent${e.willRepeat ? ", tried again in an hour" : ""}: ${e.reason}`,
});
