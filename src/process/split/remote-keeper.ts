import { connect } from "node:net";
import { systemClock } from "../../foundation/clock.io.ts";
import type { SigningKeeper } from "../../service/signing/signing-keys.ts";
import type { Keeper, KeeperChange, KeeperStore } from "../../service/tls/keeper/keeper.ts";
import { keepConnected, remote } from "./channel.ts";
import { messageOf } from "../../foundation/error.ts";
import type { AccountKeeper } from "../../service/account/system-passwords.ts";
import {
  acmeKeeperMethods,
  egressKeeperMethods,
  ingressKeeperMethods,
  lookupKeeperMethods,
  type WorkerStart,
} from "./roles.ts";
import { RECONNECT_MS } from "./worker-role.ts";

/** A keeper that lives in another process and may come and go. */
export interface RemoteKeeper {
  readonly keeper: Keeper & SigningKeeper;
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
  const calls = remote<Pick<Keeper & KeeperStore & SigningKeeper, (typeof allMethods)[number]>>(
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

type LookupKeeper = AccountKeeper & Pick<Keeper, "anchors" | "onChange">;

/** For the lookup process: the keeper checks the passwords of the system's users, and knows the system's authorities. */
export async function remoteAccountKeeper(start: WorkerStart): Promise<{ keeper: LookupKeeper; close: () => void }> {
  const { keeper } = start;
  const listening = new Set<(change: KeeperChange) => void>();
  const tell = (change: KeeperChange): void => {
    for (const each of listening) each(change);
  };
  const reached = Promise.withResolvers<void>();
  const connection = keepConnected({
    connect: () => connect(keeper?.path ?? ""),
    peer: "keeper",
    handlers: { changed: tell },
    clock: systemClock,
    retryMs: RECONNECT_MS,
    onOpen: (channel) => {
      channel.note("iAm", [`lookup ${keeper?.words["lookup"] ?? ""}`]);
      reached.resolve();
      // As above.
      tell("anchors");
    },
  });
  const timer = systemClock.after(FIRST_WAIT_MS, reached.resolve);
  await reached.promise;
  timer.cancel();
  const calls = remote<Omit<LookupKeeper, "onChange">>(connection.current, lookupKeeperMethods, "keeper");
  return {
    keeper: {
      loginSecret: () => calls.loginSecret(),
      anchors: (source) => calls.anchors(source),
      onChange(listener) {
        listening.add(listener);
        return () => listening.delete(listener);
      },
      checkSystemPassword: (question) =>
        calls.checkSystemPassword(question).catch((thrown: unknown) => ({ kind: "failed", text: messageOf(thrown) })),
    },
    close: connection.close,
  };
}

const allMethods = [...ingressKeeperMethods, ...egressKeeperMethods, ...acmeKeeperMethods] as const;
const methodsOf = { ingress: ingressKeeperMethods, egress: egressKeeperMethods, acme: acmeKeeperMethods };
