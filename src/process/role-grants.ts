import { dirname, join, resolve } from "node:path";
import type { Folders } from "./folders.ts";
import type { LoadedSettings } from "./load-settings.ts";
import { systemStores } from "../service/tls/anchors.io.ts";
import { isPkcs11 } from "../service/tls/pkcs11.ts";
import type { CertificateSource } from "../service/tls/settings.ts";
import { permissionOptions } from "./privileges.ts";
import type { Role } from "./roles.ts";
import { authoritiesOf, certificateTablesOf } from "./tls-files.ts";

/**
 * Where the program is, with its libraries. In a clone they are below it; installed as a package it lies in a node_modules
 * beside them, or (pnpm) in one further up that links them together.
 */
export function programFolders(root: string): readonly string[] {
  const outermost = /^.*?[/\\]node_modules(?=[/\\])/.exec(root)?.[0];
  return outermost === undefined ? [root] : [root, outermost];
}

const PROGRAM = programFolders(resolve(import.meta.dirname, "..", ".."));

function certificateFiles(source: CertificateSource): readonly string[] {
  if (source.kind === "files") return isPkcs11(source.key) ? [source.certificate] : [source.certificate, source.key];
  // Those of ACME are in the keeper's own directory.
  if (source.kind === "acme" || source.directory === undefined) return [];
  return [source.directory, join(source.directory, "*")];
}

/** What each role may touch of the disk, beyond the program itself. The user's rights bound it further. */
export function grantsOf(role: Role, loaded: LoadedSettings, folders: Folders): readonly string[] {
  const { settings } = loaded;
  const certificateTables = certificateTablesOf(settings);
  const filesOf = (isWanted: (name: string) => boolean): readonly string[] =>
    Object.entries(settings.tables).flatMap(([name, table]) =>
      table.kind === "file" && isWanted(name) ? [table.file] : [],
    );
  const tables = filesOf((name) => !certificateTables.has(name));
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
          ...authoritiesOf(settings).map(({ file }) => file),
          ...systemStores(),
        ],
        write: [folders.tls, join(folders.tls, "*"), folders.keeper, join(folders.keeper, "*")],
        mayUseThreads: false,
        mayLoadLibraries: false,
      });
    case "delivery":
      // Mailboxes are wherever the settings' paths lead; fcntl locks need the system's library.
      return permissionOptions({ program, read: [], write: [wholeDisk], mayUseThreads: false, mayLoadLibraries: true });
  }
}
