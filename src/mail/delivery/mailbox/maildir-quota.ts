import { join } from "node:path";
import type { Clock } from "../../../foundation/clock.ts";
import { systemCodeOf } from "../../../foundation/error.ts";
import type { MailFs } from "./mail-fs.ts";
import {
  BELIEVED_WHEN_FULL_MS,
  changeLine,
  fits,
  formatMaildirSize,
  isTrashed,
  MOST_MAILDIRSIZE_BYTES,
  parseMaildirSize,
  quotaDefinition,
  sizeInName,
  type Quota,
  type Usage,
} from "./quota.ts";

const FILE = "maildirsize";
const MODE = 0o600;
/** Of a mailbox with more folders than this the rest is not counted. */
const MOST_FOLDERS = 10_000;

/**
 * The quota of a Maildir++, kept in its `maildirsize` together with whoever else uses the mailbox (an IMAP server). Nobody
 * locks: each change is one appended line. `directory` is the mailbox itself, not a folder of it.
 */
export class MaildirQuota {
  readonly #fs: MailFs;
  readonly #clock: Clock;

  constructor(fs: MailFs, clock: Clock) {
    this.#fs = fs;
    this.#clock = clock;
  }

  /** Is there room for a mail of this size? What is there is counted when the file says too little about it. */
  async hasRoom(directory: string, quota: Quota, mailBytes: number): Promise<boolean> {
    const found = await this.#fs.read(join(directory, FILE), MOST_MAILDIRSIZE_BYTES + 1);
    const text =
      found === undefined || found.bytes.length > MOST_MAILDIRSIZE_BYTES ? "" : found.bytes.toString("latin1");
    const known = parseMaildirSize(text);
    if (found === undefined || known === undefined || known.definition !== quotaDefinition(quota))
      return fits(quota, await this.#count(directory, quota), mailBytes);
    if (fits(quota, known.usage, mailBytes)) return true;
    // A full mailbox is counted before it is believed, unless that was done just now and nothing has changed since.
    const isFresh = known.changes === 0 && this.#clock.now() - found.status.modifiedAt < BELIEVED_WHEN_FULL_MS;
    return !isFresh && fits(quota, await this.#count(directory, quota), mailBytes);
  }

  /** A mail of this size has come. A file that is gone meanwhile is counted anew by whoever wants to know. */
  async add(directory: string, mailBytes: number): Promise<void> {
    await this.#fs.append(join(directory, FILE), Buffer.from(changeLine({ bytes: mailBytes, messages: 1 })));
  }

  async #count(directory: string, quota: Quota): Promise<Usage> {
    const places = ["", ...(await this.#folders(directory))].flatMap((folder) =>
      ["new", "cur"].map((part) => join(directory, folder, part)),
    );
    const before = await this.#changedAt(places);
    let bytes = 0;
    let messages = 0;
    for (const place of places) {
      for (const name of await this.#fs.list(place)) {
        if (name.startsWith(".") || isTrashed(name)) continue;
        const size = sizeInName(name) ?? (await this.#fs.status(join(place, name)))?.sizeBytes;
        if (size === undefined) continue;
        bytes += size;
        messages++;
      }
    }
    const usage = { bytes, messages };
    // Under a name of its own in tmp/, then moved: nobody reads half of it.
    const draft = join(directory, "tmp", `${FILE}.${this.#fs.processId}.${Math.floor(this.#clock.now())}`);
    await this.#fs.unlink(draft);
    const file = await this.#fs.create(draft, MODE);
    try {
      await file.writeAt(0, Buffer.from(formatMaildirSize(quota, usage)));
    } finally {
      await file.close();
    }
    await this.#fs.rename(draft, join(directory, FILE));
    // Somebody changed the mailbox while we counted: the next one counts again.
    if ((await this.#changedAt(places)) !== before) await this.#fs.unlink(join(directory, FILE));
    return usage;
  }

  async #folders(directory: string): Promise<readonly string[]> {
    const names = (await this.#fs.list(directory)).filter(
      (name) => name.startsWith(".") && name !== "." && name !== ".." && !/^\.Trash(\.|$)/.test(name),
    );
    const folders: string[] = [];
    for (const name of names.slice(0, MOST_FOLDERS))
      if (await this.#isDirectory(join(directory, name))) folders.push(name);
    return folders;
  }

  /** Users and IMAP servers keep files there, too: a script of Sieve's, lists of subscriptions. */
  async #isDirectory(path: string): Promise<boolean> {
    try {
      // With the dot it is the directory itself, also where a link leads to it.
      return (await this.#fs.status(`${path}/.`)) !== undefined;
    } catch (thrown) {
      const code = systemCodeOf(thrown);
      // A link may lead to itself, too.
      if (code === "ENOTDIR" || code === "ELOOP") return false;
      throw thrown;
    }
  }

  async #changedAt(places: readonly string[]): Promise<number> {
    let latest = 0;
    for (const place of places) latest = Math.max(latest, (await this.#fs.status(place))?.modifiedAt ?? 0);
    return latest;
  }
}
