import type { ListenerSettings } from "../../mail/connection/settings.ts";

/** What two listeners can't share. */
export function placeOf(settings: ListenerSettings): string {
  return settings.path ?? `${settings.address ?? "*"}:${settings.port ?? 0}/${settings.name}`;
}
