import { DeadlinePassed } from "../../foundation/deadline.ts";
import type { JournalEntry, StoryOptions, StoryQuery } from "./journal.ts";
import type { JournalQuestion, JournalReply } from "./journal-reader-worker.io.ts";
import { createThread } from "./thread.io.ts";
import type { TlsAnswers, TlsQuestion } from "./tls-questions.ts";

/**
 * Tells stories from the journal in a thread of its own, one question after the other, each within a deadline: a slow disk
 * must not hold up mail. The thread ends when nobody has asked for a while. Plain SQL is not asked here, for nothing
 * can end a thread in the middle of it: whoever wants SQL opens the file in a process of their own (`JournalQuery`).
 */
export interface JournalReader extends AsyncDisposable {
  story(query: StoryQuery, options?: StoryOptions): Promise<readonly JournalEntry[]>;
  tls: AskTls;
}

/** A question about TLS, and its own kind of answer. */
export type AskTls = <Asked extends TlsQuestion["ask"]>(
  question: Extract<TlsQuestion, { ask: Asked }>,
) => Promise<TlsAnswers[Asked]>;

type Answered = Extract<JournalReply, { ok: true }>["value"];

const LIMIT_MS = 30_000;
const IDLE_MS = 10_000;

export function openJournalReader(path: string, limitMs = LIMIT_MS): JournalReader {
  const thread = createThread<JournalQuestion, JournalReply>("journal-reader-worker.io", path);
  let idle: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const answer = async (question: JournalQuestion): Promise<Answered> => {
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
  const inTurn = (question: JournalQuestion): Promise<Answered> => {
    const mine = last.then(() => answer(question));
    last = mine.catch(() => {});
    return mine;
  };
  return {
    // The thread answers each question with its own kind of answer.
    story: async (query, options = {}) => (await inTurn({ about: "story", query, options })) as readonly JournalEntry[],
    tls: async (question) => (await inTurn({ about: "tls", question })) as never,
    async [Symbol.asyncDispose]() {
      clearTimeout(idle);
      await thread.end();
    },
  };
}
