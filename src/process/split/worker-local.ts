import type { Emit } from "../../foundation/events.ts";
import { startDelivery } from "../role/delivery-role.ts";
import { remoteLookup } from "./remote-lookup.ts";
import { localMethods, type WorkerStart } from "./roles.ts";
import { servedToScheduler } from "./worker-delivery.ts";
import { roleParts, type RunningRole } from "./worker-role.ts";

/** The process of final delivery: what `startDelivery` gives, called by the scheduler. */
export async function deliveryRole(start: WorkerStart, emit: Emit): Promise<RunningRole> {
  const lookup = remoteLookup(start.lookup, "delivery");
  const role = startDelivery({ ...roleParts(start, emit), lookup: lookup.port, rest: start.rest });
  return servedToScheduler(start, role, localMethods, () => lookup.close());
}
