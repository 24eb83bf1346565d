import type { RunAs } from "../../../foundation/ffi/identity.ts";
import type { LocalUser, UserDirectory } from "../../../service/account/users.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { Holds } from "../../envelope/local-names.ts";
import type { MailboxNames } from "./path-template.ts";

/**
 * Whose rights a delivery has. Never root's: what is root's is done as the default user, as Postfix does; and what an alias or
 * a user wants run is never run as the server's own user either, for that one owns the queue.
 */
export interface Whom {
  /** Undefined: our own rights are the ones. */
  readonly as: RunAs | undefined;
  readonly user: Pick<LocalUser, "name" | "home" | "shell" | "quota">;
  /** It is the recipient, who may have a `.forward`. */
  readonly isRecipient: boolean;
}

export type WhomAnswer = { readonly ok: true; readonly whom: Whom } | Refused;

interface Refused {
  readonly ok: false;
  readonly failure: Failure;
}

export interface WhomParts {
  /** `local.users`, where it knows more than names. */
  readonly users: UserDirectory | undefined;
  /** The users of the system, for names in the settings and owners of aliases. */
  readonly system: UserDirectory;
  /** `local.default-user`. */
  readonly defaultUser: string;
  /** Who this process is, as far as files are concerned. */
  readonly own: RunAs;
  /** Started by root: it can become others. */
  readonly mayChange: boolean;
  /** What the recipient is called in `users`, the best first; in a virtual domain only what names the domain, too. */
  readonly keysOf: (names: MailboxNames, isVirtual: boolean) => readonly string[];
  /** Whether mailboxes of the domain are those of a virtual one; absent: there is none such. */
  readonly isVirtual?: ((domain: string) => Promise<Holds>) | undefined;
}

/** `wanted`: `mailbox.user`, or what the action says: `recipient`, `server` or a user of the system. */
export async function whomFor(parts: WhomParts, wanted: string, names: MailboxNames): Promise<WhomAnswer> {
  if (wanted === "server")
    return { ok: true, whom: { as: undefined, user: { name: names.user, home: "/" }, isRecipient: false } };
  if (wanted !== "recipient") return settled(parts, await found(parts.system, [wanted]), wanted, false, "file");
  if (parts.users === undefined)
    return refused(
      "temporary",
      "4.3.5",
      "settings",
      "mail is delivered as its recipients, but local.users has no uids",
    );
  return settled(parts, await found(parts.users, parts.keysOf(names, false)), names.user, true, "file");
}

/** Whose rights a delivery has that is as its recipient because nothing says otherwise. */
export interface Recipients {
  readonly wanted: "recipient" | "server";
  readonly answer: WhomAnswer;
}

/**
 * Nobody in a virtual domain is a user of this host by his name alone. Who is there with the domain has the rights that stand
 * there; mailboxes of the others are the server's own.
 */
export async function whomForRecipient(parts: WhomParts, names: MailboxNames): Promise<Recipients> {
  const isVirtual = await isInVirtualDomain(parts, names);
  if (typeof isVirtual !== "boolean") return { wanted: "recipient", answer: isVirtual };
  if (!isVirtual) return { wanted: "recipient", answer: await whomFor(parts, "recipient", names) };
  const keys = parts.keysOf(names, true);
  const own = parts.users === undefined ? NOBODY : await found(parts.users, keys);
  if ("none" in own) return { wanted: "server", answer: await whomFor(parts, "server", names) };
  return { wanted: "recipient", answer: await settled(parts, own, names.user, true, "file") };
}

/**
 * What the recipient's own mailbox may hold, by `local.users`, where the mailbox is the server's or one user's for all: whose
 * rights a delivery has says nothing about that. Entries of people without uids are as good there, and have none.
 */
export async function quotaOfRecipient(
  parts: WhomParts,
  names: MailboxNames,
): Promise<{ readonly ok: true; readonly quota: string | undefined } | Refused> {
  // The system knows of no quotas.
  if (parts.users === undefined || parts.users === parts.system) return { ok: true, quota: undefined };
  const isVirtual = await isInVirtualDomain(parts, names);
  if (typeof isVirtual !== "boolean") return isVirtual;
  const own = await found(parts.users, parts.keysOf(names, isVirtual));
  if ("failed" in own && own.isNoUser !== true) return notAsked(names.user, own.failed);
  return { ok: true, quota: "user" in own ? own.user.quota : undefined };
}

async function isInVirtualDomain(parts: WhomParts, { domain }: MailboxNames): Promise<boolean | Refused> {
  const isVirtual = domain === "" ? false : ((await parts.isVirtual?.(domain)) ?? false);
  if (typeof isVirtual === "boolean") return isVirtual;
  const text = `whether ${domain} is a virtual domain could not be found out: ${isVirtual.failed}`;
  return refused("temporary", "4.3.0", "internal", text);
}

/** On whose behalf a command is run or a file is written that an alias or a `.forward` names; `""`: the default user. */
export async function whomForTarget(parts: WhomParts, user: string, kind: "command" | "file"): Promise<WhomAnswer> {
  if (user === "") {
    // A server that is nobody but itself has no other rights to lend.
    if (!parts.mayChange)
      return { ok: true, whom: { as: undefined, user: { name: parts.defaultUser, home: "/" }, isRecipient: false } };
    return settled(parts, await found(parts.system, [parts.defaultUser]), parts.defaultUser, false, kind);
  }
  const directory = parts.users ?? parts.system;
  return settled(parts, await found(directory, [user]), user, true, kind);
}

/**
 * As whom an action's command runs. Of a process that can become others only the files are the server's own user's; whatever
 * it starts without naming a user takes root back, as shells do. A server that is root has its commands run with the default
 * user's rights. Whose the mail is, the command is told in any case.
 */
export async function whomForCommand(parts: WhomParts, whom: Whom): Promise<WhomAnswer> {
  const { mayChange, own, system, defaultUser } = parts;
  if (whom.as !== undefined || !mayChange) return { ok: true, whom };
  if (own.uid !== 0) return { ok: true, whom: { ...whom, as: own } };
  const answer = await settled(parts, await found(system, [defaultUser]), defaultUser, false, "command");
  return answer.ok ? { ok: true, whom: { ...whom, as: answer.whom.as } } : answer;
}

type Found =
  | { readonly user: LocalUser }
  | { readonly none: true }
  | { readonly failed: string; readonly isNoUser?: true | undefined };

const NOBODY: Found = { none: true };

async function found(directory: UserDirectory, keys: readonly string[]): Promise<Found> {
  for (const key of keys) {
    const answer = await directory.find(key);
    if (answer.kind === "failed") return { failed: answer.text, isNoUser: answer.isNoUser };
    if (answer.kind === "found") return { user: answer.user };
  }
  return { none: true };
}

async function settled(
  parts: WhomParts,
  answer: Found,
  name: string,
  isRecipient: boolean,
  kind: "command" | "file",
): Promise<WhomAnswer> {
  if ("failed" in answer) return notAsked(name, answer.failed);
  if ("none" in answer) {
    if (!isRecipient) return refused("temporary", "4.3.5", "settings", `there is no user ${name}`);
    return {
      ok: false,
      failure: {
        lasting: "permanent",
        status: "5.1.1",
        cause: { kind: "mailbox", reason: "no-such-user", text: name },
      },
    };
  }
  const { user } = answer;
  if (user.uid === 0 || user.gid === 0) {
    if (name === parts.defaultUser)
      return refused(
        "temporary",
        "4.3.5",
        "settings",
        `the default user ${name} is root or in its group: nothing is delivered as root`,
      );
    if (!parts.mayChange) return refusedSwitch(user);
    const instead = await settled(
      parts,
      await found(parts.system, [parts.defaultUser]),
      parts.defaultUser,
      false,
      kind,
    );
    // The default user's rights, in the files that would be root's: where these do not suffice, the mail waits.
    return instead.ok
      ? { ok: true, whom: { ...instead.whom, user: { ...instead.whom.user, home: user.home } } }
      : instead;
  }
  if (!parts.mayChange) {
    if (user.uid !== parts.own.uid) return refusedSwitch(user);
    return { ok: true, whom: { as: undefined, user, isRecipient } };
  }
  if (kind === "command" && user.uid === parts.own.uid)
    return refused(
      "temporary",
      "4.3.5",
      "settings",
      `commands are never run as ${user.name}: that is the server's own user`,
    );
  const groups = [...new Set([user.gid, ...(user.groups ?? [])])].filter((group) => group !== 0);
  return { ok: true, whom: { as: { uid: user.uid, gid: user.gid, groups }, user, isRecipient } };
}

function refusedSwitch(user: LocalUser): WhomAnswer {
  const text = `delivery as ${user.name} (uid ${user.uid}) takes a server that was started by root`;
  return refused("temporary", "4.3.5", "settings", text);
}

function notAsked(name: string, text: string): Refused {
  return refused("temporary", "4.3.0", "internal", `the directory of users could not be asked about ${name}: ${text}`);
}

function refused(lasting: Failure["lasting"], status: string, kind: "settings" | "internal", text: string): Refused {
  return { ok: false, failure: { lasting, status, cause: { kind, text } } };
}
