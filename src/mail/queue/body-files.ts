import type { Readable } from "node:stream";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import type { MessageId } from "../../foundation/ids.ts";
import { bodyDirectories, bodyFileName, isBodyFileName, messageOfBodyFile } from "./body-names.ts";
import type { FileLayer, NewFile } from "./file-layer.ts";

/**
 * Bodies in files of their own, below `<queue>/bodies`. Needs only the directory, no database: in a split server the
 * ingress writes them, the egress reads them, and only the scheduler's process knows which ones messages name.
 *
 * A file is durable (content, then directory entry) when `finish` resolves, and never changes after that. Whoever
 * unlinks makes sure first, durably, that no row names it.
 */
export class BodyFiles {
  readonly #root: string;
  readonly #files: FileLayer;
  readonly #durableDirectories = new Set<string>();
  /** Directory syncs that have not begun yet: those who ask meanwhile share one. */
  readonly #waitingSyncs = new Map<string, Promise<void>>();
  readonly #runningSyncs = new Map<string, Promise<void>>();

  constructor(root: string, files: FileLayer) {
    this.#root = root;
    this.#files = files;
  }

  pathOf(name: string): string {
    if (!isBodyFileName(name))
      throw new PosthornError("SPOOL_FAILED", {
        message: `"${name}" is no name of a body file`,
        advice: "the queue database was changed by another program; restore it from a backup",
      });
    return `${this.#root}/${name}`;
  }

  /** Begins the message's file. Rejects with `SPOOL_REFUSED` when there is one already. */
  async create(message: MessageId, version = 1): Promise<NewBodyFile> {
    const name = bodyFileName(message, version);
    const path = this.pathOf(name);
    try {
      await this.#haveDirectory(directoryOf(path));
      const file = await this.#files.create(path);
      return new NewBodyFile(name, file, this);
    } catch (thrown) {
      throw spoolError(thrown, `cannot create ${path}`);
    }
  }

  /** The content as a stream with bounded buffers. Rejects when the file is not there. */
  async open(name: string): Promise<Readable> {
    const path = this.pathOf(name);
    try {
      return await this.#files.read(path);
    } catch (thrown) {
      throw spoolError(thrown, `cannot open ${path}`);
    }
  }

  async sizeOf(name: string): Promise<number | undefined> {
    return (await this.#files.stat(this.pathOf(name)))?.sizeBytes;
  }

  /** Tells whether there was such a file. Not synced: a file that returns after a crash is an orphan. */
  async remove(name: string): Promise<boolean> {
    return this.#files.unlink(this.pathOf(name));
  }

  /** Makes the directory entry of a finished file durable. */
  async syncDirectoryOf(name: string): Promise<void> {
    await this.#syncDirectory(directoryOf(this.pathOf(name)));
  }

  /** All files not changed since `beforeAt`, with the message each belongs to. */
  async *filesUntouchedSince(
    beforeAt: number,
  ): AsyncGenerator<{ name: string; message: MessageId; sizeBytes: number }> {
    for (const directory of bodyDirectories) {
      for (const file of await this.#files.list(`${this.#root}/${directory}`)) {
        const name = `${directory}/${file}`;
        const message = messageOfBodyFile(name);
        if (message === undefined) continue;
        const found = await this.#files.stat(this.pathOf(name));
        if (found !== undefined && found.modifiedAt < beforeAt) yield { name, message, sizeBytes: found.sizeBytes };
      }
    }
  }

  /**
   * Makes the directory when it is missing, and its entry durable before this process first uses it: another process,
   * or an earlier attempt whose sync failed, may have made it without anybody having synced it.
   */
  async #haveDirectory(directory: string): Promise<void> {
    if (this.#durableDirectories.has(directory)) return;
    await this.#files.makeDirectory(this.#root);
    await this.#syncDirectory(directoryOf(this.#root));
    await this.#files.makeDirectory(directory);
    await this.#syncDirectory(this.#root);
    this.#durableDirectories.add(directory);
  }

  #syncDirectory(directory: string): Promise<void> {
    const waiting = this.#waitingSyncs.get(directory);
    if (waiting !== undefined) return waiting;
    const running = this.#runningSyncs.get(directory) ?? Promise.resolve();
    // A sync that began before our entry was made may not cover it, so we wait for it and begin another.
    const next = running
      .catch(() => {})
      .then(() => {
        this.#waitingSyncs.delete(directory);
        const sync = this.#files.syncDirectory(directory).finally(() => {
          if (this.#runningSyncs.get(directory) === sync) this.#runningSyncs.delete(directory);
        });
        this.#runningSyncs.set(directory, sync);
        return sync;
      });
    this.#waitingSyncs.set(directory, next);
    return next;
  }
}

/** A body file being written. After an error it can only be aborted: a failed sync is never repeated. */
export class NewBodyFile {
  readonly name: string;
  readonly #file: NewFile;
  readonly #owner: BodyFiles;
  #sizeBytes = 0;
  #isOpen = true;

  constructor(name: string, file: NewFile, owner: BodyFiles) {
    this.name = name;
    this.#file = file;
    this.#owner = owner;
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#file.write(bytes);
      this.#sizeBytes += bytes.length;
    } catch (thrown) {
      throw spoolError(thrown, `cannot write body file ${this.name}`);
    }
  }

  /** Resolves with the size when content and directory entry are durable. */
  async finish(): Promise<number> {
    try {
      await this.#file.sync();
      this.#isOpen = false;
      await this.#file.close();
      await this.#owner.syncDirectoryOf(this.name);
      return this.#sizeBytes;
    } catch (thrown) {
      throw spoolError(thrown, `cannot sync body file ${this.name}`);
    }
  }

  /** Closes and unlinks. Errors are of no use to anybody here: what stays is swept as an orphan. */
  async abort(): Promise<void> {
    if (this.#isOpen) {
      this.#isOpen = false;
      await this.#file.close().catch(() => {});
    }
    await this.#owner.remove(this.name).catch(() => {});
  }
}

/** What the system said, as the error that reception and scheduler know. */
function spoolError(thrown: unknown, what: string): PosthornError {
  if (thrown instanceof PosthornError) return thrown;
  const code = systemCodeOf(thrown);
  const message = `${what}: ${messageOf(thrown)}`;
  if (code === "ENOSPC" || code === "EDQUOT")
    return new PosthornError("SPOOL_FULL", {
      message,
      cause: thrown,
      advice: "free space or inodes in the queue's file system",
    });
  if (code === "EEXIST")
    return new PosthornError("SPOOL_REFUSED", {
      message,
      cause: thrown,
      advice: "the client is asked to send the message again",
    });
  return new PosthornError("SPOOL_FAILED", {
    message,
    cause: thrown,
    advice: "look at the disk, its mount options and the system log",
  });
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
