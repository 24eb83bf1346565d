import { dirname } from "node:path";
import { systemCodeOf } from "../../../foundation/error.ts";
import type { MailFs } from "./mail-fs.ts";

const MODE = 0o700;
/** How many directories are remembered as durable; beyond that they are synced again. */
const MOST_REMEMBERED = 20_000;

/**
 * Directories on the way to mailboxes, made where missing and durable before mail in them counts as delivered. A directory
 * that is there need not be durable: another delivery made it a moment ago, or an earlier life of ours just before a
 * crash. So each one on the way is synced once in a process's life.
 */
export class Directories {
  readonly #fs: MailFs;
  /** Those whose own entry, in the directory above, is durable or about to be. */
  readonly #durable = new Map<string, Promise<void>>();

  constructor(fs: MailFs) {
    this.#fs = fs;
  }

  /** Makes the directory with those above it; all of them are durable when it resolves. */
  async make(path: string): Promise<void> {
    const parent = dirname(path);
    const status = await this.#fs.status(path);
    if (status === undefined) {
      this.#durable.delete(path);
      try {
        await this.#fs.makeDirectory(path, MODE);
      } catch (thrown) {
        if (systemCodeOf(thrown) !== "ENOENT" || parent === path) throw thrown;
        await this.make(parent);
        await this.#fs.makeDirectory(path, MODE);
      }
    }
    await this.ensureDurable(path);
  }

  /** Makes the entries of this directory and of those above it durable, as far as we may look into them. */
  async ensureDurable(path: string): Promise<void> {
    let durable = this.#durable.get(path);
    if (durable === undefined) {
      if (this.#durable.size >= MOST_REMEMBERED) this.#durable.clear();
      durable = this.#syncAbove(path);
      this.#durable.set(path, durable);
      durable.catch(() => this.#durable.delete(path));
    }
    await durable;
  }

  async #syncAbove(path: string): Promise<void> {
    const parent = dirname(path);
    if (parent === path) return;
    await this.ensureDurable(parent);
    try {
      await this.#fs.syncDirectory(parent);
    } catch (thrown) {
      // Directories of the system that we may pass through but not read were there before us.
      if (!["EACCES", "EPERM", "ERR_ACCESS_DENIED", "EROFS"].includes(systemCodeOf(thrown) ?? "")) throw thrown;
    }
  }
}
