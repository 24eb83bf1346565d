import { chmodSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { openChannel, type Channel, type Handlers } from "./channel.ts";

/** What one connected role may call, and what happens when it is gone. */
export interface Granted {
  readonly handlers: Handlers;
  readonly onEnd?: () => void;
}

/**
 * Listens for channels of other roles on a unix socket that only this user can reach. The first thing a role says is which
 * one it is, and by which version of the settings it goes where that matters; `grant` decides by that what it may call. Anything
 * called before, or not granted, is refused.
 */
export async function serveChannels(
  path: string,
  grant: (role: string, channel: Channel, version: number) => Granted,
  mode = 0o600,
): Promise<{ close: () => void }> {
  rmSync(path, { force: true });
  const open = new Set<Channel>();
  const server = createServer((stream) => {
    let isKnown = false;
    const handlers: Record<string, (...args: never[]) => unknown> = {
      iAm(role: string, version = 0) {
        if (isKnown) return;
        isKnown = true;
        const granted = grant(role, channel, version);
        Object.assign(handlers, granted.handlers);
        if (granted.onEnd !== undefined) void channel.ended.then(granted.onEnd);
      },
    };
    const channel = openChannel({ stream, peer: "worker", handlers });
    open.add(channel);
    void channel.ended.then(() => open.delete(channel));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
  chmodSync(path, mode);
  return {
    close() {
      server.close();
      for (const channel of open) channel.close();
    },
  };
}
