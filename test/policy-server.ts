/** A policy server for tests: hears Postfix's policy delegation protocol, and says what a test wants. */
import { createServer, type Socket } from "node:net";
import { freePort } from "./server.ts";

export interface PolicyServer extends AsyncDisposable {
  /** `inet:127.0.0.1:10023`, for settings. */
  readonly at: string;
  /** Each question as its attributes. */
  readonly asked: readonly ReadonlyMap<string, string>[];
}

export async function startPolicyServer(says: (asked: ReadonlyMap<string, string>) => string): Promise<PolicyServer> {
  const asked: ReadonlyMap<string, string>[] = [];
  const sockets = new Set<Socket>();
  const port = await freePort();
  const server = createServer((socket) => {
    sockets.add(socket);
    let held = "";
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      held += bytes.toString("utf8");
      for (let end = held.indexOf("\n\n"); end >= 0; end = held.indexOf("\n\n")) {
        const lines = held.slice(0, end).split("\n");
        held = held.slice(end + 2);
        const question = new Map(
          lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
        );
        asked.push(question);
        socket.write(`action=${says(question)}\n\n`);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    at: `inet:127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
