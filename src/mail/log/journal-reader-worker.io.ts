import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../foundation/error.ts";
import type { JournalEntry, StoryOptions, StoryQuery } from "./journal.ts";
import { JournalQuery } from "./journal-query.io.ts";
import type { TlsAnswers, TlsQuestion } from "./tls-questions.ts";

/** A thread that answers one question to the journal at a time; whoever asked ends it when it takes too long. */
export type JournalQuestion =
  | { readonly about: "story"; readonly query: StoryQuery; readonly options: StoryOptions }
  | { readonly about: "tls"; readonly question: TlsQuestion };

export type JournalReply =
  | { readonly ok: true; readonly value: readonly JournalEntry[] | TlsAnswers[TlsQuestion["ask"]] }
  | { readonly ok: false; readonly problem: string };

if (parentPort !== null) {
  const port = parentPort;
  let journal: JournalQuery | undefined;
  port.on("message", (question: JournalQuestion) => {
    let reply: JournalReply;
    try {
      journal ??= new JournalQuery(String(workerData));
      const value =
        question.about === "tls" ? journal.tls(question.question) : journal.story(question.query, question.options);
      reply = { ok: true, value };
    } catch (thrown) {
      reply = { ok: false, problem: messageOf(thrown) };
    }
    port.postMessage(reply);
  });
}
