import { join } from "node:path";
import { systemCodeOf } from "../../../foundation/error.ts";
import type { EnvelopeId } from "../../../foundation/ids.ts";
import type { Directories } from "./directories.ts";
import { MailboxRefusal } from "./disk-failure.ts";
import type { MailFs } from "./mail-fs.ts";

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

  constructor(fs: MailFs, directories: Directories) {
    this.#fs = fs;
    this.#directories = directories;
  }

  /** Resolves when the mail is in the mailbox and survives a power cut. */
  async deliver(mail: MaildirMail): Promise<MaildirResult> {
    const { directory, name } = mail;
    const isNewMailbox = await this.#ensure(directory);
    if (mail.mayBeThere && !isNewMailbox && (await isThere(this.#fs, directory, name)))
      return { isRepeat: true, isNewMailbox };
    const temporary = await this.#write(mail);
    await this.#fs.rename(temporary, join(directory, "new", name)).catch((thrown: unknown) => {
      this.#checked.delete(directory);
      throw thrown;
    });
    await this.#fs.syncDirectory(join(directory, "new"));
    return { isRepeat: false, isNewMailbox };
  }

  /** Makes what is missing. Tells whether the mailbox is new. */
  async #ensure(directory: string): Promise<boolean> {
    const status = await this.#fs.status(directory);
    // A link that the mailbox's owner made could send our writes anywhere; one by root or by ourselves is an arrangement.
    if (status?.kind === "symlink" && !status.isTrusted)
      throw new MailboxRefusal("permission", "the mailbox is a symbolic link that neither root nor this server made");
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

  /** A mailbox that was whole once may have lost a folder since: then the next attempt looks at it again. */
  async #write(mail: MaildirMail): Promise<string> {
    const temporary = join(mail.directory, "tmp", mail.name);
    try {
      await writeSynced(this.#fs, temporary, mail.content);
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOENT") this.#checked.delete(mail.directory);
      throw thrown;
    }
    return temporary;
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

async function writeSynced(fs: MailFs, path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await fs.create(path, MAIL_MODE).catch(async (thrown: unknown) => {
    if (systemCodeOf(thrown) !== "EEXIST") throw thrown;
    // Left by a crash: nobody else makes this name, and one envelope has one attempt at a time.
    await fs.unlink(path);
    return fs.create(path, MAIL_MODE);
  });
  try {
    try {
      let position = 0;
      for await (const bytes of content) {
        await file.writeAt(position, bytes);
        position += bytes.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (thrown) {
    await fs.unlink(path).catch(() => {});
    throw thrown;
  }
}
