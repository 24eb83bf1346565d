import { join } from "node:path";
import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import { senderOf } from "../../envelope/envelope.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { Forwarded, LocalOutcome, Outcome } from "../delivery.ts";
import { discard } from "../discard/discard.ts";
import { BodyUnreadable, deliveredContent, type OpenBody } from "./delivered-content.ts";
import { Directories } from "./directories.ts";
import { diskFailure } from "./disk-failure.ts";
import type { FileAgent, FileErrand, Place } from "./errand.ts";
import { forwardBroken, mailboxCreated, mailboxRepeat, mboxNotRecovered } from "./events.ts";
import { readForward } from "./forward-file.ts";
import { maildirFolder } from "./maildir-folder.ts";
import { MaildirQuota } from "./maildir-quota.ts";
import { Maildirs, maildirName } from "./maildir.ts";
import type { MailFs } from "./mail-fs.ts";
import type { MboxParts, Mboxes } from "./mbox.ts";
import { foldName } from "../../../service/table/pattern.ts";
import { mailboxNames, namesOfEnvelope } from "./path-template.ts";
import type { MailboxSettings } from "./settings.ts";

/**
 * Puts mail into people's files, with the rights that this process has at that moment: reads the `.forward`, writes into
 * the Maildir or mbox, durably and once. An attempt whose outcome was lost is recognised in the mailbox.
 */
export interface FilingParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly fs: MailFs;
  readonly settings: MailboxSettings;
  readonly openBody: OpenBody;
  /** Absolute: where the intents of mbox deliveries are kept, our own or (by uid) those of somebody else. */
  readonly intentsOf: (uid: number | undefined) => string;
  readonly hostname: string;
  /** `local.extensionDelimiter` of the settings; `""`: addresses have no extensions. */
  readonly extensionDelimiter: string;
  /** Whether a `.forward` may name included lists. */
  readonly mayInclude: boolean;
  /** Absent where no errand is for an mbox or a file. */
  readonly mboxes?: ((parts: MboxParts) => Mboxes) | undefined;
}

/** How many users' mboxes are kept in mind at once. */
const MOST_USERS = 1000;

export class Filing implements FileAgent {
  readonly #parts: FilingParts;
  readonly #directories: Directories;
  readonly #maildirs: Maildirs;
  readonly #quota: MaildirQuota;
  readonly #mboxesOf = new Map<number | undefined, Mboxes>();
  readonly #startedAt: number;
  readonly #leaving = new AbortController();

  constructor(parts: FilingParts) {
    this.#parts = parts;
    this.#directories = new Directories(parts.fs);
    this.#quota = new MaildirQuota(parts.fs, parts.clock);
    this.#maildirs = new Maildirs(parts.fs, this.#directories, this.#quota);
    this.#startedAt = parts.clock.now();
  }

  /** Looks at what mbox deliveries of an earlier life left unfinished, with the rights of now. */
  async recover(uid: number | undefined): Promise<void> {
    await this.#mboxes(uid)
      .recoverAll()
      .catch((thrown: unknown) => {
        this.#parts.emit(mboxNotRecovered, { mailbox: this.#parts.intentsOf(uid), problem: messageOf(thrown) });
      });
  }

  async run(errand: FileErrand): Promise<LocalOutcome | undefined> {
    const { envelope } = errand.request;
    if (errand.forward.length > 0) {
      const forwarded = await this.#forward(errand);
      if (forwarded !== undefined) return forwarded;
    }
    const { place } = errand;
    if (place === undefined) return undefined;
    if (place.kind === "file" && place.path === "/dev/null") return discard(envelope.id);
    const relay = `${place.kind}:${place.path}`;
    try {
      return await this.#deliver(errand, place);
    } catch (thrown) {
      return failed(errand, relay, this.#failureOf(thrown, place.path));
    }
  }

  leave(): void {
    this.#leaving.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #forward(errand: FileErrand): Promise<LocalOutcome | undefined> {
    const { request, user } = errand;
    const { envelope } = request;
    const own = namesOfEnvelope(envelope, this.#parts.extensionDelimiter);
    // Whose an address with an extension is, the tables know.
    const isSelf = (address: string): boolean => {
      const names = mailboxNames(address, "");
      return (
        names.user === (names.domain === "" ? foldName(user) : own.user) && ["", own.domain].includes(names.domain)
      );
    };
    const localPart = envelope.recipient.slice(0, envelope.recipient.lastIndexOf("@"));
    const file = await readForward(this.#parts.fs, errand.forward, {
      localPart,
      isSelf,
      mayInclude: this.#parts.mayInclude,
    });
    if (file.kind === "none") return undefined;
    if (file.kind === "broken") {
      this.#parts.emit(forwardBroken, { envelope: envelope.id, user, problem: file.text });
      return failed(errand, "forward", {
        lasting: "temporary",
        status: "4.3.5",
        cause: { kind: "mailbox", reason: "forward", text: file.text },
      });
    }
    const forwarded: Forwarded = {
      kind: "forwarded",
      envelope: envelope.id,
      relay: `forward:${file.path}`,
      user,
      targets: file.targets,
      text: `forwarded by ${file.path} to ${file.targets.length} ${file.targets.length === 1 ? "target" : "targets"}`,
      tookMs: 0,
    };
    return forwarded;
  }

  async #deliver(errand: FileErrand, place: Place): Promise<Outcome> {
    const { message, envelope } = errand.request;
    const { emit } = this.#parts;
    const isMaildir = place.kind === "maildir";
    const content = deliveredContent(errand.request, !isMaildir, this.#parts.openBody);
    const directory = isMaildir ? await this.#folderOf(place) : place.path;
    const relay = `${place.kind}:${directory}`;
    const result = isMaildir
      ? await this.#maildirs.deliver({
          directory,
          mailbox: place.path,
          quota: place.quota,
          mustBeOwn: errand.as !== undefined,
          name: maildirName(envelope.id, message.receivedAt, this.#parts.hostname),
          content,
          // Before this process began, or with an attempt counted, somebody may have come as far as the mailbox.
          mayBeThere: errand.request.attempt > 1 || message.receivedAt < this.#startedAt,
        })
      : await this.#mboxes(errand.as?.uid).deliver({
          path: directory,
          envelope: envelope.id,
          sender: senderOf(message, envelope),
          content,
          mustBeOwn: errand.as !== undefined && place.kind === "mbox",
          mayLackDotLock: place.kind === "file",
        });
    if (result.isNewMailbox) emit(mailboxCreated, { mailbox: relay, envelope: envelope.id });
    if (result.isRepeat) emit(mailboxRepeat, { mailbox: relay, envelope: envelope.id });
    return {
      kind: "delivered",
      envelope: envelope.id,
      relay,
      text: result.isRepeat ? `was already in ${place.kind}` : `delivered to ${place.kind}`,
      status: "2.0.0",
      dsnPassedOn: false,
      isFinal: true,
      ...(place.kind === "file" ? { taker: "file" } : {}),
      tookMs: 0,
    };
  }

  /** The mailbox, or the folder of it that the address's extension names. */
  async #folderOf(place: Extract<Place, { kind: "maildir" }>): Promise<string> {
    const { folders } = this.#parts.settings;
    const name = folders === "off" ? undefined : maildirFolder(place.extension);
    if (name === undefined) return place.path;
    const names = await this.#parts.fs.list(place.path);
    // IMAP users write folders as they like; addresses come in lower case.
    const known = names.includes(name) ? name : names.find((each) => each.toLowerCase() === name.toLowerCase());
    if (known !== undefined) {
      const path = join(place.path, known);
      const status = await this.#parts.fs.status(path);
      return status?.kind === "directory" ? path : place.path;
    }
    if (folders !== "create") return place.path;
    const path = join(place.path, name);
    await this.#maildirs.makeFolder(place.path, path);
    return path;
  }

  #mboxes(uid: number | undefined): Mboxes {
    const known = this.#mboxesOf.get(uid);
    if (known !== undefined) return known;
    // What they know is found again in the files; only our own may hold work that others wait behind.
    if (this.#mboxesOf.size >= MOST_USERS)
      for (const key of this.#mboxesOf.keys()) if (key !== undefined) this.#mboxesOf.delete(key);
    const { mboxes } = this.#parts;
    if (mboxes === undefined) throw new Error("no errand for an mbox was to come here");
    const made = mboxes({
      ...this.#parts,
      directories: this.#directories,
      stateDirectory: this.#parts.intentsOf(uid),
      leaving: this.#leaving.signal,
    });
    this.#mboxesOf.set(uid, made);
    return made;
  }

  #failureOf(thrown: unknown, mailbox: string): Failure {
    if (thrown instanceof BodyUnreadable)
      return { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text: thrown.message } };
    return diskFailure(thrown, mailbox, this.#parts.settings.overQuota);
  }
}

function failed({ request }: FileErrand, relay: string, failure: Failure): Outcome {
  return { kind: "failed", envelope: request.envelope.id, relay, failure, tookMs: 0 };
}
