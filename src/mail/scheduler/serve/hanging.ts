import { hasRoom, type Limited } from "../../route/limited.ts";
import { giveBack, take } from "./scarce.ts";
import type { SchedulerState, Session } from "../state.ts";
import { setWake } from "../wake-heap.ts";

/**
 * Connections that hang. A host that is gone answers nothing until the deadline, and ten thousand of them would take all
 * places of our address, one deadline after the other, while mail to hosts that are well stood in line behind. So a
 * connection that has waited this long for an answer counts in a limit of its own, and gives its places in the address's
 * and in the total back. It never has both or neither: where that limit is full it stays where it was. When it is made
 * after all it goes back where there is room, and is counted apart where there is none.
 */
const HANGS_AFTER_MS = 3000;

/** A connection is being made: in a while somebody looks what has come of it. */
export function watchConnecting(s: SchedulerState, session: Session): void {
  setWake(s.idleSessions, session, s.now + HANGS_AFTER_MS);
}

/** It hangs. */
export function countApart(s: SchedulerState, session: Session): void {
  const shared = sharedBy(s, session);
  const held = session.occupies.filter((limit) => shared.includes(limit));
  if (held.length === 0 || !hasRoom(s.hanging)) return;
  session.occupies = [...session.occupies.filter((limit) => !held.includes(limit)), s.hanging];
  take([s.hanging]);
  giveBack(s, held);
}

/** It has been made. */
export function countTogether(s: SchedulerState, session: Session): void {
  if (!session.occupies.includes(s.hanging)) return;
  const shared = sharedBy(s, session);
  if (!shared.every(hasRoom)) return;
  session.occupies = [...session.occupies.filter((limit) => limit !== s.hanging), ...shared];
  take(shared);
  giveBack(s, [s.hanging]);
}

/** What connections to all kinds of hosts have in common. */
function sharedBy(s: SchedulerState, { route }: Session): readonly Limited[] {
  const ofSource = s.sources.get(route.source ?? "*");
  return ofSource === undefined ? [s.total] : [s.total, ofSource];
}
