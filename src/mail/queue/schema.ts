import type { DatabaseKind } from "../../foundation/database-format.ts";

/** What is kept beside the mail, under keys that begin with the name of what keeps it; the texts are JSON. */
const notes = `
  CREATE TABLE notes (
    key  TEXT PRIMARY KEY,
    text TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/**
 * The format of `queue.db`, readable with any SQLite tool. Message ids are the integers behind the shown ids
 * (`foundation/ids.ts`) and rise with time, so rows of new messages go to the end of every tree.
 *
 * There are no secondary indexes: each would be paid for with every commit. Everything is reached by message id; lists
 * with filters walk the tables in slices (`store-reader.io.ts`), which takes well under a second for 100,000 envelopes.
 * What nobody filters by is JSON: `facts ->> '$.origin.helo'` reads it in SQL.
 */
const schema = `
  CREATE TABLE messages (
    id            INTEGER PRIMARY KEY,
    sender        TEXT    NOT NULL,
    received_at   INTEGER NOT NULL,
    size_bytes    INTEGER NOT NULL,
    deliver_by_at INTEGER,
    body_file     TEXT,
    body_bytes    INTEGER NOT NULL,
    facts         TEXT    NOT NULL
  ) STRICT;

  CREATE TABLE bodies (
    message INTEGER PRIMARY KEY,
    bytes   BLOB NOT NULL
  ) STRICT;

  CREATE TABLE envelopes (
    message      INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    recipient    TEXT    NOT NULL,
    domain       TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    facts        TEXT,
    state        TEXT    NOT NULL,
    due_at       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    progress     TEXT,
    last_failure TEXT,
    PRIMARY KEY (message, n)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE attempts (
    message    INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    took_ms    INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    relay      TEXT    NOT NULL,
    failure    TEXT,
    reply      TEXT,
    PRIMARY KEY (message, n, number)
  ) STRICT, WITHOUT ROWID;
  ${notes}
`;

/** A spool with a higher one is refused. */
export const STORE_FORMAT = 3;

export const queueDatabase: DatabaseKind = {
  holds: "the queue",
  // "Psth"
  application: 0x5073_7468,
  format: STORE_FORMAT,
  schema,
  steps: {
    1: notes,
    // Nothing new in the tables; but envelopes may carry a sender and a target that an older version would not look at.
    2: "",
  },
  unmarkedUpTo: -1,
  otherwise: "it can deliver what is in the queue before you go back",
};

/** How many attempts of an envelope are kept. */
export const MOST_ATTEMPTS = 100;
