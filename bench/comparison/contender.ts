/** The servers side by side: what each can be asked to do, and what a measurement needs to know of it. */
export interface Contender extends AsyncDisposable {
  readonly name: ContenderName;
  /** Where it takes mail; the load is spread over them. */
  readonly ports: readonly [number, ...number[]];
  /** Its first process; all others descend from it. */
  readonly pid: number;
  /** The folder that local mail arrives in, a file each; it may come into being with the first. */
  readonly mailbox?: string;
  /** Lists its queue: a program with its arguments, whose output has a line that matches for each envelope. */
  readonly list?: { readonly command: readonly [string, readonly string[]]; readonly row: RegExp };
}

export const contenderNames = [
  "Posthorn, single",
  "Posthorn, split",
  "Postfix",
  "Postfix, held",
  "Exim",
  "OpenSMTPD",
  "Haraka",
  "Node, bare",
  "Node, stores",
] as const;
export type ContenderName = (typeof contenderNames)[number];

export function isOurs(name: ContenderName): boolean {
  return name.startsWith("Posthorn");
}

/** What is measured beside the servers to say something about them, and is none that takes mail as they do. */
export function isAside(name: ContenderName): boolean {
  // What is only held is not known to any scheduler.
  return name === "Postfix, held" || isBound(name);
}

/** A program that only shows what Node can come to. */
export function isBound(name: ContenderName): name is "Node, bare" | "Node, stores" {
  return name === "Node, bare" || name === "Node, stores";
}

/** What a server is to do with the mail it gets. */
export type Task =
  /** Keep it: on disk, known to what schedules it, not delivered. */
  | { readonly kind: "keep" }
  /** Pass it on to this port of 127.0.0.1. */
  | { readonly kind: "relay"; readonly to: number }
  /** Deliver it to a Maildir of this machine. */
  | { readonly kind: "local" };

export type TaskKind = Task["kind"];

/** How a server is wanted: its task, whether it offers STARTTLS, and how many sessions it must bear. */
export interface Wanted {
  readonly task: Task;
  readonly hasTls?: boolean;
  readonly sessions?: number;
}

/** Why a server has no figure where others have one, or undefined where it has. */
export function whyLeftOut(name: ContenderName, { task, hasTls, sessions = 0 }: Wanted): string | undefined {
  if (name === "Postfix, held" && (task.kind !== "keep" || hasTls === true || sessions > 0))
    return "as Postfix, beside it";
  if (isBound(name) && (task.kind === "local" || sessions > 0)) return "it only takes mail and sends it on";
  if (name === "OpenSMTPD" && hasTls === true)
    return "Debian 12's cannot use its own key with OpenSSL 3: each handshake fails";
  if (name === "Haraka" && task.kind === "local") return "it has no local delivery";
  if ((name === "Postfix" || name === "Exim") && sessions > 2000)
    return "a process for each session: not tried with so many";
  return undefined;
}

/** The mailbox that all mail of the bench is for. */
export const RECIPIENT = "recipient@bench.test";
