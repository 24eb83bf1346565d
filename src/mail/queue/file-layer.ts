import type { Readable } from "node:stream";

/**
 * What our own file code needs of a file system, so that the simulator can stand in for one that fails, tears writes
 * and forgets what was not synced (`simulator/disk.ts`). Errors are the system's, with their `code`.
 */
export interface FileLayer {
  /** A new file for writing; rejects with `EEXIST` when the name is taken. */
  create(path: string): Promise<NewFile>;
  /** Content from the beginning, in portions of bounded size. Rejects with `ENOENT` before the first byte. */
  read(path: string): Promise<Readable>;
  /** Makes the entries of a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Makes one directory; tells whether it was not there before. The parent must exist. */
  makeDirectory(path: string): Promise<boolean>;
  /** Tells whether there was something to unlink. */
  unlink(path: string): Promise<boolean>;
  /** Names in a directory; none when it does not exist. */
  list(path: string): Promise<readonly string[]>;
  stat(path: string): Promise<{ readonly sizeBytes: number; readonly modifiedAt: number } | undefined>;
}

export interface NewFile {
  /** Appends all of the bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the content durable (fdatasync), its length included. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
