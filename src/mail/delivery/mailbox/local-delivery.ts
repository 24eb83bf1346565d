import { resolve } from "node:path";
import { unreachable } from "../../../foundation/assert.ts";
import type { Clock } from "../../../foundation/clock.ts";
import { DeadlinePassed, withDeadline } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { EnvelopeId } from "../../../foundation/ids.ts";
import type { Action } from "../../envelope/action-settings.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { CommandRunner } from "../command/command.ts";
import { commandEnvironment, commandText } from "../command/environment.ts";
import { commandFailure } from "../command/exit-status.ts";
import type { LocalDelivery, LocalOutcome, LocalRequest, Outcome } from "../delivery.ts";
import { discard } from "../discard/discard.ts";
import type { FileAgent, FileErrand, Place } from "./errand.ts";
import { HOME, mailboxPath, namesOfEnvelope, namesRecipient, type MailboxNames } from "./path-template.ts";
import { parseQuota, type Quota } from "./quota.ts";
import type { MailboxSettings } from "./settings.ts";
import {
  quotaOfRecipient,
  whomFor,
  whomForCommand,
  whomForRecipient,
  whomForTarget,
  type Whom,
  type WhomAnswer,
  type WhomParts,
} from "./whom.ts";

/**
 * Final delivery: finds whose rights an envelope's delivery takes and which mailbox, file or command it means, and has it
 * done by whoever has these rights. Nothing here touches a user's files.
 *
 * No promise rejects for what a disk, a mailbox, a command or a setting did: that is an outcome.
 */
export interface LocalDeliveryParts {
  readonly clock: Clock;
  readonly settings: MailboxSettings;
  /** The actions of the settings in force, by name. */
  readonly actions: (name: string) => Action | undefined;
  readonly files: FileAgent;
  readonly commands: CommandRunner;
  readonly whom: WhomParts;
  /** Whose rights deliveries have that say nothing else: `recipient`, `server` or a user of the system. */
  readonly user: string;
  /** Templates of users' `.forward` files, in order; empty: there are none. */
  readonly forward: readonly string[];
  /** The PATH of commands. */
  readonly commandPath: string;
  /** Absolute: mailboxes without a path of their own live below it. */
  readonly stateDirectory: string;
  /** `local.extensionDelimiter` of the settings; `""`: addresses have no extensions. */
  readonly extensionDelimiter: string;
}

export function localDelivery(parts: LocalDeliveryParts): LocalDelivery & AsyncDisposable {
  return new Deliveries(parts);
}

type Errand =
  | { readonly do: "files"; readonly errand: FileErrand }
  /** After the user's `.forward` had its say. */
  | {
      readonly do: "command";
      readonly command: string;
      readonly whom: Whom;
      readonly names: MailboxNames;
      readonly look: FileErrand | undefined;
    }
  | { readonly do: "end"; readonly outcome: LocalOutcome };

class Deliveries implements LocalDelivery, AsyncDisposable {
  readonly #parts: LocalDeliveryParts;
  /** Attempts not ended, also those whose deadline has passed: a repeat waits for them instead of running beside them. */
  readonly #running = new Map<EnvelopeId, Promise<LocalOutcome>>();

  constructor(parts: LocalDeliveryParts) {
    this.#parts = parts;
  }

  async deliver(request: LocalRequest): Promise<LocalOutcome> {
    const { clock } = this.#parts;
    const { id } = request.envelope;
    const startedAt = clock.monotonicMs();
    let attempt = this.#running.get(id);
    if (attempt === undefined) {
      attempt = this.#attempt(request).finally(() => this.#running.delete(id));
      this.#running.set(id, attempt);
    }
    try {
      return { ...(await this.#inTime(attempt, request)), tookMs: clock.monotonicMs() - startedAt };
    } catch (thrown) {
      const failure: Failure =
        thrown instanceof DeadlinePassed
          ? { lasting: "temporary", status: "4.3.0", cause: { kind: "mailbox", reason: "io", text: thrown.message } }
          : { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text: messageOf(thrown) } };
      return { kind: "failed", envelope: id, relay: "local", failure, tookMs: clock.monotonicMs() - startedAt };
    }
  }

  async finish(withinMs: number): Promise<void> {
    this.#parts.commands.finish?.(withinMs);
  }

  /**
   * Waits for what runs, at most as long as one delivery may take. A disk that hangs longer than that is left to the end
   * of the process.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const { clock, settings, files } = this.#parts;
    files.leave();
    const rest = Promise.allSettled(this.#running.values()).then(() => files[Symbol.asyncDispose]());
    await withDeadline(clock, settings.deadline, "the end of deliveries", () => rest).catch(() => {});
  }

  /** Commands have a deadline of their own, which ends them. */
  #inTime(attempt: Promise<LocalOutcome>, { envelope }: LocalRequest): Promise<LocalOutcome> {
    const action = this.#parts.actions(envelope.action);
    const isCommand = envelope.target?.kind === "command" || (action?.kind === "deliver" && action.as === "command");
    const { clock, settings } = this.#parts;
    return isCommand ? attempt : withDeadline(clock, settings.deadline, "delivery into the mailbox", () => attempt);
  }

  async #attempt(request: LocalRequest): Promise<LocalOutcome> {
    const todo = await this.#find(request);
    switch (todo.do) {
      case "end":
        return todo.outcome;
      case "files":
        return (await this.#filed(todo.errand)) ?? failed(request, "local", noMailbox);
      case "command": {
        const forwarded = todo.look === undefined ? undefined : await this.#parts.files.run(todo.look);
        return forwarded ?? this.#command(request, todo.command, todo.whom, todo.names);
      }
      default:
        return unreachable(todo);
    }
  }

  /** The settings' group helps to write an mbox; whether there is a `.forward` is found out without it. */
  async #filed(errand: FileErrand): Promise<LocalOutcome | undefined> {
    const { files, settings } = this.#parts;
    const isApart = settings.group !== undefined && errand.place?.kind === "mbox" && errand.forward.length > 0;
    if (!isApart) return files.run(errand);
    return (await files.run({ ...errand, place: undefined })) ?? files.run({ ...errand, forward: [] });
  }

  async #find(request: LocalRequest): Promise<Errand> {
    const { envelope } = request;
    const { target } = envelope;
    const end = (relay: string, failure: Failure): Errand => ({ do: "end", outcome: failed(request, relay, failure) });
    const names = namesOfEnvelope(envelope, this.#parts.extensionDelimiter);
    if (target?.kind === "command" || target?.kind === "file") {
      const answer = await whomForTarget(this.#parts.whom, target.user, target.kind);
      if (!answer.ok)
        return end(target.kind === "command" ? commandRelay(target.command) : `file:${target.path}`, answer.failure);
      const { whom } = answer;
      if (target.kind === "command") return { do: "command", command: target.command, whom, names, look: undefined };
      const place = placeOfFile(target.path, this.#quotaOf(whom.user));
      const unbounded = quotaProblem(whom.user, place);
      if (unbounded !== undefined) return end(`file:${target.path}`, unbounded);
      return { do: "files", errand: errandFor(request, whom, place, []) };
    }
    const action = this.#parts.actions(envelope.action);
    if (action?.kind !== "deliver") {
      const text =
        action === undefined ? `there is no action ${envelope.action}` : `${envelope.action} does not deliver`;
      return end("local", { lasting: "temporary", status: "4.3.5", cause: { kind: "settings", text } });
    }
    if (action.as === "discard") return { do: "end", outcome: discard(envelope.id) };
    const { wanted, answer } = await this.#whomOf(action, names);
    if (!answer.ok) return end("local", answer.failure);
    const { whom } = answer;
    const mayForward = whom.isRecipient && !(target?.kind === "user" && target.isFinal);
    const forward = mayForward ? this.#forwardPaths(whom, names) : [];
    if (action.as === "expand-only" || action.as === "forward-only")
      return { do: "files", errand: errandFor(request, whom, undefined, action.as === "forward-only" ? forward : []) };
    if (action.as === "command") {
      const look = forward.length === 0 ? undefined : errandFor(request, whom, undefined, forward);
      const runner = await whomForCommand(this.#parts.whom, whom);
      if (!runner.ok) return end("local", runner.failure);
      return { do: "command", command: commandText(action.command ?? ""), whom: runner.whom, names, look };
    }
    const template = this.#templateFor(action, wanted);
    if (wanted === "server" && template.startsWith(HOME))
      return end("local", {
        lasting: "temporary",
        status: "4.3.5",
        cause: {
          kind: "settings",
          text:
            `the mailbox of ${names.recipient} by ${envelope.action} is the server's own, and that has no home: write a path ` +
            "without {home}, or say whose it is in local.users or by the action's `user`",
        },
      });
    let holder: Bounded = whom.user;
    if (action.as === "maildir" && isOfOneUser(action, this.#parts.user) && namesRecipient(template)) {
      const own = await quotaOfRecipient(this.#parts.whom, names);
      if (!own.ok) return end("local", own.failure);
      holder = { name: names.user, quota: own.quota };
    }
    const place = this.#placeOf(action, template, whom, names, this.#quotaOf(holder));
    const unbounded = quotaProblem(holder, place);
    if (unbounded !== undefined) return end("local", unbounded);
    return { do: "files", errand: errandFor(request, whom, place, forward) };
  }

  async #whomOf(
    action: Extract<Action, { kind: "deliver" }>,
    names: MailboxNames,
  ): Promise<{ readonly wanted: string; readonly answer: WhomAnswer }> {
    const { whom, user } = this.#parts;
    // What an action says holds for all of its mail.
    if (action.user === undefined && user === "recipient") return whomForRecipient(whom, names);
    const wanted = action.user ?? user;
    return { wanted, answer: await whomFor(whom, wanted, names) };
  }

  #templateFor(action: Extract<Action, { kind: "deliver" }>, wanted: string): string {
    const kind = action.as === "mbox" ? "mbox" : "maildir";
    const byDefault = DEFAULT_PATHS[kind][wanted === "server" || wanted === "recipient" ? wanted : "named"];
    return action.path ?? this.#parts.settings[kind] ?? byDefault;
  }

  #placeOf(
    action: Extract<Action, { kind: "deliver" }>,
    template: string,
    whom: Whom,
    names: MailboxNames,
    quota: Quota | undefined,
  ): Place {
    const kind = action.as === "mbox" ? "mbox" : "maildir";
    // Only the template is resolved: what the recipient's name adds never counts as a step between directories.
    const path = template.startsWith(HOME)
      ? mailboxPath(template, names, whom.user.home)
      : mailboxPath(resolve(this.#parts.stateDirectory, template), names);
    // In the home the user decides by links where it leads.
    if (kind === "mbox") return { kind, path, isOfSettings: !template.startsWith(HOME) };
    return { kind, path, extension: names.extension, quota };
  }

  #quotaOf(holder: Bounded): Quota | undefined {
    const { quota = 0, quotaMessages = 0 } = this.#parts.settings;
    const own = holder.quota === undefined ? undefined : parseQuota(holder.quota);
    const wanted = own ?? { bytes: quota, messages: quotaMessages };
    return wanted.bytes > 0 || wanted.messages > 0 ? wanted : undefined;
  }

  #forwardPaths({ user }: Whom, names: MailboxNames): readonly string[] {
    return this.#parts.forward
      .filter((template) => names.extension !== "" || !template.includes("{extension}"))
      .map((template) => mailboxPath(template, names, user.home));
  }

  async #command(request: LocalRequest, command: string, whom: Whom, names: MailboxNames): Promise<Outcome> {
    const { message, envelope } = request;
    const { commands, commandPath } = this.#parts;
    const relay = commandRelay(command);
    const environment = commandEnvironment({ message, envelope, names, user: whom.user, path: commandPath });
    const end = await commands.run({ request, command, as: whom.as, user: whom.user, environment });
    const failure = commandFailure(end);
    if (failure !== undefined) return failed(request, relay, failure);
    return {
      kind: "delivered",
      envelope: envelope.id,
      relay,
      text: `delivered to command: ${command}`,
      status: "2.0.0",
      dsnPassedOn: false,
      isFinal: true,
      taker: "command",
      tookMs: 0,
    };
  }
}

/** Whose mailbox it is, and what `local.users` says that it may hold. */
type Bounded = Pick<Whom["user"], "name" | "quota">;

/** All mailboxes have one owner: the server, or a user of the system. */
function isOfOneUser({ user }: Extract<Action, { kind: "deliver" }>, byDefault: string): boolean {
  return (user ?? byDefault) !== "recipient";
}

const DEFAULT_PATHS = {
  maildir: { server: "mail/{user}/Maildir", recipient: "{home}/Maildir", named: "{home}/{domain}/{user}/Maildir" },
  mbox: { server: "mail/{user}/mbox", recipient: "/var/mail/{user}", named: "{home}/{domain}/{user}/mbox" },
} as const;

/** Only aliases and `.forward` files count there, and none of them says anything. */
const noMailbox: Failure = {
  lasting: "permanent",
  status: "5.1.1",
  cause: { kind: "mailbox", reason: "no-such-user", text: "there is no mailbox, only aliases and forwards" },
};

function placeOfFile(path: string, quota: Quota | undefined): Place {
  // As everywhere: with a slash behind it, it is a Maildir.
  return path.endsWith("/") && path !== "/"
    ? { kind: "maildir", path: path.replace(/\/+$/, ""), extension: "", quota }
    : { kind: "file", path };
}

/** Whoever wrote one down meant a bound: mail waits until it can be read, and does not come without one. */
function quotaProblem({ name, quota }: Bounded, place: Place): Failure | undefined {
  if (place.kind !== "maildir" || quota === undefined || parseQuota(quota) !== undefined) return undefined;
  const text =
    `the quota of ${name} in local.users, ${JSON.stringify(quota)}, cannot be read: ` +
    "write a size, and behind it the most messages if wanted (2GiB or 2GiB,10000; 0: no quota)";
  return { lasting: "temporary", status: "4.3.5", cause: { kind: "settings", text } };
}

function errandFor(
  request: LocalRequest,
  whom: Whom,
  place: Place | undefined,
  forward: readonly string[],
): FileErrand {
  return { request, as: whom.as, user: whom.user.name, place, forward };
}

function commandRelay(command: string): string {
  return `command:${command.length > 80 ? `${command.slice(0, 80)}...` : command}`;
}

function failed(request: LocalRequest, relay: string, failure: Failure): Outcome {
  return { kind: "failed", envelope: request.envelope.id, relay, failure, tookMs: 0 };
}
