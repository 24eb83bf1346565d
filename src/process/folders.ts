import { chmodSync, chownSync, closeSync, fsyncSync, lstatSync, mkdirSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf, PosthornError, systemCodeOf } from "../foundation/error.ts";
import { makeDirectories } from "../foundation/make-directories.io.ts";
import type { LocalSubmissionSettings } from "../mail/connection/local-settings.ts";
import type { Identity } from "./privileges.ts";

/** Where a server keeps what, below its state directory. */
export interface Folders {
  readonly state: string;
  readonly queue: string;
  readonly journal: string;
  readonly journalFile: string;
  /** What greylisting remembers. */
  readonly memory: string;
  readonly greylistFile: string;
  /** What DMARC's reports are made of. */
  readonly dmarcFile: string;
  /** Control sockets and the pid file. */
  readonly run: string;
  /** Channels between the processes of a split server. */
  readonly channels: string;
  /** Sockets of keepers: in a folder of theirs, so that nobody else can take their place. */
  readonly keeper: string;
  /** Certificates that the server made itself or was given, with their keys. */
  readonly tls: string;
  /** Decrypted content that somebody asked for (`posthorn trace tls --decrypted`); made when it is. */
  readonly traces: string;
  /** Notes of unfinished deliveries into users' mboxes, a directory for each uid: theirs, in one that only root may change. */
  readonly users: string;
  /** Mail that users hand in while the server is down: everybody may put files into it, nobody but us may look. */
  readonly drop: string;
  readonly pidFile: string;
}

/** The socket at which users of this host hand in mail, for the server and for their programs. */
export function submitPath(settings: Pick<LocalSubmissionSettings, "path">, run: string): string {
  return settings.path ?? join(run, "submit.sock");
}

/** Only the keeper's: the folder of certificates is. */
export function loginSecretOf(folders: Pick<Folders, "tls">): string {
  return join(folders.tls, "login-secret");
}

export function foldersOf(state: string): Folders {
  const run = join(state, "run");
  return {
    state,
    queue: join(state, "queue"),
    journal: join(state, "journal"),
    journalFile: join(state, "journal", "journal.db"),
    memory: join(state, "memory"),
    greylistFile: join(state, "memory", "greylist.db"),
    dmarcFile: join(state, "memory", "dmarc.db"),
    run,
    channels: join(run, "channels"),
    keeper: join(run, "keeper"),
    tls: join(state, "tls"),
    traces: join(state, "traces"),
    users: join(state, "users"),
    drop: join(state, "drop"),
    pidFile: join(run, "posthornd.pid"),
  };
}

/**
 * Makes the directories, owned by the workers' user when there is one, and their names durable: without those, a power
 * cut takes the queue away as a whole, whatever was synced inside it. Throws `PRIVILEGES`.
 */
export function makeFolders(folders: Folders, owner: Identity | undefined, keeper?: Identity): void {
  // A service may be started with any mask. Workers and operators find the way by these modes, whatever it is.
  const mask = process.umask(0o022);
  try {
    const firstMade = makeDirectories(folders.state, 0o755);
    mkdirSync(folders.run, { recursive: true, mode: 0o755 });
    mkdirSync(folders.users, { recursive: true, mode: 0o755 });
    for (const folder of [
      folders.queue,
      folders.journal,
      folders.memory,
      folders.channels,
      join(folders.state, "mail"),
      join(folders.state, "delivery"),
    ]) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      // A link here would let its maker have any directory given away.
      if (owner !== undefined && lstatSync(folder).isDirectory()) chownSync(folder, owner.uid, owner.gid);
    }
    for (const [folder, mode] of [
      [folders.tls, 0o700],
      // The workers pass through to the sockets, and cannot put one of their own there.
      [folders.keeper, 0o710],
    ] as const) {
      mkdirSync(folder, { recursive: true, mode });
      if (!lstatSync(folder).isDirectory()) continue;
      if (owner !== undefined) {
        const uid = keeper?.uid ?? process.getuid?.() ?? 0;
        const ownGid = keeper?.gid ?? process.getgid?.() ?? 0;
        chownSync(folder, uid, folder === folders.keeper ? owner.gid : ownGid);
      }
      chmodSync(folder, mode);
    }
    makeDrop(folders.drop, owner);
    // Those that were there may come from a life that ended before it got to this.
    syncDirectory(folders.run);
    for (
      let above = folders.state;
      above.length >= dirname(firstMade ?? folders.state).length;
      above = dirname(above)
    ) {
      syncDirectory(above);
      if (above === dirname(above)) break;
    }
  } catch (cause) {
    throw new PosthornError("PRIVILEGES", {
      message: `cannot make the directories of the server: ${messageOf(cause)}`,
      advice: `set \`state\` to a directory that this user may write to (now ${folders.state})`,
      cause,
    });
  } finally {
    process.umask(mask);
  }
}

/** Sticky, and closed to looks: who knows no name of a file in it can do nothing with it. `taken` and `refused` are ours alone. */
function makeDrop(drop: string, owner: Identity | undefined): void {
  for (const [folder, mode] of [
    [drop, 0o1733],
    [join(drop, "taken"), 0o700],
    [join(drop, "refused"), 0o700],
  ] as const) {
    mkdirSync(folder, { recursive: true, mode });
    if (!lstatSync(folder).isDirectory()) throw new Error(`${folder} is no directory`);
    if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
    chmodSync(folder, mode);
  }
}

function syncDirectory(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (thrown) {
    // A directory that we may pass through but not read was there before us.
    if (systemCodeOf(thrown) === "EACCES") return;
    throw thrown;
  }
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
