import { statfsSync } from "node:fs";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { emitNothing, type Emit } from "../../foundation/events.ts";
import * as events from "./events.ts";
import { BodyFiles } from "./body-files.ts";
import { bodyWriter } from "./body-writer.ts";
import { fileLayer } from "./file-layer.io.ts";
import type { Intake } from "./queue.ts";
import type { QueueSettings } from "./settings.ts";

/** The body files of a queue directory; all that ingress and egress processes need of the queue's storage. */
export function bodyFilesIn(directory: string): BodyFiles {
  return new BodyFiles(`${directory}/bodies`, fileLayer);
}

export interface IntakeOptions {
  /** The queue's directory. */
  readonly directory: string;
  readonly settings: Pick<QueueSettings, "inlineBodyUpTo" | "minFreeBytes" | "minFreeInodes">;
  readonly clock: Clock;
  readonly emit?: Emit | undefined;
}

/** The file system is asked at most this often, however many clients come. */
const ASK_EVERY_MS = 1000;

/** Reception's side of the queue: where content goes while it arrives, and whether there is room for it. */
export function openIntake(options: IntakeOptions): Intake {
  const { directory, settings, clock, emit = emitNothing } = options;
  const files = bodyFilesIn(directory);
  let askedAt = -Infinity;
  let shortage: string | undefined;
  return {
    begin: (id, version) => bodyWriter(id, settings.inlineBodyUpTo, files, version),
    shortage() {
      const nowMs = clock.monotonicMs();
      if (nowMs - askedAt < ASK_EVERY_MS) return shortage;
      askedAt = nowMs;
      const now = shortageOf(directory, settings);
      if (now !== undefined && shortage === undefined) emit(events.shortageBegan, { directory, shortage: now });
      if (now === undefined && shortage !== undefined) emit(events.shortageEnded, { directory });
      shortage = now;
      return shortage;
    },
  };
}

function shortageOf(
  directory: string,
  { minFreeBytes, minFreeInodes }: Pick<QueueSettings, "minFreeBytes" | "minFreeInodes">,
): string | undefined {
  try {
    const found = statfsSync(directory);
    const freeBytes = found.bavail * found.bsize;
    if (freeBytes < minFreeBytes) return `${freeBytes} bytes free, ${minFreeBytes} wanted`;
    // Some file systems (btrfs) have no fixed number of inodes and say 0 of 0.
    if (found.files > 0 && found.ffree < minFreeInodes) return `${found.ffree} inodes free, ${minFreeInodes} wanted`;
    return undefined;
  } catch (thrown) {
    // Unknown is not "enough": what cannot be asked cannot be written to either.
    return `the file system cannot be asked: ${messageOf(thrown)}`;
  }
}
