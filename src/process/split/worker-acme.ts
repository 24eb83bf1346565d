import type { Emit } from "../../foundation/events.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import { startAcmeRole } from "../role/acme-role.ts";
import { remoteKeeper } from "./remote-keeper.ts";
import type { FromWorker, WorkerStart } from "./roles.ts";
import { roleParts, type RunningRole } from "./worker-role.ts";

/** Certificates from an authority, in a process of its own; there is one only when the settings want some. */
export async function acmeRole(
  start: WorkerStart,
  emit: Emit,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  const keeper = await remoteKeeper(start, "acme");
  const role = await startAcmeRole({
    ...roleParts(start, emit),
    store: keeper.store,
    random: systemRandom,
    inherited: new Map(start.listening.map(({ listener, fd }) => [listener, fd])),
    onStatus: () => say({ kind: "acme", status: role.status() }),
  });
  return {
    listening: role.listening,
    onMessage(message) {
      if (message.kind === "renew") role.renew(message.label);
    },
    async stop() {
      await role.close();
      keeper.close();
    },
  };
}
