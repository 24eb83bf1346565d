import { fileURLToPath } from "node:url";
import { ownModule } from "../../foundation/own-module.ts";
import type { Folders } from "../folders.ts";
import { memoryEnvironment, memoryOptions } from "../memory.ts";
import type { Identity } from "../privileges.ts";
import { deliversAsOthers } from "../settings/delivers-as-others.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { accessFor, type Accesses } from "./accesses.ts";
import type { NamedSocket } from "./listening-places.ts";
import { SCHEDULER_MAKER } from "./makers.ts";
import { grantsOf } from "./role-grants.ts";
import { loadedFor } from "./role-settings.ts";
import type { Role, WorkerStart } from "./roles.ts";
import type { WorkerOptions } from "./worker-process.ts";

/** Settings and the number that they have among all that this server was given. */
export interface Versioned extends LoadedSettings {
  readonly version: number;
}

/** What all workers have in common. */
export interface LaunchWorld {
  readonly folders: Folders;
  readonly isVerbose: boolean;
  readonly isForeground: boolean;
  /** Whom the workers run as; undefined: as we do. */
  readonly identity: Identity | undefined;
  /** Whom the keeper runs as; undefined: as we do. */
  readonly keeperIdentity: Identity | undefined;
}

interface Launch {
  readonly role: Role;
  readonly name: string;
  readonly from: Versioned;
  readonly maker: number;
  readonly access: Accesses;
  /** Sockets that it listens on. */
  readonly bound: readonly NamedSocket[];
}

/** As whom, with which rights, memory and settings a worker begins. */
export function launchOptions(
  world: LaunchWorld,
  { role, name, from, maker, access, bound }: Launch,
): Pick<WorkerOptions, "name" | "role" | "entry" | "nodeOptions" | "descriptors" | "user" | "start" | "env"> {
  const { folders, identity, keeperIdentity } = world;
  // It becomes the recipients' users, and is the workers' user between them.
  const staysRoot = role === "delivery" && identity !== undefined && deliversAsOthers(from.settings);
  return {
    name,
    role,
    entry: fileURLToPath(ownModule("process/split/worker-main")),
    nodeOptions: [
      "--disable-warning=ExperimentalWarning",
      "--disable-warning=SecurityWarning",
      ...memoryOptions(role),
      ...grantsOf(role, from, folders),
    ],
    descriptors: bound.map((socket) => socket.fd),
    user: role === "keeper" ? (identity === undefined ? undefined : keeperIdentity) : staysRoot ? undefined : identity,
    start: {
      ...startOf(world, role, from),
      name,
      maker,
      // Descriptors 0 to 3 are the standard ones and the process channel.
      listening: bound.map(({ name: listener }, index) => ({ listener, fd: 4 + index })),
      ...(access.keeper === undefined ? {} : { keeper: accessFor(role, "keeper", access.keeper) }),
      ...(access.lookup === undefined ? {} : { lookup: accessFor(role, "lookup", access.lookup) }),
      ...(staysRoot ? { rest: identity } : {}),
    },
    env: { ...memoryEnvironment(), ...(role === "lookup" ? threadsFor(from) : {}) },
  };
}

/** What a worker is told that is called as its role is, listens nowhere and asks nobody. */
export function startOf({ folders, isVerbose, isForeground }: LaunchWorld, role: Role, from: Versioned): WorkerStart {
  return {
    role,
    name: role,
    version: from.version,
    maker: SCHEDULER_MAKER,
    loaded: loadedFor(role, from),
    channels: folders.channels,
    listening: [],
    isVerbose,
    isForeground,
  };
}

/** Node's own four threads, which read files, and one for each password that is hashed. */
function threadsFor({ settings }: LoadedSettings): Readonly<Record<string, string>> {
  return { UV_THREADPOOL_SIZE: String(4 + (settings.accounts?.checksAtOnce ?? 0)) };
}
