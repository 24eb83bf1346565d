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

/** `version`: content that is written anew for the same message gets the next number: `3F/06A7Q2MK0W1-2`. */
export function bodyFileName(message: MessageId, version = 1): string {
  const number = numberOfMessageId(message) ?? 0;
  const directory = bodyDirectories[Math.floor(number / BELOW_MS) % DIRECTORIES] ?? "00";
  return `${directory}/${message}${version === 1 ? "" : `-${version}`}`;
}

/** Whether text names a body file and nothing else: what comes from a database or a request never leaves the directory. */
export function isBodyFileName(name: string): boolean {
  return messageOfBodyFile(name) !== undefined;
}

/** The message whose row may name this file: no other one ever does, which the sweep relies on. */
export function messageOfBodyFile(name: string): MessageId | undefined {
  const message = name.slice(3, 3 + MESSAGE_ID_LENGTH);
  if (numberOfMessageId(message) === undefined) return undefined;
  const version = /^(?:-([2-9]|[1-9]\d{1,2}))?$/.exec(name.slice(3 + MESSAGE_ID_LENGTH));
  if (version === null) return undefined;
  return bodyFileName(message, Number(version[1] ?? 1)) === name ? message : undefined;
}
