import { join } from "node:path";
import { startExim } from "../../test/peers/exim.ts";
import type { Contender, Wanted } from "./contender.ts";

/**
 * Debian's exim4. Its defaults are for a small machine and would turn away the load itself (20 sessions at most, 20
 * waiting), so these are lifted; `smtp_accept_queue_per_connection`, with which it leaves all but the first ten messages of
 * a session to the next run of the queue, too. Kept mail is queued (`queue_only`), and
 * nothing runs the queue.
 *
 * After QUIT it waits 200 ms for the client to close first, and says its 221 only then. That is compiled in.
 */
export async function startDebiansExim(wanted: Wanted): Promise<Contender> {
  const { task, hasTls } = wanted;
  const peer = await startExim({
    ...(task.kind === "relay" ? { relayTo: task.to } : {}),
    ...(hasTls === true ? { hasTls } : {}),
    settings: [
      "smtp_accept_max = 1200",
      "smtp_connect_backlog = 1000",
      "smtp_accept_max_per_connection = 0",
      ...(hasTls === true ? ["tls_resumption_hosts = *"] : []),
      ...(task.kind === "keep" ? ["queue_only"] : []),
    ],
    // Who delivers is nobody's child by then, and its CPU would be nobody's: here the daemon inherits and counts it.
    wrapper: "unshare --pid --fork --mount-proc",
    ...(task.kind === "local" ? { localDomain: "bench.test" } : {}),
    ...(task.kind === "keep" ? { queueRuns: "never" as const } : {}),
  });
  return {
    name: "Exim",
    ports: [Number(peer.at)],
    pid: peer.pid,
    mailbox: join(peer.folder, "mail", "box", "new"),
    list: { command: ["nsenter", ["-t", String(peer.pid), "-m", "exim4", "-bp"]], row: /^\s*\d+[smhd] / },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}
