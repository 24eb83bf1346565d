import { readFileSync } from "node:fs";
import { PosthornError, systemCodeOf } from "../../foundation/error.ts";

/**
 * A file in the queue's directory while a program keeps the mail (`process/`): the body files there belong to messages that
 * no database of ours knows, and would be swept away as nobody's.
 */
export function programMark(directory: string): string {
  return `${directory}/kept-by-program`;
}

/** Throws `SPOOL_REFUSED` when the directory's mail is a program's. */
export function mustNotBeProgram(directory: string): void {
  let program: string;
  try {
    program = readFileSync(programMark(directory), "utf8").trim();
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return;
    throw thrown;
  }
  throw new PosthornError("SPOOL_REFUSED", {
    message: `the queue in ${directory} is kept by the program ${program}, and was not empty when it was last closed`,
    advice: `set queue.store to that program until its queue is empty, or, when its mail is given up, delete ${programMark(directory)}`,
  });
}
