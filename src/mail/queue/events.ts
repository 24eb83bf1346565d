import { defineEvent } from "../../foundation/events.ts";

/** Events of the queue's storage. What becomes of messages and envelopes is told by session, scheduler and delivery. */

export const storeOpened = defineEvent({
  name: "queue.store-opened",
  level: "info",
  speaker: "qmgr",
  says: "The queue was opened and recovered from disk.",
  fields: { directory: "text", messages: "count", envelopes: "count", took: "ms" },
  line: (e) => `queue ${e.directory}: ${e.messages} messages, ${e.envelopes} envelopes, opened in ${e.took} ms`,
});

export const storeFailed = defineEvent({
  name: "queue.store-failed",
  level: "error",
  speaker: "qmgr",
  says: "The disk failed the queue: it is closed, clients get 451, and it will be opened anew from disk.",
  fields: { directory: "text", problem: "text" },
  line: (e) => `error: queue ${e.directory} closed: ${e.problem}; clients get 451 until it is recovered`,
});

export const storeNotRecovered = defineEvent({
  name: "queue.store-not-recovered",
  level: "error",
  speaker: "qmgr",
  says: "An attempt to open the failed queue anew did not succeed; there will be another.",
  fields: { directory: "text", problem: "text", retryIn: "ms" },
  line: (e) => `error: queue ${e.directory} not recovered: ${e.problem}; next try in ${Math.round(e.retryIn / 1000)} s`,
});

export const storeRecovered = defineEvent({
  name: "queue.store-recovered",
  level: "warning",
  speaker: "qmgr",
  says: "The failed queue was opened anew from disk and takes mail again.",
  fields: { directory: "text", closedFor: "ms" },
  line: (e) => `warning: queue ${e.directory} recovered after ${Math.round(e.closedFor / 1000)} s`,
});

export const programSays = defineEvent({
  name: "queue.program-says",
  level: "warning",
  speaker: "qmgr",
  says: "The program that keeps the queue wrote something for people.",
  fields: { directory: "text", line: "text" },
  line: (e) => `warning: queue ${e.directory}: its program says: ${e.line}`,
});

export const spoolFull = defineEvent({
  name: "queue.full",
  level: "error",
  speaker: "qmgr",
  says: "A write to the queue found the disk full and was taken back; the client or the scheduler was told.",
  fields: { directory: "text", problem: "text" },
  line: (e) => `error: queue ${e.directory}: no room: ${e.problem}`,
});

export const shortageBegan = defineEvent({
  name: "queue.shortage-began",
  level: "warning",
  speaker: "qmgr",
  says: "Free space or inodes fell below the settings' minimum: MAIL is answered 452 until there is more.",
  fields: { directory: "text", shortage: "text" },
  line: (e) => `warning: queue ${e.directory}: ${e.shortage}; refusing new mail with 452`,
});

export const shortageEnded = defineEvent({
  name: "queue.shortage-ended",
  level: "info",
  speaker: "qmgr",
  says: "There is room in the queue's file system again.",
  fields: { directory: "text" },
  line: (e) => `queue ${e.directory}: enough room again; accepting mail`,
});

export const orphansSwept = defineEvent({
  name: "queue.orphans-swept",
  level: "info",
  speaker: "qmgr",
  says: "Body files that no message names, left by a crash during reception, were deleted.",
  fields: { directory: "text", files: "count", size: "bytes", problem: "text?" },
  line: (e) =>
    `queue ${e.directory}: deleted ${e.files} orphaned body files (${e.size} bytes)` +
    (e.problem === undefined ? "" : `, then stopped: ${e.problem}`),
});

export const bodyMissing = defineEvent({
  name: "queue.body-missing",
  level: "error",
  speaker: "qmgr",
  says: "A message in the queue names a body file that is not there or has another size: somebody changed the spool.",
  fields: { directory: "text", message: "text", file: "text" },
  line: (e) => `error: ${e.message}: body file ${e.file} is missing or damaged in ${e.directory}`,
});

export const recordDamaged = defineEvent({
  name: "queue.record-damaged",
  level: "error",
  speaker: "qmgr",
  says: "What the queue's database keeps of a message cannot be read any more: a disk gave back something else than was written, or somebody changed the spool. It is not sent. What is queued waits as mail that is put off, for the record may come back from a backup, and at its end the sender is told; what is held stays held. `posthorn queue bounce` tells the sender at once.",
  fields: { message: "text" },
  line: (e) =>
    `error: ${e.message}: its record in the queue's database is damaged: bring the queue back from a backup, or return the mail (posthorn queue bounce ${e.message})`,
});

export const queueEvents = [
  storeOpened,
  storeFailed,
  storeNotRecovered,
  storeRecovered,
  programSays,
  spoolFull,
  shortageBegan,
  shortageEnded,
  orphansSwept,
  bodyMissing,
  recordDamaged,
] as const;
