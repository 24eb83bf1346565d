import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import type { Admin } from "./admin.ts";
import { serveClient } from "./serve-client.io.ts";
import { controlListening } from "./events.ts";
import type { ControlSettings } from "./settings.ts";

/** The two sockets. File mode and group decide who may query and who may change. */
export interface ControlServer extends AsyncDisposable {
  /** Where they are: for the pid file's neighbours and the messages of the client. */
  readonly paths: ControlPaths;
}

export interface ControlPaths {
  readonly query: string;
  readonly change: string;
}

export interface ControlOptions {
  readonly settings: ControlSettings;
  readonly paths: ControlPaths;
  readonly admin: Admin;
  readonly clock: Clock;
  readonly emit: Emit;
}

const MOST_CLIENTS = 64;
const BACKLOG = 16;
/** sockaddr_un's limit under Linux, the final NUL included. */
const LONGEST_PATH = 107;

/** Where the sockets are: as set, else in the state directory's `run`. */
export function controlPaths(settings: ControlSettings, runDirectory: string): ControlPaths {
  return {
    query: settings.query.path ?? `${runDirectory}/query.sock`,
    change: settings.change.path ?? `${runDirectory}/control.sock`,
  };
}

/** Throws `PORT_UNAVAILABLE` when another server listens there, or the place cannot be had. */
export async function startControl(options: ControlOptions): Promise<ControlServer> {
  const { settings, paths, admin, clock, emit } = options;
  const clients = new Set<Socket>();
  const servers: Server[] = [];
  const accept = (socket: Socket, mayChange: boolean): void => {
    if (clients.size >= MOST_CLIENTS) {
      socket.destroy();
      return;
    }
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    serveClient(socket, { admin, clock, emit, mayChange });
  };
  const close = async (): Promise<void> => {
    for (const socket of clients) socket.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  };
  try {
    for (const [path, place, mayChange] of [
      [paths.query, settings.query, false],
      [paths.change, settings.change, true],
    ] as const) {
      servers.push(await listen(path, place, (socket) => accept(socket, mayChange)));
      emit(controlListening, { path, mode: place.mode.toString(8).padStart(4, "0") });
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
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
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

/** Removes what an earlier run left. Throws when somebody still answers there. */
async function makeWay(path: string): Promise<void> {
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    const end = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.once("connect", () => end(true));
    // A full backlog is a server that lives.
    probe.once("error", (error) => end(systemCodeOf(error) === "EAGAIN"));
  });
  if (isAlive) throw new Error("another server listens there");
  rmSync(path, { force: true });
}

/** A group's number by its name or number, from /etc/group. */
function groupNumber(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [group, , id] = line.split(":");
    if (group === name && id !== undefined) return Number(id);
  }
  throw new Error(`there is no group ${name}`);
}
