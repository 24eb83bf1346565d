import type { Emit } from "../../foundation/events.ts";
import { RunningCommands } from "../../mail/delivery/command/running-commands.ts";
import { startDelivery } from "../role/delivery-role.ts";
import { remoteLookup } from "./remote-lookup.ts";
import { localMethods, type WorkerStart } from "./roles.ts";
import { servedToScheduler } from "./worker-delivery.ts";
import { roleParts, type RunningRole } from "./worker-role.ts";

/** The process of final delivery: what `startDelivery` gives, called by the scheduler. */
export async function deliveryRole(start: WorkerStart, emit: Emit): Promise<RunningRole> {
  const lookup = remoteLookup(start.lookup, "delivery");
  const parts = roleParts(start, emit);
  const running = new RunningCommands(parts.clock);
  const role = startDelivery({ ...parts, lookup: lookup.port, running, rest: start.rest });
  const served = await servedToScheduler(start, role, localMethods, () => lookup.close());
  return {
    ...served,
    stop(deadlineMs) {
      // Nobody else says so to one that leaves, or whose supervisor is gone.
      running.finish(deadlineMs);
      return served.stop(deadlineMs);
    },
  };
}
