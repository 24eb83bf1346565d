import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { z } from "zod";
import { PosthornError } from "../../../foundation/error.ts";
import type { Directories } from "./directories.ts";
import type { MailFile, MailFs } from "./mail-fs.ts";

/**
 * Before an mbox is changed, what will be written and where is recorded durably in a file of its own below the state
 * directory. After a crash the end of the mbox is compared with it, so that our own bytes are told from those that
 * another program may have added since. One mbox has one intent at a time, touched only under the mbox's locks.
 *
 * The file: the bytes to be written, an end of line, one line of JSON (`trailer`), an end of line. It appears under its
 * name by a rename after its sync, so what is there is whole.
 */
const VERSION = 1;
const versionSchema = z.object({ version: z.int() });
const trailerSchema = z.strictObject({
  version: z.literal(VERSION),
  /** `append`: a mail goes to `startBytes`. `shift`: others' mail moves down to there, over a torn one of ours. */
  kind: z.enum(["append", "shift"]),
  path: z.string(),
  envelope: z.string(),
  /** The length of the mbox before the append; or where the moved bytes shall begin. */
  startBytes: z.number().int().nonnegative(),
  /** The length of the mbox before the shift; for an append, as it was. */
  endBytes: z.number().int().nonnegative(),
  contentBytes: z.number().int().nonnegative(),
});
export type IntentFacts = Omit<z.output<typeof trailerSchema>, "version" | "contentBytes">;

export interface Intent extends IntentFacts {
  readonly contentBytes: number;
  readonly file: MailFile;
}

const TRAILER_MOST_BYTES = 32 * 1024;
const MODE = 0o600;
/**
 * Envelopes remembered as delivered into one mbox. Between a delivery whose outcome was lost and its repeat lie waits of
 * the scheduler's, in which other mail comes: thousands at the most that one mbox takes.
 */
const KEEP_DONE = 4000;
/** The file is cut to these when it has grown to twice as much; an id has about fifteen characters. */
const MOST_DONE_BYTES = 2 * KEEP_DONE * 16;

export class Intents {
  readonly #fs: MailFs;
  readonly #directories: Directories;
  readonly #directory: string;

  constructor(fs: MailFs, directories: Directories, directory: string) {
    this.#fs = fs;
    this.#directories = directories;
    this.#directory = directory;
  }

  /** Writes the bytes of an intent to be; `commit` makes it one. */
  async draft(name: string, content: AsyncIterable<Uint8Array>): Promise<Draft> {
    const path = join(this.#directory, `${name}.draft`);
    await this.#directories.make(this.#directory);
    await this.#fs.unlink(path);
    const file = await this.#fs.create(path, MODE);
    const draft = new Draft(this.#fs, path, file);
    try {
      for await (const bytes of content) await draft.write(bytes);
      return draft;
    } catch (thrown) {
      await draft.drop();
      throw thrown;
    }
  }

  /** Makes the draft the mbox's intent, durably. From here on `drop` ends it. */
  async commit(draft: Draft, facts: IntentFacts): Promise<Intent> {
    const contentBytes = await draft.finish({ version: VERSION, ...facts, contentBytes: draft.sizeBytes });
    await this.#fs.rename(draft.path, this.#intentPath(facts.path));
    draft.isOver = true;
    await this.#fs.syncDirectory(this.#directory);
    return { ...facts, contentBytes, file: draft.file };
  }

  /** The mbox's intent, if one was left. A file that is none (damaged by others) counts as none; a newer one throws. */
  async open(mbox: string): Promise<Intent | undefined> {
    return this.#read(this.#intentPath(mbox));
  }

  /** Ends it; its open file stays open. */
  async drop(intent: Intent): Promise<void> {
    await this.#fs.unlink(this.#intentPath(intent.path));
  }

  /** The mboxes that have an intent. Drafts that a crash left are removed, if `isOld`. */
  async mboxes(isOld: (modifiedAt: number) => boolean): Promise<readonly string[]> {
    const found: string[] = [];
    for (const name of await this.#fs.list(this.#directory)) {
      const path = join(this.#directory, name);
      if (name.endsWith(".draft")) {
        const status = await this.#fs.status(path);
        if (status !== undefined && isOld(status.modifiedAt)) await this.#fs.unlink(path);
      }
      if (!name.endsWith(".intent")) continue;
      // One of a newer format is told when a mail for its mbox comes.
      const intent = await this.#read(path).catch((thrown: unknown) => {
        if (thrown instanceof PosthornError) return undefined;
        throw thrown;
      });
      await intent?.file.close();
      if (intent !== undefined) found.push(intent.path);
    }
    return found;
  }

  /** Whether this envelope's mail was put into the mbox, as far as that is remembered. */
  async isDone(mbox: string, envelope: string): Promise<boolean> {
    return (await this.#doneLines(mbox)).includes(envelope);
  }

  /** Remembers, durably, that the envelope's mail is in the mbox. */
  async markDone(mbox: string, envelope: string): Promise<void> {
    const path = this.#donePath(mbox);
    const known = await this.#fs.open(path);
    const sizeBytes = (await known?.status())?.sizeBytes ?? 0;
    if (sizeBytes > MOST_DONE_BYTES) {
      await known?.close();
      const lines = await this.#doneLines(mbox);
      const draft = `${path}.draft`;
      await this.#fs.unlink(draft);
      await this.#writeDone(await this.#fs.create(draft, MODE), 0, [...lines.slice(-KEEP_DONE), envelope]);
      await this.#fs.rename(draft, path);
      await this.#fs.syncDirectory(this.#directory);
      return;
    }
    const file = known ?? (await this.#fs.create(path, MODE));
    await this.#writeDone(file, sizeBytes, ["", envelope]);
    if (known === undefined) await this.#fs.syncDirectory(this.#directory);
  }

  /** Begins with an end of line, so that a line torn by a crash ends there. */
  async #writeDone(file: MailFile, at: number, lines: readonly string[]): Promise<void> {
    try {
      await file.writeAt(at, Buffer.from(`${lines.join("\n")}\n`));
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #doneLines(mbox: string): Promise<readonly string[]> {
    const file = await this.#fs.open(this.#donePath(mbox));
    if (file === undefined) return [];
    try {
      const { sizeBytes } = await file.status();
      return (await file.readAt(0, Math.min(sizeBytes, 1024 * 1024))).toString("latin1").split("\n").filter(Boolean);
    } finally {
      await file.close();
    }
  }

  async #read(path: string): Promise<Intent | undefined> {
    const file = await this.#fs.open(path);
    if (file === undefined) return undefined;
    let intent: Intent | undefined;
    try {
      const { sizeBytes } = await file.status();
      const length = Math.min(sizeBytes, TRAILER_MOST_BYTES);
      const end = await file.readAt(sizeBytes - length, length);
      const lineAt = end.lastIndexOf(10, end.length - 2) + 1;
      const trailer = parseJson(end.toString("utf8", lineAt, end.length - 1));
      const version = versionSchema.safeParse(trailer).data?.version ?? VERSION;
      // Without it nobody knows which bytes at the mbox's end are ours: no mail goes there until somebody does.
      if (version > VERSION)
        throw new PosthornError("STORE_VERSION", {
          message: `${path} has format ${version}; this Posthorn knows formats up to ${VERSION}`,
          advice: "let the newer Posthorn that wrote it end this delivery, then go back",
        });
      const facts = trailerSchema.safeParse(trailer);
      const isWhole = facts.success && sizeBytes - length + lineAt === facts.data.contentBytes + 1;
      if (isWhole) intent = { ...facts.data, file };
    } finally {
      if (intent === undefined) await file.close();
    }
    return intent;
  }

  #intentPath(mbox: string): string {
    return join(this.#directory, `${keyOf(mbox)}.intent`);
  }

  #donePath(mbox: string): string {
    return join(this.#directory, `${keyOf(mbox)}.done`);
  }
}

/** An intent being written. */
export class Draft {
  readonly path: string;
  readonly file: MailFile;
  readonly #fs: MailFs;
  sizeBytes = 0;
  /** Committed or dropped. */
  isOver = false;

  constructor(fs: MailFs, path: string, file: MailFile) {
    this.#fs = fs;
    this.path = path;
    this.file = file;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.file.writeAt(this.sizeBytes, bytes);
    this.sizeBytes += bytes.length;
  }

  /** Ends it with its trailer and makes it durable. Gives the length of the content. */
  async finish(trailer: z.input<typeof trailerSchema>): Promise<number> {
    await this.file.writeAt(this.sizeBytes, Buffer.from(`\n${JSON.stringify(trailer)}\n`));
    await this.file.sync();
    return this.sizeBytes;
  }

  /** Forgets it; of no effect on a committed one. */
  async drop(): Promise<void> {
    if (this.isOver) return;
    this.isOver = true;
    await this.file.close().catch(() => {});
    await this.#fs.unlink(this.path).catch(() => {});
  }
}

function keyOf(mbox: string): string {
  return createHash("sha256")
    .update(`${dirname(mbox)}\0${mbox}`)
    .digest("hex")
    .slice(0, 40);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
