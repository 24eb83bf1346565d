import { dirname } from "node:path";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import type { EnvelopeId } from "../../../foundation/ids.ts";
import { mboxNotRecovered, mboxRecovered } from "./events.ts";
import type { MailFile } from "./mail-fs.ts";
import { fromLine, separatorAfter } from "./mbox-format.ts";
import { Intents, type Intent } from "./mbox-intent.ts";
import { MboxLocks, type LockedMbox, type MboxLockParts } from "./mbox-lock.ts";
import { copyBytes, recoverMbox } from "./mbox-recovery.ts";

/**
 * mbox: all mail of a mailbox in one file, shared with programs that know nothing of us.
 *
 * | step | a crash here leaves | recovery |
 * |---|---|---|
 * | draft written | a draft | removed when old |
 * | intent synced | the mbox as it was, the intent | nothing to take back; the repeat delivers |
 * | appending | a torn mail at the end | cut off; the repeat delivers |
 * | appended and synced | the mail, the intent | recognised byte by byte and marked as done |
 * | marked as done | the mail, the mark, the intent | the repeat finds the mark |
 * | intent removed | the mail, the mark | the same |
 *
 * Invariants: an mbox is changed only under its locks and with a durable intent; what is not ours is never cut off.
 */
export interface MboxMail {
  readonly path: string;
  readonly envelope: EnvelopeId;
  readonly sender: string;
  readonly content: AsyncIterable<Uint8Array>;
  /** Nobody else may own the file, but root: we have its user's rights. */
  readonly mustBeOwn?: boolean | undefined;
  /** The directory may be one where we can make no dot-lock; the record lock is enough then. */
  readonly mayLackDotLock?: boolean | undefined;
}

export interface MboxParts extends MboxLockParts {
  /** Where intents are kept. */
  readonly stateDirectory: string;
}

const OLD_DRAFT_MS = 3_600_000;

export class Mboxes {
  readonly #parts: MboxParts;
  readonly #locks: MboxLocks;
  readonly #intents: Intents;
  /** The last delivery in line for each mbox: ours wait for each other here, not by polling locks. */
  readonly #lines = new Map<string, Promise<unknown>>();

  constructor(parts: MboxParts) {
    this.#parts = parts;
    this.#locks = new MboxLocks(parts);
    this.#intents = new Intents(parts.fs, parts.directories, parts.stateDirectory);
  }

  /** Resolves when the mail is in the mbox and survives a power cut. */
  async deliver(mail: MboxMail): Promise<{ isRepeat: boolean; isNewMailbox: boolean }> {
    return this.#inLine(mail.path, async () => {
      const draft = await this.#intents.draft(mail.envelope, this.#wholeMail(mail));
      try {
        const locked = await this.#locks.acquire(mail.path, true, mail);
        // Undefined only where it may not be made.
        if (locked === undefined) throw new Error("an mbox that may be made was not");
        try {
          await this.#recover(locked.file, mail.path);
          if (await this.#intents.isDone(mail.path, mail.envelope)) return { isRepeat: true, isNewMailbox: false };
          const { sizeBytes } = await locked.file.status();
          const intent = await this.#intents.commit(draft, {
            kind: "append",
            path: mail.path,
            envelope: mail.envelope,
            startBytes: sizeBytes,
            endBytes: sizeBytes,
          });
          try {
            await this.#append(locked, intent);
          } finally {
            await intent.file.close();
          }
          return { isRepeat: false, isNewMailbox: locked.isNew };
        } finally {
          await locked.release();
        }
      } finally {
        await draft.drop();
      }
    });
  }

  /** Looks at every mbox that has an intent. Those that cannot be had now are looked at before their next delivery. */
  async recoverAll(): Promise<void> {
    const { clock, emit } = this.#parts;
    const isOld = (modifiedAt: number): boolean => modifiedAt < clock.now() - OLD_DRAFT_MS;
    for (const path of await this.#intents.mboxes(isOld)) {
      try {
        await this.#inLine(path, async () => {
          // An intent is ours, so the file was locked as its kind asks for when it was written.
          const locked = await this.#locks.acquire(path, false, { mayLackDotLock: true });
          try {
            await this.#recover(locked?.file, path);
          } finally {
            await locked?.release();
          }
        });
      } catch (thrown) {
        emit(mboxNotRecovered, { mailbox: path, problem: messageOf(thrown) });
      }
    }
  }

  async #append(locked: LockedMbox, intent: Intent): Promise<void> {
    const { file } = locked;
    try {
      const end = await file.readAt(Math.max(0, intent.startBytes - 2), Math.min(2, intent.startBytes));
      const separator = Buffer.from(separatorAfter(end.toString("latin1")));
      await file.writeAt(intent.startBytes, separator);
      await copyBytes(intent.file, 0, intent.contentBytes, file, intent.startBytes + separator.length);
      await file.sync();
      // A new mbox is durable with its directory's entry.
      if (locked.isNew || intent.startBytes === 0) await this.#makeEntryDurable(intent.path, locked.isNew);
    } catch (thrown) {
      // Nothing of a mail that did not fit stays behind. Where that fails too, the intent stays for the recovery.
      await file.truncate(intent.startBytes);
      await file.sync();
      await this.#intents.drop(intent);
      throw thrown;
    }
    await this.#intents.markDone(intent.path, intent.envelope);
    await this.#intents.drop(intent);
  }

  async #recover(file: MailFile | undefined, path: string): Promise<void> {
    const intent = await this.#intents.open(path);
    if (intent === undefined) return;
    try {
      const what = await recoverMbox(file, intent, this.#intents, () => this.#makeEntryDurable(path, false));
      if (what !== undefined) this.#parts.emit(mboxRecovered, { mailbox: path, envelope: intent.envelope, what });
    } finally {
      await intent.file.close();
    }
  }

  async #makeEntryDurable(path: string, isNew: boolean): Promise<void> {
    await this.#parts.directories.ensureDurable(dirname(path));
    try {
      await this.#parts.fs.syncDirectory(dirname(path));
    } catch (thrown) {
      // In a directory that we may not read somebody else made it, before us.
      if (isNew || systemCodeOf(thrown) !== "EACCES") throw thrown;
    }
  }

  async *#wholeMail(mail: MboxMail): AsyncGenerator<Uint8Array> {
    yield Buffer.from(fromLine(mail.sender, this.#parts.clock.now()));
    yield* mail.content;
    yield Buffer.from("\n");
  }

  async #inLine<Value>(path: string, work: () => Promise<Value>): Promise<Value> {
    const before = this.#lines.get(path) ?? Promise.resolve();
    const ours = before.then(work, work);
    this.#lines.set(path, ours);
    try {
      return await ours;
    } finally {
      if (this.#lines.get(path) === ours) this.#lines.delete(path);
    }
  }
}
