/** Counts commands for the line that ends a connection: `ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4`. */
export class Tally {
  readonly #counts = new Map<string, { done: number; all: number }>();

  /** `isDone` unless the reply was 4xx or 5xx. */
  record(verb: string, isDone: boolean): void {
    let counts = this.#counts.get(verb);
    if (counts === undefined) {
      counts = { done: 0, all: 0 };
      this.#counts.set(verb, counts);
    }
    counts.all++;
    if (isDone) counts.done++;
  }

  /** As Postfix writes it: verbs in its order, `done/all` where they differ. */
  text(): string {
    const total = { done: 0, all: 0 };
    let text = "";
    for (const [verb, word] of ORDER) {
      const counts = this.#counts.get(verb);
      if (counts === undefined) continue;
      total.done += counts.done;
      total.all += counts.all;
      text += `${word}=${ratio(counts)} `;
    }
    return `${text}commands=${ratio(total)}`;
  }
}

const ORDER: readonly (readonly [verb: string, word: string])[] = [
  ..."HELO EHLO LHLO XCLIENT XFORWARD STARTTLS AUTH MAIL BDAT RCPT DATA RSET NOOP VRFY EXPN ETRN HELP QUIT".split(" "),
  "unknown",
].map((verb) => [verb, verb.toLowerCase()]);

function ratio({ done, all }: { done: number; all: number }): string {
  return done === all ? String(all) : `${done}/${all}`;
}
