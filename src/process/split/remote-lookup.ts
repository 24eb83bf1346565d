import { connect } from "node:net";
import { systemClock } from "../../foundation/clock.io.ts";
import { keepConnected, remote, type Channel } from "./channel.ts";
import type { LookupPort } from "../role/lookup.ts";
import {
  ingressLookupMethods,
  supervisorLookupMethods,
  tableLookupMethods,
  type KeeperAccess,
  type LookupCaller,
} from "./roles.ts";
import { RECONNECT_MS } from "./worker-role.ts";

/** The lookup role in another process, which may come and go: while it is away, what is asked rejects. */
export interface RemoteLookup {
  readonly port: LookupPort;
  /** Settles when it is there for the first time. */
  readonly reached: Promise<void>;
  close(): void;
}

/** It is there before we are started, and back within a second or two when it was lost. */
const FIRST_WAIT_MS = 10_000;

/** `access` is undefined where no settings need the role: nobody asks it then. */
export function remoteLookup(access: KeeperAccess | undefined, role: LookupCaller): RemoteLookup {
  const reached = Promise.withResolvers<void>();
  const portOf = (channel: () => Channel | undefined): LookupPort =>
    remote<LookupPort>(channel, methodsOf[role], "lookup");
  if (access === undefined) return { port: portOf(() => undefined), reached: Promise.resolve(), close: () => {} };
  const connection = keepConnected({
    connect: () => connect(access.path),
    peer: "lookup",
    handlers: {},
    clock: systemClock,
    retryMs: RECONNECT_MS,
    onOpen(channel) {
      channel.note("iAm", [`${role} ${access.words[role] ?? ""}`]);
      reached.resolve();
    },
  });
  const timer = systemClock.after(FIRST_WAIT_MS, reached.resolve);
  void reached.promise.then(() => timer.cancel());
  return { port: portOf(connection.current), reached: reached.promise, close: connection.close };
}

const methodsOf: Readonly<Record<LookupCaller, readonly (keyof LookupPort)[]>> = {
  ingress: ingressLookupMethods,
  scheduler: tableLookupMethods,
  egress: tableLookupMethods,
  delivery: tableLookupMethods,
  supervisor: supervisorLookupMethods,
};
