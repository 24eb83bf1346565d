import type { Reply } from "../../protocol/smtp/reply.ts";
import { formatReply } from "../../protocol/smtp/reply-format.ts";
import type { Tally } from "./tally.ts";

/** Replies that wait to leave in one write; the final ones are counted under their command. */
export class ReplyQueue {
  readonly #tally: Tally;
  #waiting: Buffer[] = [];
  #verb: string | undefined;
  #isHeld = false;

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /** The command whose final reply is still to come. */
  expect(verb: string): void {
    this.#verb = verb;
  }

  push(reply: Reply, isInternational: boolean): void {
    const isFinal = reply.code < 300 || reply.code >= 400;
    if (isFinal && this.#verb !== undefined) {
      this.#tally.record(this.#verb, reply.code < 400);
      this.#verb = undefined;
    }
    this.#waiting.push(formatReply(reply, isInternational));
  }

  /** Nothing leaves until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
  }

  /** The last one is not to be said after all. */
  dropLast(): void {
    this.#waiting.pop();
  }

  /** All that may leave now, in one piece; undefined when that is nothing. */
  take(): Buffer | undefined {
    const [first, ...others] = this.#waiting;
    if (first === undefined || this.#isHeld) return undefined;
    this.#waiting = [];
    return others.length === 0 ? first : Buffer.concat([first, ...others]);
  }
}
