import { existsSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ownRoot } from "../../foundation/own-module.ts";
import { deliversAsOthers } from "../settings/delivers-as-others.ts";
import { filterGrantsOf } from "../role/filtering.ts";
import type { Folders } from "../folders.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { systemStores } from "../../service/tls/keeper/anchors.io.ts";
import { isPkcs11 } from "../../service/tls/keeper/pkcs11.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import type { CertificateSource } from "../../service/tls/settings.ts";
import { lookupTablesOf } from "../settings/lookup-needs.ts";
import { permissionOptions } from "./permission-options.io.ts";
import type { Role } from "./roles.ts";
import { signingFilesOf } from "../settings/signing-files.ts";
import { authoritiesOf, certificateTablesOf } from "../settings/tls-files.ts";

/**
 * Where the program is, with its libraries. In a clone they are below it, or where a link there says; installed as a package it
 * lies in a node_modules beside them, or (pnpm) in one further up that links them together.
 */
export function programFolders(root: string): readonly string[] {
  const outermost = /^.*?[/\\]node_modules(?=[/\\])/.exec(root)?.[0];
  if (outermost !== undefined) return [root, outermost];
  const libraries = join(root, "node_modules");
  const linked = existsSync(libraries) ? realpathSync(libraries) : libraries;
  return linked === libraries ? [root] : [root, linked];
}

const PROGRAM = programFolders(resolve(fileURLToPath(ownRoot)));

function certificateFiles(source: CertificateSource): readonly string[] {
  if (source.kind === "files") return isPkcs11(source.key) ? [source.certificate] : [source.certificate, source.key];
  // Those of ACME are in the keeper's own directory.
  if (source.kind === "acme" || source.directory === undefined) return [];
  return [source.directory, join(source.directory, "*")];
}

function asksSystem({ accounts }: LoadedSettings["settings"]): boolean {
  return accounts?.backends.some(({ kind }) => kind === "pam" || kind === "shadow") ?? false;
}

/** Files of tables that a backend reads, and of what its connections need; whole folders, for they are replaced. */
function lookupFiles({ tables, accounts }: LoadedSettings["settings"]): readonly string[] {
  const ofTables = Object.values(tables).flatMap((source) => (isBackendSource(source) ? filesIn(source.options) : []));
  const ofAccounts = (accounts?.backends ?? []).flatMap((backend) =>
    backend.kind === "oauth" && backend.oauth.check.by === "keys" ? (backend.oauth.check.file ?? []) : [],
  );
  return [...new Set([...ofTables, ...ofAccounts].flatMap((file) => [file, dirname(file), join(dirname(file), "*")]))];
}

/** Paths anywhere in a backend's options, but for its password: that was read before, by another. */
function filesIn(options: unknown): readonly string[] {
  if (typeof options !== "object" || options === null) return [];
  return Object.entries(options).flatMap(([name, value]: readonly [string, unknown]) =>
    name === "passwordFile"
      ? []
      : typeof value === "string"
        ? isAbsolute(value) && name !== "command"
          ? [value]
          : []
        : filesIn(value),
  );
}

/** What each role may touch of the disk, beyond the program itself. The user's rights bound it further. */
export function grantsOf(role: Role, loaded: LoadedSettings, folders: Folders): readonly string[] {
  const { settings } = loaded;
  const certificateTables = certificateTablesOf(settings);
  const filesOf = (isWanted: (name: string) => boolean): readonly string[] =>
    Object.entries(settings.tables).flatMap(([name, table]) =>
      table.kind === "file" && isWanted(name) ? [table.file] : [],
    );
  const lookups = lookupTablesOf(settings);
  const tables = filesOf((name) => !certificateTables.has(name) && !lookups.has(name));
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
      return permissionOptions({
        program,
        read: [],
        write: [wholeDisk],
        mayUseThreads: true,
        mayLoadLibraries: false,
        mayRunPrograms: settings.queue.store.process !== undefined,
      });
    case "ingress": {
      const { read, ...ofFilters } = filterGrantsOf(settings);
      return permissionOptions({
        program,
        read: [...tables, ...resolver, ...read, folders.channels],
        write: [folders.queue, join(folders.queue, "*"), folders.drop, join(folders.drop, "*")],
        mayLoadLibraries: false,
        ...ofFilters,
      });
    }
    case "egress":
      return permissionOptions({
        program,
        read: [
          folders.queue,
          join(folders.queue, "*"),
          ...resolver,
          ...filesOf((name) => name === settings.delivery.tls.policyTable && !certificateTables.has(name)),
        ],
        write: [],
        mayUseThreads: false,
        mayLoadLibraries: false,
      });
    case "lookup": {
      const includes = (settings.local.includeFolders ?? []).flatMap((folder) => [folder, join(folder, "*")]);
      return permissionOptions({
        program,
        read: [
          ...filesOf((name) => lookups.has(name)),
          ...resolver,
          ...lookupFiles(settings),
          ...includes,
          folders.channels,
        ],
        // Its socket, and what greylisting remembers.
        write: [join(folders.channels, "*"), folders.memory, join(folders.memory, "*")],
        mayUseThreads: false,
        // crypt(3), and the system's users.
        mayLoadLibraries: true,
        // Tables that are programs.
        mayRunPrograms: Object.values(settings.tables).some(
          (source) => isBackendSource(source) && source.kind === "process",
        ),
      });
    }
    case "acme":
      // Its keys and what it trusts come from the keeper.
      return permissionOptions({
        program,
        read: [...resolver, folders.channels],
        write: [],
        mayUseThreads: false,
        mayLoadLibraries: false,
      });
    case "keeper":
      return permissionOptions({
        program,
        read: [
          ...filesOf((name) => certificateTables.has(name)),
          ...settings.certificates.flatMap(certificateFiles),
          ...signingFilesOf(settings),
          ...authoritiesOf(settings).map(({ file }) => file),
          ...systemStores(),
        ],
        write: [folders.tls, join(folders.tls, "*"), folders.keeper, join(folders.keeper, "*")],
        // PAM and shadow: calls that may hang, each in a thread of its own.
        mayUseThreads: asksSystem(settings),
        mayLoadLibraries: asksSystem(settings),
      });
    case "delivery":
      // Mailboxes are wherever the settings' paths lead; fcntl locks need the system's library.
      // Commands of users, and the processes that write their mailboxes, are others'.
      return permissionOptions({
        program,
        read: [],
        write: [wholeDisk],
        // Those that write into Maildirs.
        mayUseThreads: true,
        mayLoadLibraries: true,
        mayRunPrograms: deliversAsOthers(settings),
      });
  }
}
