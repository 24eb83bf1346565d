import { identityOf, type Identity } from "./privileges.ts";
import type { Settings } from "./settings/settings.ts";

/**
 * Root gets a split server, for nothing that reads from the network may be root. Only where there is no settings file, in
 * somebody's first five minutes on a loopback address, root runs a single one. `identity` is whom the workers run as,
 * and whom the queue belongs to; without it they are who started the server. `keeper` is whom the keeper runs as, where
 * that is not who started the server.
 */
export function layoutOf(
  settings: Settings,
  file: string | undefined,
): { layout: "single" | "split"; identity: Identity | undefined; keeper: Identity | undefined } {
  const layout = isSplit(settings, file) ? "split" : "single";
  if (layout === "single" || !isRoot()) return { layout, identity: undefined, keeper: undefined };
  const { keeperUser, keeperGroup } = settings;
  return {
    layout,
    identity: identityOf(settings.user, settings.group),
    keeper: keeperUser === undefined ? undefined : identityOf(keeperUser, keeperGroup),
  };
}

export function isSplit(settings: Pick<Settings, "processes">, file: string | undefined): boolean {
  return isSplitFor(settings, file, isRoot());
}

/** Whether it is, or would be, when root starts the server. */
export function isSplitForRoot(settings: Pick<Settings, "processes">, file: string | undefined): boolean {
  return isSplitFor(settings, file, true);
}

function isSplitFor({ processes }: Pick<Settings, "processes">, file: string | undefined, byRoot: boolean): boolean {
  return processes.layout === "auto" ? byRoot && file !== undefined : processes.layout === "split";
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
