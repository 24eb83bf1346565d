import type { Worker } from "node:worker_threads";
import { DeadlinePassed } from "../../foundation/deadline.ts";
import type { JournalEntry, SqlAnswer, StoryOptions, StoryQuery } from "./journal.ts";
import type { JournalQuestion, JournalReply } from "./journal-reader-worker.io.ts";
import { startThread } from "./thread.io.ts";

/**
 * Asks the journal in a thread of its own, one question after the other, each within a deadline: a heavy query by an
 * operator must not hold up mail. The thread ends when nobody has asked for a while.
 */
export interface JournalReader extends AsyncDisposable {
  story(query: StoryQuery, options?: StoryOptions): Promise<readonly JournalEntry[]>;
  /** Plain SQL, reading only. Rejects with SQLite's words when it does not understand or allow it. */
  sql(text: string): Promise<SqlAnswer>;
}

const LIMIT_MS = 30_000;
const IDLE_MS = 10_000;

export function openJournalReader(path: string, limitMs = LIMIT_MS): JournalReader {
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const end = async (): Promise<void> => {
    clearTimeout(idle);
    const old = worker;
    worker = undefined;
    await old?.terminate();
  };
  const answer = (question: JournalQuestion): Promise<unknown> =>
    new Promise((resolve, reject) => {
      clearTimeout(idle);
      const thread = (worker ??= startThread("journal-reader-worker.io", path));
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        thread.removeAllListeners();
        thread.unref();
        idle = setTimeout(() => void end(), IDLE_MS);
        idle.unref();
        settle();
      };
      const timer = setTimeout(() => {
        finish(() => reject(new DeadlinePassed("the query of the journal", limitMs)));
        void end();
      }, limitMs);
      thread.ref();
      thread.on("message", (reply: JournalReply) =>
        finish(() => (reply.ok ? resolve(reply.value) : reject(new Error(reply.problem)))),
      );
      thread.on("error", (error) => {
        worker = undefined;
        finish(() => reject(error));
      });
      thread.on("exit", () => {
        worker = undefined;
        finish(() => reject(new Error("the thread that reads the journal ended")));
      });
      thread.postMessage(question);
    });
  const inTurn = (question: JournalQuestion): Promise<unknown> => {
    const mine = last.then(() => answer(question));
    last = mine.catch(() => {});
    return mine;
  };
  return {
    story: async (query, options = {}) => (await inTurn({ ask: "story", query, options })) as readonly JournalEntry[],
    sql: async (text) => (await inTurn({ ask: "sql", text })) as SqlAnswer,
    [Symbol.asyncDispose]: end,
  };
}
