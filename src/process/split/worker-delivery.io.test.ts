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
