import { partsOfEnvelopeId } from "../../foundation/ids.ts";
import type { ShownMessage } from "../../mail/scheduler/admin/admin.ts";
import type { Admin } from "./admin.ts";
import type { OperationName } from "./operations.ts";
import type { StreamName } from "./streams.ts";

/**
 * What users of this host may ask who may not see everything: about the mail that they have handed in here themselves.
 * Anybody else's message is answered like one that is not there.
 */
export const OWN_QUESTIONS: ReadonlySet<string> = new Set<OperationName | StreamName>([
  "queue.list",
  "queue.show",
  "queue.why",
  "why",
]);

/** Whose mail: an account says nothing without the listener that it was known at. */
export interface Owner {
  readonly listener: string;
  readonly account: string;
}

/** Waits for its turn, so that nobody makes the server walk its queue again and again. Rejects when too many wait. */
export type Turn = <Value>(ask: () => Promise<Value>) => Promise<Value>;

export function ownView(admin: Admin, owner: Owner, turn: Turn): Admin {
  const { queue } = admin;
  const isOwn = async (id: string): Promise<boolean> => {
    const message = partsOfEnvelopeId(id)?.message ?? id;
    // No envelope is opened for that, however many a stranger's message has.
    const { count } = await queue.list({ message, origin: owner, limit: 1 });
    return count > 0;
  };
  const ifOwn = <Value>(id: string, ask: () => Promise<Value | undefined>): Promise<Value | undefined> =>
    turn(async () => ((await isOwn(id)) ? ask() : undefined));
  const own: Pick<Admin["queue"], "list" | "show" | "why" | "whyAll"> = {
    list: (filter, behind) => turn(() => queue.list({ ...filter, origin: owner }, behind)),
    show: (id) => ifOwn(id, async () => withoutTargets(await queue.show(id))),
    why: (id) => ifOwn(id, () => queue.why(id)),
    whyAll: (id) => ifOwn(id, () => queue.whyAll(id)),
  };
  // Nothing but `OWN_QUESTIONS` is performed with it, and those ask for nothing else; if one did, it would fail.
  return { queue: own } as unknown as Admin;
}

/** Commands and files that a recipient's forwarding names are the recipient's affair. */
function withoutTargets(shown: ShownMessage | undefined): ShownMessage | undefined {
  if (shown === undefined) return undefined;
  const envelopes = shown.envelopes.map((each) => {
    const { target: _target, via: _via, ...envelope } = each.envelope;
    return { ...each, envelope };
  });
  return { ...shown, envelopes };
}
