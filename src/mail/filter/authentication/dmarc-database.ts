import type { DatabaseKind } from "../../../foundation/database-format.ts";

/** What DMARC's reports are made of: by day and domain, alike observations in one row. */
export const dmarcDatabase: DatabaseKind = {
  holds: "what DMARC's reports are made of",
  // "Psdm"
  application: 0x5073_646d,
  format: 1,
  schema: `
    CREATE TABLE reports (domain TEXT NOT NULL, day INTEGER NOT NULL, policy TEXT NOT NULL, mails INTEGER NOT NULL,
      dueAt INTEGER NOT NULL, claimedUntil INTEGER NOT NULL, outcome TEXT, PRIMARY KEY (domain, day)) WITHOUT ROWID;
    CREATE TABLE observed (domain TEXT NOT NULL, day INTEGER NOT NULL, observed TEXT NOT NULL, mails INTEGER NOT NULL,
      PRIMARY KEY (domain, day, observed)) WITHOUT ROWID;`,
  // Before formats were counted there were the same tables.
  steps: { 0: "" },
  unmarkedUpTo: 0,
  otherwise: "or move the file away: the reports of these days are not sent",
};
