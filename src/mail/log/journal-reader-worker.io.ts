import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../foundation/error.ts";
import type { JournalEntry, StoryOptions, StoryQuery } from "./journal.ts";
import { JournalQuery } from "./journal-query.io.ts";

/** A thread that answers one question to the journal at a time; whoever asked ends it when it takes too long. */
export interface JournalQuestion {
  readonly query: StoryQuery;
  readonly options: StoryOptions;
}

export type JournalReply =
  | { readonly ok: true; readonly value: readonly JournalEntry[] }
  | { readonly ok: false; readonly problem: string };

if (parentPort !== null) {
  const port = parentPort;
  let journal: JournalQuery | undefined;
  port.on("message", (question: JournalQuestion) => {
    let reply: JournalReply;
    try {
      journal ??= new JournalQuery(String(workerData));
      reply = { ok: true, value: journal.story(question.query, question.options) };
    } catch (thrown) {
      reply = { ok: false, problem: messageOf(thrown) };
    }
    port.postMessage(reply);
  });
}
