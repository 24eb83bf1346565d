import { PosthornError } from "../../foundation/error.ts";
import type { BodyWriter, CommitRequest, Intake, QueuePort } from "../../mail/queue/queue.ts";
import type { Body } from "../../mail/queue/store.ts";

const MOST_BYTES = 256 * 1024 * 1024;

/** A queue that only remembers what it was given last. */
export interface MemoryIntake extends Intake, QueuePort {
  /** What was committed, and its content, since `forget`. */
  readonly committed: CommitRequest | undefined;
  forget(): void;
}

export function memoryIntake(): MemoryIntake {
  let committed: CommitRequest | undefined;
  return {
    get committed() {
      return committed;
    },
    forget() {
      committed = undefined;
    },
    shortage: () => undefined,
    begin: memoryWriter,
    commit(request) {
      committed = request;
      return Promise.resolve();
    },
  };
}

function memoryWriter(): BodyWriter {
  let pieces: Buffer[] = [];
  let sizeBytes = 0;
  return {
    get sizeBytes() {
      return sizeBytes;
    },
    write(bytes) {
      sizeBytes += bytes.length;
      if (sizeBytes > MOST_BYTES)
        throw new PosthornError("SPOOL_FULL", {
          message: "the mail is too big to be tried",
          advice: "try a smaller one",
        });
      pieces.push(Buffer.from(bytes));
    },
    settle() {
      const kept = pieces;
      return Promise.resolve({
        sizeBytes,
        whole: Buffer.concat(kept),
        async *read() {
          yield* kept;
        },
      });
    },
    finish: (): Promise<Body> => Promise.resolve({ kind: "inline", bytes: Buffer.concat(pieces) }),
    abort() {
      pieces = [];
      return Promise.resolve();
    },
  };
}
