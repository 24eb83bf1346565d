import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

export interface ScriptedScanner extends AsyncDisposable {
  /** host:port */
  readonly at: string;
  readonly port: number;
  /** Connections so far. */
  connections(): number;
  /** All that came, a text for each connection, as latin1. */
  heard(): readonly string[];
}

/**
 * A scanner that does as it is told with each connection: `onData` gets the socket and all that has come on it so far,
 * whenever something comes. For what scanners must not do: hang, die, talk nonsense.
 */
export async function startScanner(script: {
  readonly onConnect?: (socket: Socket) => void;
  readonly onData?: (socket: Socket, soFar: string) => void;
  /** The client closed its side. */
  readonly onEnd?: (socket: Socket, soFar: string) => void;
  /** Listen at a unix socket's path instead. */
  readonly path?: string;
}): Promise<ScriptedScanner> {
  const sockets = new Set<Socket>();
  const heard: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    const index = heard.push("") - 1;
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      heard[index] += chunk.toString("latin1");
      script.onData?.(socket, heard[index] ?? "");
    });
    socket.on("end", () => {
      if (script.onEnd === undefined) socket.end();
      else script.onEnd(socket, heard[index] ?? "");
    });
    script.onConnect?.(socket);
  });
  if (script.path === undefined) server.listen(0, "127.0.0.1");
  else server.listen(script.path);
  await once(server, "listening");
  // A TCP server says where it listens.
  const port = script.path === undefined ? (server.address() as AddressInfo).port : 0;
  return {
    at: script.path ?? `127.0.0.1:${port}`,
    port,
    connections: () => heard.length,
    heard: () => heard,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
