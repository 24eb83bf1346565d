import type { SuspensionLevel } from "./suspension/suspension.ts";
import type { Command } from "./commands.ts";

/**
 * What was asked for while the queue is still being read at a start. A command concerns what was in the queue when it was
 * given: what is known of that is changed at once, the rest as it is read and before it can be handed out, and the answer
 * says how many there were of all. Suspensions are in force at once, and none ends before all is read: what it held is
 * found by being held.
 */
export interface Loading {
  readonly commands: { readonly id: number; readonly command: Command; readonly since: number }[];
  /** Whoever set them is told, when all is read, how much each holds. */
  suspends: SuspendAsked[];
  lifts: LiftAsked[];
}

export interface SuspendAsked {
  readonly command: number;
  readonly level: SuspensionLevel;
  readonly key: string;
}

export interface LiftAsked extends SuspendAsked {
  readonly by: string;
}

export function newLoading(): Loading {
  return { commands: [], suspends: [], lifts: [] };
}
