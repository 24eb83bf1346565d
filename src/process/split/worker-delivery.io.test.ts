import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Channel } from "./channel.ts";
import type { WorkerStart } from "./roles.ts";
import { serveChannels } from "./served-channels.ts";
import { servedToScheduler } from "./worker-delivery.ts";

test("a process that goes ends what was handed out while its wish to go was on the way", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-leaving-"));
  const connected = Promise.withResolvers<Channel>();
  let late: Promise<unknown> | undefined;
  const server = await serveChannels(join(folder, "scheduler.sock"), (_role, channel) => {
    connected.resolve(channel);
    return {
      handlers: {
        // It was sent before anybody here knew: it comes ahead of the answer.
        retire: () => void (late = channel.call("resolve", [{}])),
      },
    };
  });
  let isDisposed = false;
  const role = {
    port: {
      async resolve(): Promise<string> {
        await new Promise((resolve) => setTimeout(resolve, 100));
        assert.equal(isDisposed, false, "it is still there while it works");
        return "found";
      },
    },
    async [Symbol.asyncDispose]() {
      isDisposed = true;
    },
  };
  try {
    const start = { role: "egress", channels: folder } as unknown as WorkerStart;
    const running = await servedToScheduler(start, role, ["resolve"]);
    await connected.promise;
    await running.stop(5000);
    assert.equal(await late, "found");
    assert.equal(isDisposed, true);
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test("when the scheduler is gone, what it was handed is forsaken, and nobody waits for its sessions at a stop", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-forsaken-"));
  const connected = Promise.withResolvers<Channel>();
  const server = await serveChannels(join(folder, "scheduler.sock"), (_role, channel) => {
    connected.resolve(channel);
    return { handlers: { retire: () => {} } };
  });
  const forsaken = Promise.withResolvers<void>();
  const role = {
    port: { connect: async (): Promise<object> => ({ ok: true }) },
    forsake: () => forsaken.resolve(),
    async [Symbol.asyncDispose]() {},
  };
  try {
    const start = { role: "egress", channels: folder } as unknown as WorkerStart;
    const running = await servedToScheduler(start, role, ["connect"]);
    const scheduler = await connected.promise;
    await scheduler.call("connect", [{ session: "s1" }]);
    server.close();
    scheduler.close();
    await forsaken.promise;
    const startedAt = performance.now();
    await running.stop(20_000);
    assert.ok(performance.now() - startedAt < 10_000);
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
});
