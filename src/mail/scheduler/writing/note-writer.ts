import type { Written } from "./durable-writer.ts";
import type { Operation } from "../../queue/store.ts";

/**
 * Notes beside the mail, those of a key one after the other: what is said last is what is kept, however long the disk lets
 * what was said before it wait. Of several that wait for the one that is being written only the last is written.
 */
export class NoteWriter {
  readonly #write: (operations: readonly Operation[]) => Promise<Written>;
  /** By key, what comes after the note that is being written. */
  readonly #next = new Map<string, Next | undefined>();

  constructor(write: (operations: readonly Operation[]) => Promise<Written>) {
    this.#write = write;
  }

  /** Resolves when it is durable, or something said later of the same key is. */
  note(key: string, text: string | undefined): Promise<void> {
    if (!this.#next.has(key)) {
      this.#next.set(key, undefined);
      return this.#keep(key, text);
    }
    const waiting = this.#next.get(key);
    if (waiting !== undefined) {
      waiting.text = text;
      return waiting.written.promise;
    }
    const written = Promise.withResolvers<void>();
    this.#next.set(key, { text, written });
    return written.promise;
  }

  async #keep(key: string, text: string | undefined): Promise<void> {
    try {
      await this.#write([{ do: "note", key, text }]);
    } finally {
      const next = this.#next.get(key);
      if (next === undefined) this.#next.delete(key);
      else {
        this.#next.set(key, undefined);
        this.#keep(key, next.text).then(next.written.resolve, next.written.reject);
      }
    }
  }
}

interface Next {
  text: string | undefined;
  readonly written: PromiseWithResolvers<void>;
}
