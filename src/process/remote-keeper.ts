import { connect } from "node:net";
import { systemClock } from "../foundation/clock.io.ts";
import type { Keeper, KeeperChange, KeeperStore } from "../service/tls/keeper.ts";
import { keepConnected, remote } from "./channel.ts";
import { acmeKeeperMethods, egressKeeperMethods, ingressKeeperMethods, type WorkerStart } from "./roles.ts";
import { RECONNECT_MS } from "./worker-role.ts";

/** A keeper that lives in another process and may come and go. */
export interface RemoteKeeper {
  readonly keeper: Keeper;
  /** For the acme process only. */
  readonly store: Pick<Keeper & KeeperStore, (typeof acmeKeeperMethods)[number]>;
  close(): void;
}

/** It is there before we are started, and back within a second or two when it was lost. */
const FIRST_WAIT_MS = 10_000;

/** Resolves when the keeper is reached, or after a while without it: everything else of a server works without keys. */
export async function remoteKeeper(start: WorkerStart, role: keyof typeof methodsOf): Promise<RemoteKeeper> {
  const listening = new Set<(change: KeeperChange) => void>();
  const tell = (change: KeeperChange): void => {
    for (const each of listening) each(change);
  };
  const reached = Promise.withResolvers<void>();
  const connection = keepConnected({
    connect: () => connect(start.keeper?.path ?? ""),
    peer: "keeper",
    handlers: { changed: tell },
    clock: systemClock,
    retryMs: RECONNECT_MS,
    onOpen(channel) {
      channel.note("iAm", [`${role} ${start.keeper?.words[role] ?? ""}`]);
      reached.resolve();
      // Whatever changed while nobody could tell us.
      for (const change of ["certificates", "anchors"] as const) tell(change);
    },
  });
  const timer = systemClock.after(FIRST_WAIT_MS, reached.resolve);
  await reached.promise;
  timer.cancel();
  const calls = remote<Pick<Keeper & KeeperStore, (typeof allMethods)[number]>>(
    connection.current,
    methodsOf[role],
    "keeper",
  );
  return {
    keeper: {
      ...calls,
      onChange(listener) {
        listening.add(listener);
        return () => listening.delete(listener);
      },
    },
    store: calls,
    close: connection.close,
  };
}

const allMethods = [...ingressKeeperMethods, ...egressKeeperMethods, ...acmeKeeperMethods] as const;
const methodsOf = { ingress: ingressKeeperMethods, egress: egressKeeperMethods, acme: acmeKeeperMethods };
