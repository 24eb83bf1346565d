import { chmodSync, chownSync, lstatSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Clock } from "../../foundation/clock.ts";
import { makeDirectories } from "../../foundation/make-directories.io.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import { canKnowPeers } from "../../foundation/ffi/peer-credentials.io.ts";
import type { Admin } from "./admin.ts";
import { serveClient } from "./serve-client.io.ts";
import { controlListening } from "./events.ts";
import { ownClients } from "./own-clients.io.ts";
import type { ControlPaths } from "./paths.ts";
import type { ControlSettings } from "./settings.ts";
import type { Place } from "./viewer.ts";

/** The two sockets. File mode and group decide who may query and who may change; others may see their own mail. */
export interface ControlServer extends AsyncDisposable {
  /** Where they are: for the pid file's neighbours and the messages of the client. */
  readonly paths: ControlPaths;
}

export interface ControlOptions {
  readonly settings: ControlSettings;
  readonly paths: ControlPaths;
  readonly admin: Admin;
  readonly clock: Clock;
  readonly emit: Emit;
  /** Who users of this host are. Without it, or where the system tells nothing of peers, nobody sees own mail only. */
  readonly users?: HostUsers | undefined;
}

export interface HostUsers {
  /** The listener that users of this host hand in their mail at. */
  readonly listener: string;
  /** The account that their mail goes by there. Never rejects. */
  accountOf(uid: number): Promise<string>;
}

const MOST_CLIENTS = 64;
const FOR_ALL = 0o666;
const BACKLOG = 16;
/** sockaddr_un's limit under Linux, the final NUL included. */
const LONGEST_PATH = 107;

/** Throws `PORT_UNAVAILABLE` when another server listens there, or the place cannot be had. */
export async function startControl(options: ControlOptions): Promise<ControlServer> {
  const { settings, paths, admin, clock, emit, users } = options;
  const clients = new Set<Socket>();
  const servers: Server[] = [];
  const others =
    users !== undefined && settings.query.others === "own" && canKnowPeers()
      ? ownClients({ users, admin, clock, emit })
      : undefined;
  // Whom the system would let in by these is served as ever, for who may change may look as well; others get what is theirs.
  const places: Place[] = [];
  const accept = (socket: Socket, may: "query" | "change"): void => {
    if (clients.size >= MOST_CLIENTS) {
      socket.destroy();
      return;
    }
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    serveClient(socket, { admin, clock, emit, may });
  };
  const close = async (): Promise<void> => {
    for (const socket of clients) socket.destroy();
    others?.close();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  };
  try {
    for (const [path, place, may] of [
      [paths.query, settings.query, "query"],
      [paths.change, settings.change, "change"],
    ] as const) {
      const forAll = may === "query" && others !== undefined;
      const mode = forAll ? FOR_ALL : place.mode;
      const onSocket = (socket: Socket): void => {
        if (!forAll || others.seesAll(socket, places)) accept(socket, may);
        else others.accept(socket);
      };
      servers.push(await listen(path, { ...place, mode }, onSocket));
      const { uid, gid } = statSync(path);
      places.push({ mode: place.mode, uid, gid });
      emit(controlListening, { path, mode: mode.toString(8).padStart(4, "0") });
    }
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { paths, [Symbol.asyncDispose]: close };
}

async function listen(
  path: string,
  place: { readonly mode: number; readonly group?: string | undefined },
  onSocket: (socket: Socket) => void,
): Promise<Server> {
  const fail = (thrown: unknown, advice: string): never => {
    throw new PosthornError("PORT_UNAVAILABLE", {
      message: `cannot make the control socket ${path}: ${messageOf(thrown)}`,
      advice,
      cause: thrown,
    });
  };
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    const tooLong = new Error(`the path is longer than the ${LONGEST_PATH} bytes that the system allows`);
    fail(tooLong, "set control.query.path and control.change.path to shorter ones, for example below /run");
  }
  try {
    makeDirectories(dirname(path), 0o755);
    await makeWay(path);
  } catch (thrown) {
    fail(thrown, "stop the other server, or set another path (control.query.path, control.change.path)");
  }
  const server = createServer(onSocket);
  // Nobody else may connect between bind and chmod. listen() binds before it returns, so the mask is back at once.
  const mask = process.umask(0o177);
  try {
    server.listen({ path, backlog: BACKLOG });
  } finally {
    process.umask(mask);
  }
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
  }).catch((thrown: unknown) => fail(thrown, "set a path in a directory that the server may write to"));
  // Later trouble (no file descriptors left) concerns one client, not the server.
  server.on("error", () => {});
  try {
    if (place.group !== undefined) chownSync(path, -1, groupNumber(place.group));
    chmodSync(path, place.mode);
  } catch (thrown) {
    server.close();
    fail(thrown, "check control.query.group and control.change.group; only root gives files to groups it is not in");
  }
  return server;
}

/** Removes what an earlier run left. Throws when that is not sure, and when it is no socket: no run left that. */
async function makeWay(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw new Error("a file or a link is there that is no socket");
  let why = await whyItStays(path);
  if (why === NOT_ALLOWED && there.uid === process.geteuid?.()) {
    // Ours, and its mode is for the group alone.
    chmodSync(path, there.mode | 0o200);
    why = await whyItStays(path);
    if (why !== undefined) chmodSync(path, there.mode);
  }
  if (why !== undefined) throw new Error(why);
  rmSync(path, { force: true });
}

/** The system says this of another user's socket whether or not its server lives. */
const NOT_ALLOWED =
  "a socket is there that this user may not connect to, and so cannot be known to be dead; if its server has ended, remove it";

/** Undefined: nobody listens there. */
async function whyItStays(path: string): Promise<string | undefined> {
  const error = await new Promise<Error | undefined>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.once("error", resolve);
  });
  if (error === undefined) return LISTENS;
  const code = systemCodeOf(error);
  if (code === "ECONNREFUSED" || code === "ENOENT") return undefined;
  // A full backlog.
  if (code === "EAGAIN") return LISTENS;
  if (code === "EACCES") return NOT_ALLOWED;
  return code === "EPROTOTYPE"
    ? "another program has a socket of another kind (datagrams or packets) there"
    : messageOf(error);
}

const LISTENS = "another server listens there";

/** A group's number by its name or number, from /etc/group. */
function groupNumber(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [group, , id] = line.split(":");
    if (group === name && id !== undefined) return Number(id);
  }
  throw new Error(`there is no group ${name}`);
}
