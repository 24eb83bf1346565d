import { dirname, join } from "node:path";
import { sleep, type Clock } from "../../../foundation/clock.ts";
import { systemCodeOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import { formatDuration } from "../../../foundation/units.ts";
import { MailboxRefusal } from "./disk-failure.ts";
import { staleLockBroken } from "./events.ts";
import type { MailFile, MailFs } from "./mail-fs.ts";
import type { Directories } from "./directories.ts";
import type { MailboxSettings } from "./settings.ts";

/**
 * Locks of an mbox as Debian's policy asks for them: the record lock first, the dot-lock second, both without waiting;
 * when one cannot be had, the other is given back before the next try, so that nobody waits for us in a circle.
 */
export interface LockedMbox {
  readonly file: MailFile;
  readonly isNew: boolean;
  release(): Promise<void>;
}

export interface HowToLock {
  /** Nobody else may own the file, but root. */
  readonly mustBeOwn?: boolean | undefined;
  /** A file somewhere, not a mailbox among others: in its directory we need not be allowed to make a dot-lock. */
  readonly mayLackDotLock?: boolean | undefined;
}

export interface MboxLockParts {
  readonly fs: MailFs;
  readonly directories: Directories;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly settings: Pick<MailboxSettings, "locks" | "lockDeadline" | "staleDotLock">;
  /** From then on nobody waits for a mailbox that somebody else holds: the server stops. */
  readonly leaving: AbortSignal;
}

const MBOX_MODE = 0o600;
const DOT_LOCK_MODE = 0o644;
const POLL_MS = 100;
/** A dot-lock whose process lives may hold on this many times longer: its number may have passed to another program. */
const LIVING_FACTOR = 12;
const MOST_BREAKS = 3;
const DRAFT_MARK = ".posthorn-";
const DRAFT = /\.lock\.posthorn-(\d{1,9})\.\d+$/;
/** Drafts of this process, all generations of settings together: those of an earlier life may bear its number. */
const drafting = new Set<string>();
let drafts = 0;
const MOST_SWEPT_KNOWN = 10_000;
/** What file systems without hard links say. */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);
const NOT_ALLOWED: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS"]);

export class MboxLocks {
  readonly #parts: MboxLockParts;
  /** The dot-locks that are ours, by identity. */
  readonly #held = new Set<string>();
  /** Directories without drafts of earlier lives. */
  readonly #swept = new Set<string>();

  constructor(parts: MboxLockParts) {
    this.#parts = parts;
  }

  /**
   * The mbox, open and locked, made if need be. Undefined when there is none and `mayCreate` is false. Rejects with a
   * `MailboxRefusal` when somebody holds it beyond the deadline, or when it is nothing to write mail to.
   */
  async acquire(path: string, mayCreate: boolean, how: HowToLock = {}): Promise<LockedMbox | undefined> {
    const { clock, settings, leaving } = this.#parts;
    const beganAt = clock.monotonicMs();
    let isNew = false;
    for (;;) {
      const opened = await this.#open(path, mayCreate);
      if (opened === undefined) return undefined;
      isNew ||= opened.isNew;
      const holder = await this.#tryLock(path, opened.file, how);
      if (typeof holder !== "string") return { file: opened.file, isNew, release: holder };
      if (clock.monotonicMs() - beganAt + POLL_MS > settings.lockDeadline)
        throw new MailboxRefusal("locked", `${holder} for longer than ${formatDuration(settings.lockDeadline)}`);
      if (leaving.aborted) throw new MailboxRefusal("locked", `${holder}, and this server stops`);
      await sleep(clock, POLL_MS);
    }
  }

  async #open(path: string, mayCreate: boolean): Promise<{ file: MailFile; isNew: boolean } | undefined> {
    const { fs, directories } = this.#parts;
    for (;;) {
      const file = await fs.open(path);
      if (file !== undefined) return { file, isNew: false };
      if (!mayCreate) return undefined;
      try {
        return { file: await fs.create(path, MBOX_MODE), isNew: true };
      } catch (thrown) {
        const code = systemCodeOf(thrown);
        if (code === "ENOENT") await directories.make(dirname(path));
        else if (code !== "EEXIST") throw thrown;
      }
    }
  }

  /** How to release it, or who holds it. Closes the file in the latter case. */
  async #tryLock(path: string, file: MailFile, how: HowToLock): Promise<(() => Promise<void>) | string> {
    const { fs, settings } = this.#parts;
    let dotLock: string | undefined;
    let isTaken = false;
    try {
      const status = await file.status();
      if (status.kind !== "file") throw new MailboxRefusal("permission", "not a regular file");
      // Another name of the file could stand anywhere; whoever made it chose where our mail goes.
      if (status.links > 1) throw new MailboxRefusal("permission", "the file has several names (hard links)");
      if (how.mustBeOwn === true && !status.isTrusted)
        throw new MailboxRefusal("permission", "the file belongs to somebody else");
      if (settings.locks !== "dot-lock" && !file.tryLock()) return "another program holds the record lock";
      if (settings.locks !== "fcntl") {
        const taken = await this.#tryDotLock(`${path}.lock`).catch((thrown: unknown) => {
          // Who locks it otherwise may do without where nobody like us could make one.
          const isClosed = NOT_ALLOWED.has(systemCodeOf(thrown) ?? "");
          if (isClosed && how.mayLackDotLock === true && settings.locks !== "dot-lock") return undefined;
          throw thrown;
        });
        if (taken !== undefined && "heldBy" in taken) return `${taken.heldBy} holds the dot-lock`;
        dotLock = taken?.identity;
      }
      // A mail reader may have put another file in its place between our open and our lock.
      if ((await fs.status(path))?.identity !== status.identity) return "another program is replacing the file";
      isTaken = true;
    } finally {
      if (!isTaken) {
        if (dotLock !== undefined) await this.#unlockDot(`${path}.lock`, dotLock);
        await file.close();
      }
    }
    return async () => {
      try {
        if (dotLock !== undefined) await this.#unlockDot(`${path}.lock`, dotLock);
      } finally {
        await file.close();
      }
    };
  }

  async #tryDotLock(lock: string): Promise<{ readonly identity: string } | { readonly heldBy: string }> {
    for (let breaks = 0; ; breaks++) {
      const identity = await this.#createDotLock(lock);
      if (identity !== undefined) return { identity };
      const heldBy = await this.#holderOf(lock);
      if (heldBy !== undefined) return { heldBy };
      // It was stale and is gone; somebody may be quicker than we are, but not for ever.
      if (breaks === MOST_BREAKS) return { heldBy: "somebody" };
    }
  }

  /**
   * The lock appears under its name with its holder in it, for one left empty by our end would name nobody and hold up
   * the mailbox until it is old: made under a name of our own, then linked.
   */
  async #createDotLock(lock: string): Promise<string | undefined> {
    const { fs } = this.#parts;
    await this.#sweep(dirname(lock));
    const draft = `${lock}${DRAFT_MARK}${fs.processId}.${drafts++}`;
    drafting.add(draft);
    try {
      const identity = await this.#createDraft(draft);
      this.#held.add(identity);
      if (await this.#link(draft, lock)) return identity;
      this.#held.delete(identity);
      return undefined;
    } finally {
      drafting.delete(draft);
      // The lock counts, not the draft: what a failing disk leaves of it is swept before the next lock there.
      await fs.unlink(draft).catch(() => this.#swept.delete(dirname(lock)));
    }
  }

  async #createDraft(draft: string): Promise<string> {
    const { fs } = this.#parts;
    const file = await fs.create(draft, DOT_LOCK_MODE);
    try {
      await file.writeAt(0, Buffer.from(`${fs.processId}\n`));
      return (await file.status()).identity;
    } finally {
      await file.close();
    }
  }

  /** False when the name is taken. */
  async #link(draft: string, lock: string): Promise<boolean> {
    const { fs } = this.#parts;
    try {
      await fs.link(draft, lock);
      return true;
    } catch (thrown) {
      const code = systemCodeOf(thrown);
      if (code === "EEXIST") return false;
      if (!NO_HARD_LINKS.has(code ?? "")) throw thrown;
    }
    // Nobody can see the draft, so moving it is as good, but for a lock that appears between look and move.
    if ((await fs.status(lock)) !== undefined) return false;
    await fs.rename(draft, lock);
    return true;
  }

  /** Drafts of earlier lives, once for each directory. What cannot be looked at or removed (somebody else's) stays. */
  async #sweep(directory: string): Promise<void> {
    const { fs } = this.#parts;
    if (this.#swept.has(directory)) return;
    if (this.#swept.size >= MOST_SWEPT_KNOWN) this.#swept.clear();
    this.#swept.add(directory);
    for (const name of await fs.list(directory).catch(() => [])) {
      const pid = Number(DRAFT.exec(name)?.[1] ?? 0);
      const path = join(directory, name);
      if (pid === 0 || drafting.has(path) || (pid !== fs.processId && fs.isProcessAlive(pid))) continue;
      await fs.unlink(path).catch(() => {});
    }
  }

  /** Who holds it. Undefined when nobody does: it is gone, or it was stale and has been broken. */
  async #holderOf(lock: string): Promise<string | undefined> {
    const { fs, clock, emit, settings } = this.#parts;
    const status = await fs.status(lock);
    if (status === undefined) return undefined;
    if (status.kind !== "file") return "something that is no file";
    const pid = await this.#processIn(lock);
    const ageMs = clock.now() - status.modifiedAt;
    const isOurs = pid === fs.processId;
    const holder = pid === undefined ? "a program" : `process ${pid}`;
    let because: string | undefined;
    if (this.#held.has(status.identity)) return "this server";
    // Our own number, but none of our locks: an earlier life had the same number, as in a container.
    if (pid !== undefined && (isOurs || !fs.isProcessAlive(pid))) because = `process ${pid}, which held it, is gone`;
    else if (ageMs > settings.staleDotLock * (pid === undefined ? 1 : LIVING_FACTOR))
      because = `it is ${formatDuration(Math.round(ageMs / 1000) * 1000)} old`;
    if (because === undefined) return holder;
    if (await this.#breakLock(lock, status.identity)) emit(staleLockBroken, { lock, because });
    return undefined;
  }

  /**
   * Takes a stale lock away, unless it has become another's meanwhile: moved aside first, looked at, and put back if it
   * is not the one that was judged.
   */
  async #breakLock(lock: string, identity: string): Promise<boolean> {
    const { fs } = this.#parts;
    const aside = `${lock}.${fs.processId}`;
    try {
      await fs.rename(lock, aside);
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOENT") return false;
      throw thrown;
    }
    const isTheOne = (await fs.status(aside))?.identity === identity;
    if (!isTheOne) await fs.link(aside, lock).catch(() => {});
    await fs.unlink(aside);
    return isTheOne;
  }

  async #processIn(lock: string): Promise<number | undefined> {
    const file = await this.#parts.fs.open(lock).catch(() => undefined);
    if (file === undefined) return undefined;
    try {
      const pid = Number(/^\s*(\d{1,9})\s*$/.exec((await file.readAt(0, 32)).toString("latin1"))?.[1] ?? 0);
      // 0 is what procmail's lockfile writes: it names nobody.
      return pid > 0 ? pid : undefined;
    } finally {
      await file.close();
    }
  }

  async #unlockDot(lock: string, identity: string): Promise<void> {
    const { fs } = this.#parts;
    try {
      // Whoever thought ours stale may have put its own there.
      if ((await fs.status(lock))?.identity === identity) await fs.unlink(lock);
    } finally {
      // One that a failing disk did not let go of is nobody's from here on, and is broken when it is met.
      this.#held.delete(identity);
    }
  }
}
