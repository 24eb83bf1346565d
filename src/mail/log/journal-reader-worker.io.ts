import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../foundation/error.ts";
import type { StoryOptions, StoryQuery } from "./journal.ts";
import { JournalQuery } from "./journal-query.io.ts";

/** A thread that answers one question to the journal at a time; whoever asked ends it when it takes too long. */
export type JournalQuestion =
  | { readonly ask: "story"; readonly query: StoryQuery; readonly options: StoryOptions }
  | { readonly ask: "sql"; readonly text: string };

export type JournalReply =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problem: string };

if (parentPort !== null) {
  const port = parentPort;
  let journal: JournalQuery | undefined;
  port.on("message", (question: JournalQuestion) => {
    let reply: JournalReply;
    try {
      journal ??= new JournalQuery(String(workerData));
      const value =
        question.ask === "story" ? journal.story(question.query, question.options) : journal.sql(question.text);
      reply = { ok: true, value };
    } catch (thrown) {
      reply = { ok: false, problem: messageOf(thrown) };
    }
    port.postMessage(reply);
  });
}
