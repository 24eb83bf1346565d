import { closeSync, fsyncSync, lchownSync, lstatSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import { messageOf } from "../../foundation/error.ts";
import { exitAtOnce } from "../../foundation/ffi/exit.io.ts";
import { actAs, asRoot } from "../../foundation/ffi/identity.io.ts";
import type { RunAs } from "../../foundation/ffi/identity.ts";
import type { LocalOutcome } from "../../mail/delivery/delivery.ts";
import { toldEvents, type ToldEvent } from "../../mail/delivery/mailbox/agent-help.ts";
import type { FileErrand } from "../../mail/delivery/mailbox/errand.ts";
import { Filing } from "../../mail/delivery/mailbox/filing.ts";
import { mailFs } from "../../mail/delivery/mailbox/mail-fs.io.ts";
import { Mboxes } from "../../mail/delivery/mailbox/mbox.ts";
import type { MailboxSettings } from "../../mail/delivery/mailbox/settings.ts";
import { bodyFilesIn } from "../../mail/queue/intake.io.ts";
import type { Body } from "../../mail/queue/store.ts";

/**
 * A process that puts mail into users' files, as one user at a time: it opens what it needs of the queue as the server's own
 * user, becomes the recipient's user as a whole (all threads: uid, gid, groups), does what it was asked for, and goes back.
 * While it touches a user's files it has that user's rights and no others.
 *
 * Between users it is the server's own user; root it is only for the moment in which it changes, and to make the
 * directory where a user's unfinished mbox deliveries are noted.
 */
export interface FilingStart {
  readonly kind: "start";
  /** The server's own user. */
  readonly rest: RunAs;
  readonly settings: MailboxSettings;
  readonly queue: string;
  /** The directory of the users' directories: root's. */
  readonly users: string;
  readonly hostname: string;
  readonly extensionDelimiter: string;
  readonly mayInclude: boolean;
}

export type ToFiling =
  | FilingStart
  /** Answered by `done` for each, and `idle` at the end. */
  | { readonly kind: "work"; readonly as: RunAs; readonly errands: readonly NumberedErrand[] }
  /** Look for what mbox deliveries of an earlier life left. Answered by `idle`. */
  | { readonly kind: "recover" };

export interface NumberedErrand {
  readonly id: number;
  readonly errand: FileErrand;
}

export type FromFiling =
  | { readonly kind: "ready" }
  | { readonly kind: "done"; readonly id: number; readonly outcome: LocalOutcome | undefined }
  | { readonly kind: "idle" }
  /** An event of the mailbox's, for the log. */
  | { readonly kind: "event"; readonly event: ToldEvent };

export function runFilingWorker(): void {
  const say = (message: FromFiling): void => void process.send?.(message, undefined, undefined, () => {});
  let agent: Agent | undefined;
  process.umask(0o077);
  process.title = "posthorn: mailboxes";
  process.on("message", (received) => {
    // Only our own delivery process, of this version, is at the other end.
    const message = received as ToFiling;
    if (message.kind === "start") {
      agent = new Agent(message, say);
      say({ kind: "ready" });
    } else void agent?.take(message).finally(() => say({ kind: "idle" }));
  });
  // Nobody would take the outcomes; what is being written is found by the next attempt.
  // At once, for an ordinary exit waits for threads, and a file server that hangs may have one.
  process.on("disconnect", () => exitAtOnce(0));
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) process.on(signal, () => {});
}

class Agent {
  readonly #start: FilingStart;
  readonly #say: (message: FromFiling) => void;
  readonly #filing: Filing;
  readonly #bodies = new Map<string, AsyncIterable<Uint8Array>>();
  /** Users whose directory is there. */
  readonly #prepared = new Set<number>();

  constructor(start: FilingStart, say: (message: FromFiling) => void) {
    this.#start = start;
    this.#say = say;
    this.#filing = new Filing({
      clock: systemClock,
      emit: toldEvents((event) => say({ kind: "event", event })),
      fs: mailFs,
      mboxes: (own) => new Mboxes(own),
      settings: start.settings,
      openBody: async (body) => this.#opened(body),
      intentsOf: (uid) => join(start.users, String(uid ?? "server")),
      hostname: start.hostname,
      extensionDelimiter: start.extensionDelimiter,
      mayInclude: start.mayInclude,
    });
    actAs(start.rest);
  }

  async take(message: Exclude<ToFiling, FilingStart>): Promise<void> {
    if (message.kind === "recover") return this.#recover();
    const { as, errands } = message;
    const opened = await Promise.all(errands.map((each) => this.#open(each)));
    if (errands.some(({ errand }) => errand.place?.kind === "mbox" || errand.place?.kind === "file")) this.#prepare(as);
    actAs(as);
    try {
      // Not before all have ended: none may go on with other rights than those it began with.
      await Promise.allSettled(opened.map((each) => this.#run(each)));
    } finally {
      for (const { close } of opened) close();
      actAs(this.#start.rest);
    }
  }

  async #run({ id, errand, problem }: Opened): Promise<void> {
    if (problem !== undefined) {
      const failure = { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text: problem } } as const;
      const envelope = errand.request.envelope.id;
      this.#say({ kind: "done", id, outcome: { kind: "failed", envelope, relay: "local", failure, tookMs: 0 } });
      return;
    }
    this.#say({ kind: "done", id, outcome: await this.#filing.run(errand) });
  }

  /** With the rights of the queue's owner: the recipient's have none there. */
  async #open({ id, errand }: NumberedErrand): Promise<Opened> {
    const { body } = errand.request;
    if (body.kind === "inline") return { id, errand, problem: undefined, close: () => {} };
    try {
      const content = await bodyFilesIn(this.#start.queue).open(body.name);
      // Two recipients of one message have the same body, and each reads it from the beginning.
      const name = `${body.name} ${id}`;
      this.#bodies.set(name, content);
      const close = (): void => {
        this.#bodies.delete(name);
        content.destroy();
      };
      const request = { ...errand.request, body: { ...body, name } };
      return { id, errand: { ...errand, request }, problem: undefined, close };
    } catch (thrown) {
      const problem = `the queued content could not be opened: ${messageOf(thrown)}`;
      return { id, errand, problem, close: () => {} };
    }
  }

  #opened(body: Body): AsyncIterable<Uint8Array> {
    if (body.kind === "inline") return onlyOnce(body.bytes);
    const content = this.#bodies.get(body.name);
    if (content === undefined) throw new Error("it was not opened");
    return content;
  }

  /** The user's own directory for notes about mboxes, in one that only root may change. */
  #prepare(as: RunAs): void {
    if (this.#prepared.has(as.uid)) return;
    actAs(asRoot);
    try {
      const path = join(this.#start.users, String(as.uid));
      mkdirSync(path, { recursive: true, mode: 0o700 });
      if (lstatSync(path).uid !== as.uid) lchownSync(path, as.uid, as.gid);
      // The notes in it are worth as much as its own entry, and the user may not look into the directory above.
      const above = openSync(this.#start.users, "r");
      try {
        fsyncSync(above);
      } finally {
        closeSync(above);
      }
      this.#prepared.add(as.uid);
    } catch {
      // Without it the delivery fails for this user, and says why.
    } finally {
      actAs(this.#start.rest);
    }
  }

  async #recover(): Promise<void> {
    for (const as of this.#unfinished()) {
      actAs(as);
      try {
        await this.#filing.recover(as.uid);
      } finally {
        actAs(this.#start.rest);
      }
    }
  }

  /** Who has a note. The directories are root's to look into, and nobody but root can put one in another's place. */
  #unfinished(): readonly RunAs[] {
    actAs(asRoot);
    try {
      return readdirSync(this.#start.users).flatMap((name) => {
        const path = join(this.#start.users, name);
        const { uid, gid } = lstatSync(path);
        if (uid === 0 || String(uid) !== name) return [];
        return readdirSync(path).some((each) => each.endsWith(".intent")) ? [{ uid, gid, groups: [gid] }] : [];
      });
    } catch {
      // What cannot be looked at now is found by the next delivery into that mbox.
      return [];
    } finally {
      actAs(this.#start.rest);
    }
  }
}

interface Opened extends NumberedErrand {
  readonly problem: string | undefined;
  readonly close: () => void;
}

async function* onlyOnce(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
