import { dirname, sep } from "node:path";
import type { LoadedSettings } from "../settings/load-settings.ts";

export type LogTarget = LoadedSettings["settings"]["log"]["to"];

/**
 * Whether a server in several processes can move its log there while it runs: the process that writes it may write files only
 * below the folder where the log was at the server's start, for as long as the server lives and however often that process is
 * started anew.
 */
export function canMoveLog(atStart: LogTarget, to: LogTarget): boolean {
  if (to.kind !== "file") return true;
  if (atStart.kind !== "file") return false;
  const folder = dirname(atStart.path);
  return to.path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}
