import type { Socket } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { descriptorOf, peerCredentials, peerGroups } from "../../foundation/ffi/peer-credentials.io.ts";
import { turnAway } from "../../mail/connection/turn-away.io.ts";
import type { Admin } from "./admin.ts";
import { ownView } from "./own-view.ts";
import { serveClient } from "./serve-client.io.ts";
import type { HostUsers } from "./server.io.ts";
import { PacedTurns } from "./paced-turns.ts";
import { maySeeAll, type Place } from "./viewer.ts";

/**
 * Clients who see only their own mail. Who somebody is, the system says (SO_PEERCRED); whom it does not know is refused.
 * They have places of their own, a few for each user: however many come, operators are not kept out.
 */
export interface OwnClients {
  /** Whether the peer would have been let in by mode and group of one of them. */
  seesAll(socket: Socket, places: readonly Place[]): boolean;
  accept(socket: Socket): void;
  close(): void;
}

const MOST_CLIENTS = 32;
const MOST_OF_ONE = 4;

export function ownClients(parts: {
  readonly users: HostUsers;
  readonly admin: Admin;
  readonly clock: Clock;
  readonly emit: Emit;
}): OwnClients {
  const { users, admin, clock, emit } = parts;
  const turns = new PacedTurns(clock);
  const clients = new Map<Socket, number>();
  const away = turnAway(clock);
  const refuse = (socket: Socket, code: string, message: string, advice: string): void =>
    away(socket, `${JSON.stringify({ id: 0, ok: false, error: { code, message, advice } })}\n`);
  return {
    seesAll(socket, places) {
      const descriptor = descriptorOf(socket);
      const peer = descriptor === undefined ? undefined : peerCredentials(descriptor);
      if (descriptor === undefined || peer === undefined) return false;
      const who = { ...peer, groups: peerGroups(descriptor) };
      return places.some((place) => maySeeAll(place, who));
    },
    accept(socket) {
      socket.on("error", () => {});
      const descriptor = descriptorOf(socket);
      const peer = descriptor === undefined ? undefined : peerCredentials(descriptor);
      if (peer === undefined) {
        refuse(socket, "CONTROL_REFUSED", "the system does not say who asks", "use root");
        return;
      }
      const { uid } = peer;
      const own = [...clients.values()].filter((each) => each === uid).length;
      if (clients.size >= MOST_CLIENTS || own >= MOST_OF_ONE) {
        const whose = own >= MOST_OF_ONE ? "this user has" : "users have";
        refuse(socket, "ROLE_UNAVAILABLE", `${whose} too many connections to the server`, "come again later");
        return;
      }
      clients.set(socket, uid);
      socket.on("close", () => clients.delete(socket));
      void users.accountOf(uid).then((account) => {
        if (socket.destroyed) return;
        const view = ownView(admin, { listener: users.listener, account }, turns.of(uid));
        serveClient(socket, { admin: view, clock, emit, may: "own" });
      });
    },
    close() {
      for (const socket of clients.keys()) socket.destroy();
    },
  };
}
