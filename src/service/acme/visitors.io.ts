import type { Server, Socket } from "node:net";
import { clientOf, plainAddress } from "../table/networks.ts";

const MOST_CONNECTIONS = 256;

/**
 * Bounds the connections of a server that is open to the world, and refuses nobody: where there are too many, the oldest of the
 * client that has most of them is cut. So a client that sits there is in its own way only, and an authority, which comes from
 * several addresses and says what it wants at once, is answered. Gives those that are open.
 */
export function boundVisitors(server: Server, most = MOST_CONNECTIONS): Pick<ReadonlyMap<Socket, string>, "keys"> {
  const clients = new Map<Socket, string>();
  server.on("connection", (socket: Socket) => {
    clients.set(socket, clientOf(plainAddress(socket.remoteAddress ?? "")));
    socket.on("close", () => clients.delete(socket));
    if (clients.size <= most) return;
    const cut = oldestOfMost(clients);
    if (cut === undefined) return;
    clients.delete(cut);
    cut.destroy();
  });
  return clients;
}

/** `clients`: in the order in which they came. */
function oldestOfMost(clients: ReadonlyMap<Socket, string>): Socket | undefined {
  const counts = new Map<string, number>();
  for (const client of clients.values()) counts.set(client, (counts.get(client) ?? 0) + 1);
  const most = Math.max(...counts.values());
  for (const [socket, client] of clients) if (counts.get(client) === most) return socket;
  return undefined;
}
