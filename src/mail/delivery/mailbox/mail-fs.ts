/**
 * What final delivery needs of a file system: small enough that a test can stand in for one that dies at any step.
 * Errors are the system's, with their `code`. The last component of a path is never followed when it is a symbolic link.
 */
export interface MailFs {
  /** A new file for reading and writing; rejects with `EEXIST` when the name is taken. */
  create(path: string, mode: number): Promise<MailFile>;
  /** An existing file for reading and writing; undefined when there is none, `ELOOP` when it is a symbolic link. */
  open(path: string): Promise<MailFile | undefined>;
  /** The beginning of a file that need not be ours; undefined when there is none, `ELOOP` when it is a symbolic link. */
  read(path: string, mostBytes: number): Promise<{ readonly status: FileStatus; readonly bytes: Buffer } | undefined>;
  /** Adds to the end of an existing file by one write; false when there is none. */
  append(path: string, bytes: Uint8Array): Promise<boolean>;
  /** Makes one directory; tells whether it was not there before. */
  makeDirectory(path: string, mode: number): Promise<boolean>;
  /** Makes the entries of a directory durable. */
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** A second name; rejects with `EEXIST` when it is taken. */
  link(from: string, to: string): Promise<void>;
  /** Tells whether there was something to unlink. */
  unlink(path: string): Promise<boolean>;
  /** Names in a directory; none when it does not exist. */
  list(path: string): Promise<readonly string[]>;
  /** What stands under this name itself. */
  status(path: string): Promise<FileStatus | undefined>;
  /** Who we are and who else lives on this machine: dot-locks name their holder. */
  readonly processId: number;
  isProcessAlive(processId: number): boolean;
}

export interface MailFile {
  writeAt(position: number, bytes: Uint8Array): Promise<void>;
  /** At most `length` bytes; fewer only at the end of the file. */
  readAt(position: number, length: number): Promise<Buffer>;
  truncate(length: number): Promise<void>;
  /** Makes content and length durable. */
  sync(): Promise<void>;
  status(): Promise<FileStatus>;
  /**
   * Takes the record lock for writing on the whole file if nobody has it, without waiting. False when somebody has.
   * It ends with `close`. Throws `LIBRARY_UNAVAILABLE` where there are no such locks.
   */
  tryLock(): boolean;
  close(): Promise<void>;
}

export interface FileStatus {
  readonly kind: "file" | "directory" | "symlink" | "other";
  /** Device and inode: two names with one identity are one file. */
  readonly identity: string;
  readonly links: number;
  readonly sizeBytes: number;
  readonly modifiedAt: number;
  /** Owned by root or by the user we run as: what it says about the file system is trusted. */
  readonly isTrusted: boolean;
  /** Its group or everybody may write to it. */
  readonly isWritableByOthers: boolean;
}
