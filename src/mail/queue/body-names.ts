import { MESSAGE_ID_LENGTH, numberOfMessageId, type MessageId } from "../../foundation/ids.ts";

/**
 * Body files are called after their message, in one of 64 directories: `3F/06A7Q2MK0W1`. The directory follows the
 * millisecond in which the id was made, so that neighbours in time (which are deleted together too) do not crowd one
 * directory: ext4 looks for free inodes near the directory and steps over those that were deleted lately.
 */
const DIRECTORIES = 64;
/** The part of an id below its milliseconds: maker and sequence (`foundation/ids.ts`). */
const BELOW_MS = 2 ** 12;

export const bodyDirectories: readonly string[] = Array.from({ length: DIRECTORIES }, (_, index) =>
  index.toString(16).toUpperCase().padStart(2, "0"),
);

export function bodyFileName(message: MessageId): string {
  const number = numberOfMessageId(message) ?? 0;
  return `${bodyDirectories[Math.floor(number / BELOW_MS) % DIRECTORIES] ?? "00"}/${message}`;
}

/** Whether text names a body file and nothing else: what comes from a database or a request never leaves the directory. */
export function isBodyFileName(name: string): boolean {
  return (
    name.length === 3 + MESSAGE_ID_LENGTH &&
    numberOfMessageId(name.slice(3)) !== undefined &&
    bodyFileName(name.slice(3)) === name
  );
}
