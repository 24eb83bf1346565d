import type { LocalSettings } from "./settings.ts";

/** `users: system`: those of this host. */
export function isSystemUsers(users: LocalSettings["users"]): boolean {
  return users?.kind === "list" && users.items.length === 1 && users.items[0] === "system";
}
