import { dirname, join, resolve } from "node:path";
import type { Folders } from "./folders.ts";
import type { LoadedSettings } from "./load-settings.ts";
import { permissionOptions } from "./privileges.ts";
import type { Role } from "./roles.ts";

/**
 * Where the program is, with its libraries. In a clone they are below it; installed as a package it lies in a node_modules
 * beside them, or (pnpm) in one further up that links them together.
 */
export function programFolders(root: string): readonly string[] {
  const outermost = /^.*?[/\\]node_modules(?=[/\\])/.exec(root)?.[0];
  return outermost === undefined ? [root] : [root, outermost];
}

const PROGRAM = programFolders(resolve(import.meta.dirname, "..", ".."));

/** What each role may touch of the disk, beyond the program itself. The user's rights bound it further. */
export function grantsOf(role: Role, loaded: LoadedSettings, folders: Folders): readonly string[] {
  const { settings } = loaded;
  const tables = Object.values(settings.tables).flatMap((table) => (table.kind === "file" ? [table.file] : []));
  const resolver = ["/etc/resolv.conf", "/etc/hosts"];
  const program = PROGRAM;
  const wholeDisk = "*";
  switch (role) {
    case "log": {
      const target = settings.log.to;
      const file = target.kind === "file" ? [join(dirname(target.path), "*")] : [];
      return permissionOptions({
        program,
        read: [],
        write: [join(folders.journal, "*"), join(folders.channels, "*"), ...file],
        mayUseThreads: true,
        // syslog(3).
        mayLoadLibraries: true,
      });
    }
    case "scheduler":
      // `posthorn backup` names any directory that this user may write to.
      return permissionOptions({ program, read: [], write: [wholeDisk], mayUseThreads: true, mayLoadLibraries: false });
    case "ingress":
      return permissionOptions({
        program,
        read: [...tables, ...resolver, folders.channels],
        write: [folders.queue, join(folders.queue, "*")],
        mayUseThreads: false,
        mayLoadLibraries: false,
      });
    case "egress": {
      const { caFile } = settings.delivery;
      return permissionOptions({
        program,
        read: [folders.queue, join(folders.queue, "*"), ...resolver, ...(caFile === undefined ? [] : [caFile])],
        write: [],
        mayUseThreads: false,
        mayLoadLibraries: false,
      });
    }
    case "delivery":
      // Mailboxes are wherever the settings' paths lead; fcntl locks need the system's library.
      return permissionOptions({ program, read: [], write: [wholeDisk], mayUseThreads: false, mayLoadLibraries: true });
  }
}
