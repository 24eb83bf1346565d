import { randomBytes } from "node:crypto";
import { constants, existsSync, readdirSync, renameSync } from "node:fs";
import { lstat, mkdir, open, opendir, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Timer } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import type { DroppedMail } from "./dropped-mail.ts";
import { UNFINISHED_NAME } from "./dropped-names.ts";
import { DROPPED_NAME } from "./dropped-names.ts";
import { dropKept, dropLeft, dropRefused, dropSetAside, dropUntaken } from "./events.ts";

/**
 * Takes in what users have put into the drop folder while the server was down. The folder is sticky and everybody may put
 * files into it, so nothing in it is believed but what the system says of an opened file: a file is first moved into
 * `taken`, which nobody else can enter, opened there without following links, and must be a regular file with one name;
 * its owner is who hands the mail in.
 *
 * In `taken` a file has the name of its claimer in front: a process that lives, and nobody else touches it. Whoever stops gives back
 * what it has not brought in, and whoever starts processes does that for those that have ended (`releaseClaims`).
 *
 * A mail that is refused for good goes back to its user as a notice, as does the beginning of a file that is too large or no mail;
 * one that cannot be taken now is tried again. A file goes when its mail or the notice is in the queue: a crash in between hands it
 * in a second time, and none is lost. Where even the notice is refused, the file stays in `refused` for the operator to look at.
 */
export interface DropFolder {
  /** Looks once now, and from time to time. */
  start(): void;
  close(): Promise<void>;
}

export type Handed =
  | { readonly kind: "taken" }
  | { readonly kind: "later"; readonly text: string }
  | { readonly kind: "refused"; readonly lines: readonly string[] };

export interface DropFolderParts {
  readonly folder: string;
  /** Nobody else's name as long as this process lives; no dot is in it. */
  readonly claimer: string;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly mostBytes: () => number;
  /** The account of a user's number. */
  readonly accountOf: (uid: number) => Promise<string>;
  /** Hands a mail in on behalf of an account. Never rejects. */
  readonly hand: (account: string, mail: DroppedMail, content: Buffer) => Promise<Handed>;
  /**
   * Tells a user that a mail of his was refused, and says what became of that. Without `mail` it was no mail, and `content` is how
   * the file begins; of one that was too large it is a beginning, too.
   */
  readonly giveBack: (
    account: string,
    mail: DroppedMail | undefined,
    content: Buffer,
    lines: readonly string[],
  ) => Promise<Handed>;
}

const LOOK_EVERY_MS = 10_000;
const AT_ONCE = 4;
/** Of a file that is too large this much is read: its head, and what is given back of the mail. */
const BEGINNING_BYTES = 4 * 1024 * 1024 + 256 * 1024;
/** So many mails, and so many files that nobody ended, in one look; the rest is for the next. */
const MOST_FILES = 10_000;
/** Of so many names trouble is told, once in so long a time. */
const MOST_TOLD = 100;
const TELL_ANEW_MS = 3_600_000;
/** A program that writes for a day has ended. */
const UNFINISHED_MS = 24 * 3_600_000;
const FIRST_RETRY_MS = 30_000;
const LONGEST_RETRY_MS = 15 * 60_000;
/** After this a mail that could never be taken goes back. */
const GIVE_UP_MS = 5 * 24 * 3_600_000;

/**
 * Gives back what a claimer had that is no more, or without one what anybody had: for before any is started. At once, for the next
 * process of the same name may begin right then.
 */
export function releaseClaims(folder: string, claimer?: string): void {
  const taken = join(folder, "taken");
  for (const claim of readdirSync(taken)) {
    const at = claim.indexOf(".");
    const name = claim.slice(at + 1);
    if (at < 0 || !DROPPED_NAME.test(name) || (claimer !== undefined && claim.slice(0, at) !== claimer)) continue;
    const place = join(folder, name);
    // Its user may have made another of that name.
    const isFree = !existsSync(place);
    renameSync(join(taken, claim), isFree ? place : join(folder, `${randomBytes(24).toString("base64url")}.mail`));
  }
}

/** For when nobody is to look there: mail that programs were told 0 for should not wait unknown to all. */
export async function tellUntaken(folder: string, emit: Emit): Promise<void> {
  let files = 0;
  let seen = 0;
  const taken = join(folder, "taken");
  for (const place of [folder, taken])
    for await (const { name } of await opendir(place)) {
      if (DROPPED_NAME.test(place === taken ? name.slice(name.indexOf(".") + 1) : name)) files++;
      if (++seen > MOST_FILES) break;
    }
  if (files > 0) emit(dropUntaken, { folder, files });
}

export function dropFolder(parts: DropFolderParts): DropFolder {
  return new Taker(parts);
}

class Taker implements DropFolder {
  readonly #parts: DropFolderParts;
  readonly #taken: string;
  readonly #refused: string;
  /** Files that are to be tried again, by their name in `taken`. */
  readonly #later = new Map<string, { atMs: number; waitMs: number }>();
  /** Files whose mail, or a notice of it, is in the queue, and which could not be removed. */
  readonly #ended = new Set<string>();
  readonly #told = new Set<string>();
  #toldFromMs = -Infinity;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #isClosed = false;

  constructor(parts: DropFolderParts) {
    this.#parts = parts;
    this.#taken = join(parts.folder, "taken");
    this.#refused = join(parts.folder, "refused");
  }

  start(): void {
    if (this.#isClosed || this.#looking !== undefined) return;
    this.#looking = this.#look()
      .catch((thrown: unknown) => this.#tellOnce("", messageOf(thrown)))
      .finally(() => {
        this.#looking = undefined;
        if (!this.#isClosed) this.#timer = this.#parts.clock.after(LOOK_EVERY_MS, () => this.start());
      });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#looking;
    // Whoever comes next would hand them in once more.
    for (const name of this.#ended) await this.#end(name).catch(() => {});
    try {
      releaseClaims(this.#parts.folder, this.#parts.claimer);
    } catch (thrown) {
      // Then whoever starts processes does it.
      this.#tellOnce("", messageOf(thrown));
    }
  }

  async #look(): Promise<void> {
    const claims = await this.#claims();
    const waiting = this.#dueOf(claims);
    let swept = 0;
    // What is neither does not count: everybody may fill the folder with it, and nobody's mail is to stay behind that.
    for await (const { name } of await opendir(this.#parts.folder)) {
      if (waiting.length >= MOST_FILES || this.#isClosed) break;
      if (UNFINISHED_NAME.test(name) && swept++ < MOST_FILES) await this.#sweep(name);
      if (!DROPPED_NAME.test(name)) continue;
      const own = `${this.#parts.claimer}.${name}`;
      // The one before of that name is still in hand, and would be gone.
      if (claims.has(own)) continue;
      try {
        // From here on nobody else can change what the name means; two processes that look cannot both have it.
        await rename(join(this.#parts.folder, name), join(this.#taken, own));
        claims.add(own);
        waiting.push(own);
      } catch (thrown) {
        // Another process was quicker; or it is a directory of somebody's, which cannot be moved.
        if (systemCodeOf(thrown) !== "ENOENT") this.#tellOnce(name, messageOf(thrown));
      }
    }
    const work = Array.from({ length: AT_ONCE }, async () => {
      for (let next = waiting.shift(); next !== undefined && !this.#isClosed; next = waiting.shift())
        await this.#takeOne(next);
    });
    await Promise.all(work);
  }

  /** What this process has taken and not brought in, or could not remove. */
  async #claims(): Promise<Set<string>> {
    const names = await readdir(this.#taken);
    const claims = new Set(names.filter((name) => name.startsWith(`${this.#parts.claimer}.`)));
    // The operator has removed it; the name may come again.
    for (const name of this.#ended) if (!claims.has(name)) this.#forget(name);
    return claims;
  }

  /** Those that are to be tried now. */
  #dueOf(claims: ReadonlySet<string>): string[] {
    const nowMs = this.#parts.clock.monotonicMs();
    return [...claims].filter((name) => (this.#later.get(name)?.atMs ?? 0) <= nowMs);
  }

  async #takeOne(name: string): Promise<void> {
    try {
      if (!this.#ended.has(name)) await this.#take(name);
      else await this.#end(name);
    } catch (thrown) {
      const isIn = this.#ended.has(name) ? "its mail is in the queue, but it cannot be removed: " : "";
      this.#again(name, `${isIn}${messageOf(thrown)}`);
    }
  }

  async #take(name: string): Promise<void> {
    const { accountOf, hand, giveBack, mostBytes, emit } = this.#parts;
    const path = join(this.#taken, name);
    const read = await readChecked(path, mostBytes());
    if (read.kind === "gone") return;
    if (read.kind === "wrong") {
      try {
        // Only the name goes: what a link leads to is not touched.
        await rm(path, { recursive: true, force: true });
      } catch (thrown) {
        return this.#again(name, `${read.text}, and cannot be removed: ${messageOf(thrown)}`);
      }
      this.#forget(name);
      emit(dropRefused, { file: name, uid: read.uid, problem: read.text });
      return;
    }
    if (read.kind === "failed") return this.#again(name, read.text);
    const { uid, bytes, changedAt } = read;
    // Hardly ever asked, and its reader is dear to load.
    const { readDropped } = await import("./dropped-mail.ts");
    const parsed = readDropped(bytes);
    // It stays until there is such a Posthorn again.
    if (!parsed.ok && parsed.problem.isNewer === true) return this.#again(name, `expected ${parsed.problem.expected}`);
    const account = await accountOf(uid);
    const mail = parsed.ok ? parsed.value.mail : undefined;
    const content = parsed.ok ? parsed.value.content : bytes;
    const handed = read.isWhole
      ? parsed.ok
        ? await hand(account, parsed.value.mail, content)
        : refusedFor(`expected ${parsed.problem.expected}`)
      : refusedFor(`it is larger than ${mostBytes()} bytes, which local-submission.drop-size allows`);
    const age = this.#parts.clock.now() - changedAt;
    if (handed.kind === "later" && age < GIVE_UP_MS) return this.#again(name, handed.text);
    if (handed.kind !== "taken") {
      const lines = handed.kind === "refused" ? handed.lines : [`not taken for five days: ${handed.text}`];
      emit(dropRefused, { file: name, uid, account, problem: lines.join("; ") });
      const notice = await giveBack(account, mail, content, lines);
      if (notice.kind === "later") return this.#again(name, `the notice was not taken: ${notice.text}`);
      if (notice.kind === "refused") return this.#setAside(name, notice.lines.join("; "));
    } else emit(dropKept, { file: name, uid, account, recipients: mail?.recipients.length ?? 0 });
    return this.#end(name);
  }

  /** As long as it stays it must not be handed in again. */
  async #end(name: string): Promise<void> {
    this.#ended.add(name);
    await rm(join(this.#taken, name), { force: true });
    this.#forget(name);
  }

  #forget(name: string): void {
    this.#ended.delete(name);
    this.#later.delete(name);
  }

  /** Neither its mail nor a notice is taken, and it is somebody's all the same. */
  async #setAside(name: string, problem: string): Promise<void> {
    const place = join(this.#refused, name.slice(name.indexOf(".") + 1));
    await mkdir(this.#refused, { recursive: true, mode: 0o700 });
    await rename(join(this.#taken, name), place);
    this.#later.delete(name);
    this.#parts.emit(dropSetAside, { file: place, problem });
  }

  #again(name: string, text: string): void {
    const { clock, emit } = this.#parts;
    const waitMs = Math.min(2 * (this.#later.get(name)?.waitMs ?? FIRST_RETRY_MS / 2), LONGEST_RETRY_MS);
    this.#later.set(name, { atMs: clock.monotonicMs() + waitMs, waitMs });
    emit(dropLeft, { file: name, problem: text, againInMs: waitMs });
  }

  async #sweep(name: string): Promise<void> {
    const path = join(this.#parts.folder, name);
    try {
      const { mtimeMs } = await lstat(path);
      if (this.#parts.clock.now() - mtimeMs > UNFINISHED_MS) await unlink(path);
    } catch {
      // It was finished meanwhile.
    }
  }

  /** Anybody can make trouble of this kind, as much as he likes. */
  #tellOnce(name: string, problem: string): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (nowMs - this.#toldFromMs > TELL_ANEW_MS) {
      this.#told.clear();
      this.#toldFromMs = nowMs;
    }
    if (this.#told.has(name) || (name !== "" && this.#told.size >= MOST_TOLD)) return;
    this.#told.add(name);
    this.#parts.emit(dropLeft, { file: name, problem, againInMs: LOOK_EVERY_MS });
  }
}

type Read =
  | {
      readonly kind: "read";
      readonly uid: number;
      /** The beginning of what is larger than it may be. */
      readonly bytes: Buffer;
      readonly isWhole: boolean;
      readonly changedAt: number;
    }
  /** It can never be taken. */
  | { readonly kind: "wrong"; readonly uid: number | undefined; readonly text: string }
  | { readonly kind: "failed"; readonly text: string }
  | { readonly kind: "gone" };

async function readChecked(path: string, mostBytes: number): Promise<Read> {
  let file;
  try {
    // A FIFO without a writer would else hold us up; a link is refused.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (thrown) {
    const code = systemCodeOf(thrown);
    if (code === "ENOENT") return { kind: "gone" };
    if (code === "ELOOP" || code === "ENXIO") return { kind: "wrong", uid: undefined, text: "it is no regular file" };
    if (code === "EACCES") return { kind: "wrong", uid: await ownerOf(path), text: "its owner lets nobody read it" };
    return { kind: "failed", text: messageOf(thrown) };
  }
  try {
    const facts = await file.stat();
    const { uid, nlink, size, mtimeMs } = facts;
    if (!facts.isFile()) return { kind: "wrong", uid, text: "it is no regular file" };
    // A second name may be somebody else's file, put here by whoever wants to speak as him.
    if (nlink !== 1) return { kind: "wrong", uid, text: "it has another name elsewhere" };
    const isWhole = size <= mostBytes;
    const wanted = isWhole ? size : Math.min(size, BEGINNING_BYTES);
    const bytes = Buffer.alloc(wanted);
    let at = 0;
    while (at < wanted) {
      const { bytesRead } = await file.read(bytes, at, wanted - at, at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return { kind: "read", uid, bytes: bytes.subarray(0, at), isWhole, changedAt: mtimeMs };
  } catch (thrown) {
    return { kind: "failed", text: messageOf(thrown) };
  } finally {
    await file.close();
  }
}

function refusedFor(text: string): Handed {
  return { kind: "refused", lines: [text] };
}

async function ownerOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).uid;
  } catch {
    return undefined;
  }
}
