import { join } from "node:path";
import { systemCodeOf } from "../../../foundation/error.ts";
import type { EnvelopeId } from "../../../foundation/ids.ts";
import type { Directories } from "./directories.ts";
import { MailboxRefusal, OverQuota } from "./disk-failure.ts";
import type { MailFile, MailFs } from "./mail-fs.ts";
import type { MaildirQuota } from "./maildir-quota.ts";
import type { Quota } from "./quota.ts";

/**
 * Maildir: one file a mail, written in tmp/, synced, moved to new/ by one rename, and the directory synced. A reader, or
 * a crash at any moment, sees the whole mail or none.
 *
 * The name follows from the envelope and never from the moment of the attempt, so an attempt whose outcome was lost is
 * recognised: its mail stands under that name in new/, or with flags behind it in cur/.
 */
export interface MaildirMail {
  readonly directory: string;
  readonly name: string;
  readonly content: AsyncIterable<Uint8Array>;
  /** The Maildir that `directory` is a folder of, or the same. */
  readonly mailbox: string;
  /** What the mailbox may hold. */
  readonly quota?: Quota | undefined;
  /** Nobody else may own the mailbox, but root: we have its user's rights. */
  readonly mustBeOwn: boolean;
  /** Another attempt may have come as far as the mailbox. */
  readonly mayBeThere: boolean;
}

export type MaildirResult = { readonly isRepeat: boolean; readonly isNewMailbox: boolean };

const MAIL_MODE = 0o600;

/** `1763693400.E06A7Q2MK0W1_1.mail.example.org`: unique for ever, by the message's id. */
export function maildirName(envelope: EnvelopeId, receivedAt: number, hostname: string): string {
  const host = hostname.replace(/[/:\0]/g, (character) => (character === "/" ? "\\057" : "\\072"));
  return `${uniquePart(envelope, receivedAt)}${host}`;
}

/** What the name begins with, whatever the host is called by now. */
function uniquePart(envelope: EnvelopeId, receivedAt: number): string {
  return `${Math.floor(receivedAt / 1000)}.E${envelope.replace(".", "_")}.`;
}

/** Delivers into Maildirs and looks after their directories. */
export class Maildirs {
  readonly #fs: MailFs;
  readonly #directories: Directories;
  /** Mailboxes whose folders were found whole, by the identity they had then. */
  readonly #checked = new Map<string, string>();

  readonly #quota: MaildirQuota;
  /** Deliveries into mailboxes with a quota: each is counted before the next looks. */
  readonly #lines = new Map<string, Promise<unknown>>();

  constructor(fs: MailFs, directories: Directories, quota: MaildirQuota) {
    this.#fs = fs;
    this.#directories = directories;
    this.#quota = quota;
  }

  /** Resolves when the mail is in the mailbox and survives a power cut. Rejects with `OverQuota` when it has no room. */
  async deliver(mail: MaildirMail): Promise<MaildirResult> {
    const { directory, name, quota } = mail;
    const isNewMailbox = await this.#ensure(directory, mail.mustBeOwn);
    if (mail.mailbox !== directory) await this.#ensure(mail.mailbox, mail.mustBeOwn);
    if (mail.mayBeThere && !isNewMailbox && (await isThere(this.#fs, directory, name)))
      return { isRepeat: true, isNewMailbox };
    const { path, sizeBytes } = await this.#write(mail);
    if (quota === undefined) await this.#move(path, mail, name);
    else
      await this.#inLine(mail.mailbox, async () => {
        if (!(await this.#quota.hasRoom(mail.mailbox, quota, sizeBytes))) {
          await this.#fs.unlink(path);
          throw new OverQuota("the mailbox has no room for it");
        }
        // With its size in its name, so that nobody need ask the disk to count it.
        await this.#move(path, mail, `${name},S=${sizeBytes}`);
        await this.#quota.add(mail.mailbox, sizeBytes);
      });
    await this.#fs.syncDirectory(join(directory, "new"));
    return { isRepeat: false, isNewMailbox };
  }

  /** A new folder of a mailbox, marked as one (Maildir++). */
  async makeFolder(mailbox: string, folder: string): Promise<void> {
    await this.#directories.make(mailbox);
    await this.#directories.make(folder);
    const mark = await this.#fs.create(join(folder, "maildirfolder"), MAIL_MODE).catch((thrown: unknown) => {
      if (systemCodeOf(thrown) === "EEXIST") return undefined;
      throw thrown;
    });
    await mark?.close();
  }

  async #move(from: string, mail: MaildirMail, name: string): Promise<void> {
    await this.#whole(mail, () => this.#fs.rename(from, join(mail.directory, "new", name)));
  }

  /** A mailbox that was whole once may have lost a folder since: then it is looked at again, at once. */
  async #whole<Value>({ directory, mustBeOwn }: MaildirMail, use: () => Promise<Value>): Promise<Value> {
    try {
      return await use();
    } catch (thrown) {
      if (systemCodeOf(thrown) !== "ENOENT" || !this.#checked.delete(directory)) throw thrown;
      await this.#ensure(directory, mustBeOwn);
      return use();
    }
  }

  async #inLine(mailbox: string, work: () => Promise<void>): Promise<void> {
    const before = this.#lines.get(mailbox) ?? Promise.resolve();
    const ours = before.then(work, work);
    this.#lines.set(mailbox, ours);
    try {
      await ours;
    } finally {
      if (this.#lines.get(mailbox) === ours) this.#lines.delete(mailbox);
    }
  }

  /** Makes what is missing. Tells whether the mailbox is new. */
  async #ensure(directory: string, mustBeOwn: boolean): Promise<boolean> {
    const status = await this.#fs.status(directory);
    // A link that the mailbox's owner made could send our writes anywhere; one by root or by ourselves is an arrangement.
    if (status?.kind === "symlink" && !status.isTrusted)
      throw new MailboxRefusal("permission", "the mailbox is a symbolic link that neither root nor this server made");
    if (mustBeOwn && status !== undefined && !status.isTrusted)
      throw new MailboxRefusal("permission", "the mailbox belongs to somebody else");
    if (status !== undefined && this.#checked.get(directory) === status.identity) return false;
    for (const folder of FOLDERS) {
      const path = join(directory, folder);
      const found = await this.#fs.status(path);
      if (found !== undefined && found.kind !== "directory")
        throw new MailboxRefusal("permission", `${folder} is not a directory`);
      await this.#directories.make(path);
    }
    const made = status ?? (await this.#fs.status(directory));
    if (this.#checked.size >= MOST_CHECKED) this.#checked.clear();
    if (made !== undefined) this.#checked.set(directory, made.identity);
    return status === undefined;
  }

  async #write(mail: MaildirMail): Promise<{ readonly path: string; readonly sizeBytes: number }> {
    const path = join(mail.directory, "tmp", mail.name);
    const file = await this.#whole(mail, () => created(this.#fs, path));
    return { path, sizeBytes: await writeSynced(this.#fs, path, file, mail.content) };
  }
}

/** How many mailboxes are remembered as whole. */
const MOST_CHECKED = 20_000;
const FOLDERS = ["tmp", "new", "cur"] as const;

/** Found: made sure that the entry is durable too, for the crash may have come before that sync. */
async function isThere(fs: MailFs, directory: string, name: string): Promise<boolean> {
  const unique = name.split(".", 2).join(".");
  for (const folder of ["new", "cur"]) {
    const path = join(directory, folder);
    const names = await fs.list(path);
    if (!names.some((found) => found.startsWith(`${unique}.`))) continue;
    await fs.syncDirectory(path);
    return true;
  }
  return false;
}

async function created(fs: MailFs, path: string): Promise<MailFile> {
  try {
    return await fs.create(path, MAIL_MODE);
  } catch (thrown) {
    if (systemCodeOf(thrown) !== "EEXIST") throw thrown;
    // Left by a crash: nobody else makes this name, and one envelope has one attempt at a time.
    await fs.unlink(path);
    return fs.create(path, MAIL_MODE);
  }
}

/** Gives the length. */
async function writeSynced(
  fs: MailFs,
  path: string,
  file: MailFile,
  content: AsyncIterable<Uint8Array>,
): Promise<number> {
  try {
    try {
      let position = 0;
      for await (const bytes of content) {
        await file.writeAt(position, bytes);
        position += bytes.length;
      }
      await file.sync();
      return position;
    } finally {
      await file.close();
    }
  } catch (thrown) {
    await fs.unlink(path).catch(() => {});
    throw thrown;
  }
}
