import { systemClock } from "../../foundation/clock.io.ts";
import type { Emit } from "../../foundation/events.ts";
import { startEgress } from "../role/egress-role.ts";
import { makeTracer } from "../role/make-tracer.ts";
import { remoteKeeper } from "./remote-keeper.ts";
import { remoteLookup } from "./remote-lookup.ts";
import { networkMethods, type FromWorker, type WorkerStart } from "./roles.ts";
import { Topics } from "../topics.ts";
import { servedToScheduler } from "./worker-delivery.ts";
import { roleParts, type RunningRole } from "./worker-role.ts";

/** The process that sends: what `startEgress` gives, called by the scheduler. */
export async function egressRole(
  start: WorkerStart,
  emit: Emit,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  const keeper = await remoteKeeper(start, "egress");
  const tracer = makeTracer(start.loaded, systemClock, (file, text) => say({ kind: "dump", file, text }));
  const topics = new Topics(systemClock, emit);
  const lookup = remoteLookup(start.lookup, "egress");
  const role = startEgress({ ...roleParts(start, emit), keeper: keeper.keeper, lookup: lookup.port, tracer, topics });
  say({ kind: "ask-traces" });
  const served = await servedToScheduler(start, role, networkMethods, () => {
    keeper.close();
    lookup.close();
  });
  return {
    ...served,
    onMessage(message) {
      if (message.kind === "traces") tracer.take(message.switches);
      if (message.kind === "topics") topics.take(message.switches);
    },
  };
}
