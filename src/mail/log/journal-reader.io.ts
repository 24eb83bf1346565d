import { DeadlinePassed } from "../../foundation/deadline.ts";
import type { JournalEntry, StoryOptions, StoryQuery } from "./journal.ts";
import type { JournalQuestion, JournalReply } from "./journal-reader-worker.io.ts";
import { createThread } from "./thread.io.ts";

/**
 * Tells stories from the journal in a thread of its own, one question after the other, each within a deadline: a slow disk
 * must not hold up mail. The thread ends when nobody has asked for a while. Plain SQL is not asked here, for nothing
 * can end a thread in the middle of it: whoever wants SQL opens the file in a process of their own (`JournalQuery`).
 */
export interface JournalReader extends AsyncDisposable {
  story(query: StoryQuery, options?: StoryOptions): Promise<readonly JournalEntry[]>;
}

const LIMIT_MS = 30_000;
const IDLE_MS = 10_000;

export function openJournalReader(path: string, limitMs = LIMIT_MS): JournalReader {
  const thread = createThread<JournalQuestion, JournalReply>("journal-reader-worker.io", path);
  let idle: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const answer = async (question: JournalQuestion): Promise<readonly JournalEntry[]> => {
    clearTimeout(idle);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      void thread.end();
    }, limitMs);
    try {
      const reply = await thread.ask(question);
      if (!reply.ok) throw new Error(reply.problem);
      return reply.value;
    } catch (thrown) {
      throw isLate ? new DeadlinePassed("the query of the journal", limitMs) : thrown;
    } finally {
      clearTimeout(timer);
      idle = setTimeout(() => void thread.end(), IDLE_MS);
      idle.unref();
    }
  };
  const inTurn = (question: JournalQuestion): Promise<readonly JournalEntry[]> => {
    const mine = last.then(() => answer(question));
    last = mine.catch(() => {});
    return mine;
  };
  return {
    story: (query, options = {}) => inTurn({ query, options }),
    async [Symbol.asyncDispose]() {
      clearTimeout(idle);
      await thread.end();
    },
  };
}
