import { join, resolve } from "node:path";
import { unreachable } from "../../../foundation/assert.ts";
import type { Clock } from "../../../foundation/clock.ts";
import { DeadlinePassed, withDeadline } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import type { EnvelopeId } from "../../../foundation/ids.ts";
import type { Action } from "../../envelope/settings.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { Body } from "../../queue/store.ts";
import type { LocalDelivery, LocalRequest, Outcome } from "../delivery.ts";
import { discard } from "../discard/discard.ts";
import { Directories } from "./directories.ts";
import { diskFailure } from "./disk-failure.ts";
import { mailboxCreated, mailboxRepeat, mboxNotRecovered } from "./events.ts";
import { deliveryFields, MailboxContent } from "./mailbox-content.ts";
import { Maildirs, maildirName } from "./maildir.ts";
import type { MailFs } from "./mail-fs.ts";
import { Mboxes } from "./mbox.ts";
import { mailboxNames, mailboxPath } from "./path-template.ts";
import type { MailboxSettings } from "./settings.ts";

/**
 * Final delivery: finds the mailbox that an envelope's action means and puts the mail there, durably and once. An
 * attempt whose outcome was lost (a crash, a deadline) is recognised in the mailbox when the envelope comes again.
 *
 * No promise rejects for what a disk, a mailbox or a setting did: that is an outcome.
 */
export interface LocalDeliveryParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly fs: MailFs;
  readonly settings: MailboxSettings;
  /** The actions of the settings in force, by name. */
  readonly actions: (name: string) => Action | undefined;
  readonly openBody: OpenBody;
  /** Absolute: intents of mbox deliveries, and mailboxes without a path of their own, live below it. */
  readonly stateDirectory: string;
  readonly hostname: string;
  /** `local.extensionDelimiter` of the settings; `""`: addresses have no extensions. */
  readonly extensionDelimiter: string;
}

/** The content from its beginning. Rejects when it cannot be read. */
export type OpenBody = (body: Body) => Promise<AsyncIterable<Uint8Array>>;

export function localDelivery(parts: LocalDeliveryParts): LocalDelivery & AsyncDisposable {
  return new Agents(parts);
}

class Agents implements LocalDelivery, AsyncDisposable {
  readonly #parts: LocalDeliveryParts;
  readonly #maildirs: Maildirs;
  readonly #mboxes: Mboxes;
  readonly #startedAt: number;
  readonly #recovery: Promise<void>;
  /** Attempts not ended, also those whose deadline has passed: a repeat waits for them instead of running beside them. */
  readonly #running = new Map<EnvelopeId, Promise<Outcome>>();
  #atWork = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(parts: LocalDeliveryParts) {
    this.#parts = parts;
    const directories = new Directories(parts.fs);
    this.#maildirs = new Maildirs(parts.fs, directories);
    this.#mboxes = new Mboxes({ ...parts, directories, stateDirectory: join(parts.stateDirectory, "delivery") });
    this.#startedAt = parts.clock.now();
    // In the background: a delivery into an mbox that is not recovered yet recovers it first.
    this.#recovery = this.#mboxes.recoverAll().catch((thrown: unknown) => {
      parts.emit(mboxNotRecovered, { mailbox: parts.stateDirectory, problem: messageOf(thrown) });
    });
  }

  async deliver(request: LocalRequest): Promise<Outcome> {
    const { clock, settings } = this.#parts;
    const { id } = request.envelope;
    const startedAt = clock.monotonicMs();
    let attempt = this.#running.get(id);
    if (attempt === undefined) {
      attempt = this.#inTurn(() => this.#attempt(request)).finally(() => this.#running.delete(id));
      this.#running.set(id, attempt);
    }
    try {
      const outcome = await withDeadline(clock, settings.deadline, "delivery into the mailbox", () => attempt);
      return { ...outcome, tookMs: clock.monotonicMs() - startedAt };
    } catch (thrown) {
      const failure: Failure =
        thrown instanceof DeadlinePassed
          ? { lasting: "temporary", status: "4.3.0", cause: { kind: "mailbox", reason: "io", text: thrown.message } }
          : { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text: messageOf(thrown) } };
      return { kind: "failed", envelope: id, relay: "local", failure, tookMs: clock.monotonicMs() - startedAt };
    }
  }

  /**
   * Waits for what runs, at most as long as one delivery may take. A disk that hangs longer than that is left to the end
   * of the process.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const { clock, settings } = this.#parts;
    const rest = Promise.allSettled([this.#recovery, ...this.#running.values()]);
    await withDeadline(clock, settings.deadline, "the end of deliveries", () => rest).catch(() => {});
  }

  async #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#atWork >= this.#parts.settings.concurrency)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#atWork++;
    try {
      return await work();
    } finally {
      // The place passes to the one who has waited longest.
      const next = this.#waiting.shift();
      if (next === undefined) this.#atWork--;
      else next();
    }
  }

  async #attempt(request: LocalRequest): Promise<Outcome> {
    const { envelope } = request;
    const { settings } = this.#parts;
    const action = this.#parts.actions(envelope.action);
    if (action?.kind !== "deliver") {
      const text =
        action === undefined ? `there is no action ${envelope.action}` : `${envelope.action} does not deliver`;
      return failed(envelope.id, "local", { lasting: "temporary", status: "4.3.5", cause: { kind: "settings", text } });
    }
    switch (action.as) {
      case "discard":
        return discard(envelope.id);
      case "maildir":
        return this.#intoMailbox(request, action.as, action.path ?? settings.maildir ?? "mail/{user}/Maildir");
      case "mbox":
        return this.#intoMailbox(request, action.as, action.path ?? settings.mbox ?? "mail/{user}/mbox");
      default:
        return unreachable(action.as);
    }
  }

  async #intoMailbox(request: LocalRequest, kind: "maildir" | "mbox", template: string): Promise<Outcome> {
    const { message, envelope } = request;
    const { emit, extensionDelimiter, hostname, stateDirectory } = this.#parts;
    const names = mailboxNames(envelope.recipient, extensionDelimiter);
    // Only the template is resolved: what the recipient's name adds never counts as a step between directories.
    const path = mailboxPath(resolve(stateDirectory, template), names);
    const relay = `${kind}:${path}`;
    try {
      const content = contentFor(request, kind, this.#parts.openBody);
      // Before this process began, or with an attempt counted, somebody may have come as far as the mailbox.
      const mayBeThere = request.attempt > 1 || message.receivedAt < this.#startedAt;
      const result =
        kind === "maildir"
          ? await this.#maildirs.deliver({
              directory: path,
              name: maildirName(envelope.id, message.receivedAt, hostname),
              content,
              mayBeThere,
            })
          : await this.#mboxes.deliver({ path, envelope: envelope.id, sender: message.sender, content });
      if (result.isNewMailbox) emit(mailboxCreated, { mailbox: relay, envelope: envelope.id });
      if (result.isRepeat) emit(mailboxRepeat, { mailbox: relay, envelope: envelope.id });
      return {
        kind: "delivered",
        envelope: envelope.id,
        relay,
        text: result.isRepeat ? `was already in ${kind}` : `delivered to ${kind}`,
        status: "2.0.0",
        dsnPassedOn: false,
        isFinal: true,
        tookMs: 0,
      };
    } catch (thrown) {
      return failed(envelope.id, relay, failureOf(thrown, path));
    }
  }
}

/** The body could not be read: that is about the queue, not about the mailbox. */
class BodyUnreadable extends Error {
  override readonly name = "BodyUnreadable";
}

async function* contentFor(
  request: LocalRequest,
  kind: "maildir" | "mbox",
  openBody: OpenBody,
): AsyncGenerator<Buffer> {
  const { message, envelope, body } = request;
  const content = new MailboxContent({ isBinary: message.content === "binary", quotesFromLines: kind === "mbox" });
  // Collected into large portions: each one costs a trip to the disk's thread.
  let portion: Buffer[] = [Buffer.from(deliveryFields(message, envelope))];
  let portionBytes = 0;
  let sizeBytes = 0;
  try {
    for await (const chunk of await openBody(body)) {
      sizeBytes += chunk.length;
      const converted = content.push(chunk);
      portion.push(converted);
      portionBytes += converted.length;
      if (portionBytes < PORTION_BYTES) continue;
      yield Buffer.concat(portion);
      portion = [];
      portionBytes = 0;
    }
  } catch (thrown) {
    throw new BodyUnreadable(`the queued content could not be read: ${messageOf(thrown)}`, { cause: thrown });
  }
  const expected = body.kind === "inline" ? body.bytes.length : body.sizeBytes;
  if (sizeBytes !== expected)
    throw new BodyUnreadable(`the queued content has ${sizeBytes} bytes where ${expected} were stored`);
  yield Buffer.concat([...portion, content.end()]);
}

const PORTION_BYTES = 64 * 1024;

function failureOf(thrown: unknown, mailbox: string): Failure {
  if (thrown instanceof BodyUnreadable)
    return { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text: thrown.message } };
  return diskFailure(thrown, mailbox);
}

function failed(envelope: EnvelopeId, relay: string, failure: Failure): Outcome {
  return { kind: "failed", envelope, relay, failure, tookMs: 0 };
}
