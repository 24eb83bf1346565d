import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import type { KeeperStore, ListedCertificate } from "../../service/tls/keeper/keeper.ts";
import { keepConnected, remote } from "./channel.ts";
import { supervisorKeeperMethods, type KeeperAccess, type Role } from "./roles.ts";

/** Whom a worker may ask for keys, and for what tables and passwords say. */
export interface Accesses {
  readonly keeper?: KeeperAccess | undefined;
  readonly lookup?: KeeperAccess | undefined;
}

/** The one who is asked knows all words, everybody else only their own. */
export function accessFor(role: Role, asked: Role, access: KeeperAccess): KeeperAccess {
  if (role === asked) return access;
  return { path: access.path, words: { [role]: access.words[role] ?? "" } };
}

export function wordsFor(callers: readonly string[]): Record<string, string> {
  return Object.fromEntries(callers.map((caller) => [caller, randomBytes(24).toString("base64url")]));
}

/** How long whoever wants to see something waits for the process that knows it. */
export const SHOWN_WITHIN_MS = 5000;

/** What the keeper shows; never a key. */
export async function listingOf({ path, words }: KeeperAccess, clock: Clock): Promise<readonly ListedCertificate[]> {
  const opened = Promise.withResolvers<void>();
  const connection = keepConnected({
    connect: () => connect(path),
    peer: "keeper",
    handlers: {},
    clock,
    retryMs: 100,
    onOpen: (channel) => {
      channel.note("iAm", [`supervisor ${words["supervisor"] ?? ""}`]);
      opened.resolve();
    },
  });
  try {
    const calls = remote<Pick<KeeperStore, "listing">>(connection.current, supervisorKeeperMethods, "keeper");
    return await withDeadline(clock, SHOWN_WITHIN_MS, "the keeper's answer", () =>
      opened.promise.then(() => calls.listing()),
    );
  } finally {
    connection.close();
  }
}
