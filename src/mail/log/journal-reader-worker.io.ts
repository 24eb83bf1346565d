import { statSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { damageText, isDamaged } from "../../foundation/damaged-database.io.ts";
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
  const path = String(workerData);
  let journal: JournalQuery | undefined;
  let journalInode: number | undefined;
  port.on("message", (question: JournalQuestion) => {
    let reply: JournalReply;
    try {
      // The writer may have begun a new one in the place of this.
      const inode = statSync(path, { throwIfNoEntry: false })?.ino;
      if (inode !== journalInode) {
        journal?.close();
        journal = undefined;
        journalInode = inode;
      }
      journal ??= new JournalQuery(path);
      const value =
        question.about === "tls" ? journal.tls(question.question) : journal.story(question.query, question.options);
      reply = { ok: true, value };
    } catch (thrown) {
      reply = { ok: false, problem: isDamaged(thrown) ? damageText(path, thrown) : messageOf(thrown) };
    }
    port.postMessage(reply);
  });
}
