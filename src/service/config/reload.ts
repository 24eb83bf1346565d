import type { Result } from "../../foundation/result.ts";
import type { SettingsProblem } from "./config.ts";

/** A reload as a transaction: either all of the new settings are in force, or all of the old ones still are. */
export interface ReloadSteps<Settings> {
  /** Reads and checks; touches nothing that is in force. */
  build(): Promise<Result<Settings, readonly SettingsProblem[]>>;
  /** Prepares everything that can fail: sockets bound, contexts made. `undo` gives it all back. */
  prepare?(next: Settings): Promise<{ undo(): Promise<void> }>;
  /** Puts the new settings in force. By now nothing may refuse; when something does all the same, `undo` runs. */
  swap(next: Settings): Promise<void> | void;
}

export type Reloaded<Settings> =
  | { readonly kind: "swapped"; readonly settings: Settings }
  /** The settings were refused, with the same problems that `-n` shows. */
  | { readonly kind: "refused"; readonly problems: readonly SettingsProblem[] }
  /** The settings are fine, but the machine did not do its part: a port is taken. */
  | { readonly kind: "failed"; readonly error: unknown }
  /** Another reload is under way; it reads what is on disk now or has just read it. */
  | { readonly kind: "busy" };

/** Makes the function that SIGHUP and `posthorn reload` call. One runs at a time. */
export function reloader<Settings>(steps: ReloadSteps<Settings>): () => Promise<Reloaded<Settings>> {
  let isRunning = false;
  return async () => {
    if (isRunning) return { kind: "busy" };
    isRunning = true;
    let prepared: { undo(): Promise<void> } | undefined;
    try {
      const built = await steps.build();
      if (!built.ok) return { kind: "refused", problems: built.problem };
      prepared = await steps.prepare?.(built.value);
      await steps.swap(built.value);
      return { kind: "swapped", settings: built.value };
    } catch (error) {
      await prepared?.undo();
      return { kind: "failed", error };
    } finally {
      isRunning = false;
    }
  };
}

/** The paths at which two settings differ: what a reload reports. Lists count as one value unless their lengths agree. */
export function changedPaths(before: unknown, after: unknown, path = ""): readonly string[] {
  if (Object.is(before, after)) return [];
  const isTree = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
  if (!isTree(before) || !isTree(after)) return [path];
  if (Array.isArray(before) !== Array.isArray(after)) return [path];
  if (Array.isArray(before) && Array.isArray(after) && before.length !== after.length) return [path];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) => {
    const step = Array.isArray(after) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`;
    return changedPaths(before[name], after[name], step);
  });
}
