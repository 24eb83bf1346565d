import type { DatabaseKind } from "../../../foundation/database-format.ts";

/** What greylisting keeps: who came with which mail, and which networks have shown that they come again. */
export const greylistDatabase: DatabaseKind = {
  holds: "what greylisting remembers",
  // "Psgr"
  application: 0x5073_6772,
  format: 1,
  schema: `
    CREATE TABLE triplets (network TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
      firstAt INTEGER NOT NULL, lastAt INTEGER NOT NULL, hasPassed INTEGER NOT NULL,
      PRIMARY KEY (network, sender, recipient)) WITHOUT ROWID;
    CREATE INDEX tripletsByAge ON triplets (hasPassed, lastAt);
    CREATE TABLE networks (network TEXT PRIMARY KEY, passes INTEGER NOT NULL, lastPassAt INTEGER NOT NULL,
      lastAt INTEGER NOT NULL, isByHand INTEGER NOT NULL) WITHOUT ROWID;`,
  // Before formats were counted there were the same tables.
  steps: { 0: "" },
  unmarkedUpTo: 0,
  otherwise: "or move the file away: who was known waits once more",
};
