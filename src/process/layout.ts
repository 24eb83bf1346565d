import { identityOf, type Identity } from "./privileges.ts";
import type { Settings } from "./settings.ts";

/**
 * Root gets a split server, for nothing that reads from the network may be root. Only where there is no settings file, in
 * somebody's first five minutes on a loopback address, root runs a single one. `identity` is whom the workers run as,
 * and whom the queue belongs to; without it they are who started the server.
 */
export function layoutOf(
  settings: Settings,
  file: string | undefined,
): { layout: "single" | "split"; identity: Identity | undefined } {
  const isRoot = process.getuid?.() === 0;
  const wanted = settings.processes.layout;
  const layout = wanted === "auto" ? (isRoot && file !== undefined ? "split" : "single") : wanted;
  return { layout, identity: layout === "split" && isRoot ? identityOf(settings.user, settings.group) : undefined };
}
