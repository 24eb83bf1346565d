import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { SettingPath } from "../../service/config/config.ts";
import { identityOf, type Identity } from "../privileges.ts";
import { certificateTablesOf } from "../settings/tls-files.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface TableFileProblem {
  readonly path: SettingPath;
  readonly text: string;
}

/**
 * Table files that the server's user may not read. Root reads them at a start and a reload and hands them over, so that all
 * seems well; but nobody sees what is written there afterwards, an account that was taken out, say.
 */
export async function hiddenTableFiles(
  settings: Pick<WrittenSettings, "tables" | "user" | "group" | "certificates" | "filters">,
): Promise<readonly TableFileProblem[]> {
  const reader = readerOf(settings);
  if (reader === undefined) return [];
  const problems: TableFileProblem[] = [];
  const byKeeper = certificateTablesOf(settings);
  for (const [name, source] of Object.entries(settings.tables)) {
    if (source.kind !== "file" || byKeeper.has(name) || !(await isHidden(source.file, reader))) continue;
    problems.push({
      path: ["tables", name, source.syntax ?? "file"],
      text:
        `${source.file} may not be read by ${reader.user}, the server's user: what changes in it counts from the next ` +
        `\`posthorn reload\` on, not at once (chgrp and chmod 640 let that user read it)`,
    });
  }
  return problems;
}

/** That there is no such user is told elsewhere. */
function readerOf({ user, group }: Pick<WrittenSettings, "user" | "group">): Identity | undefined {
  try {
    return identityOf(user, group);
  } catch {
    return undefined;
  }
}

async function isHidden(file: string, reader: Identity): Promise<boolean> {
  if (await isForbidden(file, 0o4, reader)) return true;
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if (await isForbidden(folder, 0o1, reader)) return true;
    if (folder === dirname(folder)) return false;
  }
}

/**
 * Whether the mode forbids it for certain. The group's bits are the bound of an access control list as well, and what that
 * says the mode does not tell: where they allow it to another group, somebody may have let the user in.
 */
async function isForbidden(path: string, bit: number, { uid, gid }: Identity): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return false;
  if (found.uid === uid) return (found.mode & (bit << 6)) === 0;
  if (found.gid === gid) return (found.mode & (bit << 3)) === 0;
  return (found.mode & (bit | (bit << 3))) === 0;
}
