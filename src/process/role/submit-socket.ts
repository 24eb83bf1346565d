import { chmodSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import { makeDirectories } from "../../foundation/make-directories.io.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import { descriptorOf, peerCredentials } from "../../foundation/ffi/peer-credentials.io.ts";
import { tryFfi } from "../../foundation/ffi/ffi.io.ts";
import { removeDeadSocket } from "../../mail/connection/dead-socket.io.ts";
import { turnAway } from "../../mail/connection/turn-away.io.ts";
import type { KnownClient } from "../../mail/session/services.ts";
import * as events from "../events.ts";
import { submitPath, type Folders } from "../folders.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { Server } from "../server.ts";
import { userNames, type UserNames } from "../user-names.ts";

/**
 * Where users of this host hand in mail as who they are: a socket that everybody may connect to. The system says who
 * that is (SO_PEERCRED), nothing that the client says counts. The connection, of which nothing has been read, goes to
 * reception.
 */
export interface SubmitSocket extends AsyncDisposable {
  /**
   * Swaps the server's settings, and follows them: a socket that the next ones want is there before, one that they do not want goes
   * after. When `swap` rejects, or the socket cannot be had (`PORT_UNAVAILABLE`), all is as it was.
   */
  reload(next: LoadedSettings, swap: () => Promise<void>): Promise<void>;
}

interface OpenSocket extends AsyncDisposable {
  readonly path: string;
}

/** There is none where the settings want none, or the system does not say who connects. Throws `PORT_UNAVAILABLE`. */
export async function openSubmitSocket(server: Server, folders: Pick<Folders, "run">): Promise<SubmitSocket> {
  const names = userNames(systemClock);
  const openOf = new Map<number, number>();
  const wantedBy = ({ settings: { localSubmission } }: LoadedSettings): string | undefined =>
    localSubmission.enabled ? submitPath(localSubmission, folders.run) : undefined;
  const open = async (path: string): Promise<OpenSocket | undefined> => {
    if (tryFfi() instanceof PosthornError) {
      const problem = "the system cannot be asked who they are, so they have to use a listener, as everybody";
      server.emit(events.submitTrouble, { problem });
      return undefined;
    }
    return listen({
      path,
      names,
      emit: server.emit,
      openOf,
      mostOfUser: () => server.loaded.settings.localSubmission.connectionsPerUser,
      hand: (socket, known, onEnd) => server.acceptLocal(socket, known, onEnd),
    });
  };
  const first = wantedBy(server.loaded);
  let current = first === undefined ? undefined : await open(first);
  return {
    async reload(next, swap) {
      const wanted = wantedBy(next);
      if (wanted === current?.path) return swap();
      const fresh = wanted === undefined ? undefined : await open(wanted);
      try {
        await swap();
      } catch (thrown) {
        await fresh?.[Symbol.asyncDispose]();
        throw thrown;
      }
      const before = current;
      current = fresh;
      await before?.[Symbol.asyncDispose]();
    },
    async [Symbol.asyncDispose]() {
      await current?.[Symbol.asyncDispose]();
    },
  };
}

interface Options {
  readonly path: string;
  readonly names: UserNames;
  readonly emit: Emit;
  /** Open connections by the user's number. */
  readonly openOf: Map<number, number>;
  readonly mostOfUser: () => number;
  /** Gives it to reception; false when nobody is there. `onEnd` is called once when it has ended. */
  readonly hand: (socket: Socket, known: KnownClient, onEnd: () => void) => boolean;
}

const MECHANISM = "PEERCRED";
/** Whose names are being looked up. */
const MOST_PENDING = 256;

async function listen(options: Options): Promise<OpenSocket> {
  const { path, emit, names, openOf } = options;
  let pending = 0;
  const away = turnAway(systemClock);
  const refuse = (socket: Socket, text: string): void => away(socket, `421 4.3.2 ${text}\r\n`);
  const leaves = (uid: number): void => {
    const left = (openOf.get(uid) ?? 1) - 1;
    if (left > 0) openOf.set(uid, left);
    else openOf.delete(uid);
  };
  const accept = (socket: Socket): void => {
    const descriptor = descriptorOf(socket);
    const peer = descriptor === undefined ? undefined : peerCredentials(descriptor);
    if (peer === undefined) {
      refuse(socket, "the system does not say who you are");
      return;
    }
    if (pending >= MOST_PENDING) {
      refuse(socket, "too many connections; come again later");
      return;
    }
    const { uid } = peer;
    const open = openOf.get(uid) ?? 0;
    if (open >= options.mostOfUser()) {
      away(socket, "421 4.7.0 Too many connections of yours; come again later\r\n");
      return;
    }
    openOf.set(uid, open + 1);
    pending++;
    void names.of(uid).then((account) => {
      pending--;
      if (!socket.destroyed && options.hand(socket, { account, mechanism: MECHANISM }, () => leaves(uid))) return;
      leaves(uid);
      if (!socket.destroyed) refuse(socket, "nobody is there to take mail; come again later");
    });
  };
  // Nothing is read here: a connection can change its process only before its first byte.
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, accept);
  try {
    makeDirectories(dirname(path), 0o755);
    await removeDeadSocket(path);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, backlog: 511 }, resolve);
    });
    chmodSync(path, 0o666);
  } catch (cause) {
    server.close();
    throw new PosthornError("PORT_UNAVAILABLE", {
      message: `cannot make the socket ${path}: ${messageOf(cause)}`,
      advice: "stop the other server, or set local-submission.path or local-submission.enabled",
      cause,
    });
  }
  // Later trouble (no file descriptors left) concerns one client, not the server.
  server.on("error", (error) => emit(events.submitTrouble, { problem: messageOf(error) }));
  emit(events.submitListening, { path });
  return {
    path,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Those that are with reception are not ours to wait for.
        resolve();
      }),
  };
}
