import type { NextConnection } from "./tls-journal.ts";

/**
 * Links a failure with the next connection of the same peer: did it come back and work, or come back without TLS and
 * leave? It hears of failures and of what sessions do, in the order of the log, and says what is to be written to which
 * failure. Bounded: what it forgets is only a link.
 */
export class TlsReturns {
  readonly #waiting = new Map<string, { readonly at: number; readonly failures: number[]; readonly session: string }>();
  readonly #followed = new Map<string, Followed>();

  /** Whether any failure waits for its peer to come back. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** Whether a session is a return whose end matters. */
  follows(session: string): boolean {
    return this.#followed.has(session);
  }

  /** `session` with its process: ids begin anew with each. */
  failed(peer: string, session: string, failure: number, at: number): readonly Link[] {
    const followed = this.#followed.get(session);
    const links =
      followed === undefined
        ? this.#returned(peer, session, at, "failed")
        : this.#change(session, followed, { how: "failed" });
    this.#followed.delete(session);
    const known = this.#waiting.get(peer);
    this.#waiting.delete(peer);
    // Attempts of one minute wait for the same answer; what came back and failed again has its answer already.
    const failures = known !== undefined && known.session === session ? [...known.failures, failure] : [failure];
    this.#waiting.set(peer, { at, failures: failures.slice(-MOST_FAILURES_OF_A_PEER), session });
    trim(this.#waiting);
    return links;
  }

  /** The peer connected. Nothing is known yet of whether it will use TLS. */
  connected(peer: string, session: string, at: number): readonly Link[] {
    return this.#returned(peer, session, at, "plaintext");
  }

  /** TLS is up in this session. Where no connection was told before (as a client), this is the return. */
  up(peer: string, session: string, at: number): readonly Link[] {
    const followed = this.#followed.get(session);
    return followed === undefined
      ? this.#returned(peer, session, at, "tls")
      : this.#change(session, followed, { how: "tls" });
  }

  /** We went on without TLS, as a client. */
  plain(peer: string, session: string, at: number): readonly Link[] {
    return this.#followed.has(session) ? [] : this.#returned(peer, session, at, "plaintext", true);
  }

  kept(session: string): readonly Link[] {
    const followed = this.#followed.get(session);
    return followed === undefined ? [] : this.#change(session, followed, { mails: followed.next.mails + 1 });
  }

  /** The session is over; `after` says how far it got. */
  ended(session: string, after: string): readonly Link[] {
    const followed = this.#followed.get(session);
    if (followed === undefined) return [];
    const links = this.#change(session, followed, { after });
    this.#followed.delete(session);
    return links;
  }

  #returned(
    peer: string,
    session: string,
    at: number,
    how: NextConnection["how"],
    isSameSession = false,
  ): readonly Link[] {
    const waiting = this.#waiting.get(peer);
    if (waiting === undefined || (waiting.session === session && !isSameSession)) return [];
    this.#waiting.delete(peer);
    if (at - waiting.at > WITHIN_MS) return [];
    const next: NextConnection = { at, session: bareSession(session), how, mails: 0 };
    const followed: Followed = { failures: waiting.failures, next };
    if (how !== "failed") {
      this.#followed.set(session, followed);
      trim(this.#followed);
    }
    return linksOf(followed);
  }

  #change(session: string, followed: Followed, change: Partial<NextConnection>): readonly Link[] {
    const changed = { ...followed, next: { ...followed.next, ...change } };
    this.#followed.set(session, changed);
    return linksOf(changed);
  }
}

export interface Link {
  readonly failure: number;
  readonly next: NextConnection;
}

interface Followed {
  readonly failures: readonly number[];
  readonly next: NextConnection;
}

export const WITHIN_MS = 60_000;
const MOST_FAILURES_OF_A_PEER = 16;
const MOST_PEERS = 4096;

function linksOf({ failures, next }: Followed): readonly Link[] {
  return failures.map((failure) => ({ failure, next }));
}

/** Sessions come as `PROCESS SESSION`. */
function bareSession(session: string): string {
  return session.slice(session.indexOf(" ") + 1);
}

function trim(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (map.size > MOST_PEERS && oldest !== undefined) map.delete(oldest);
}

/**
 * How far a session got, from the tally of its commands (`ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4`): the last step of a
 * mail that was reached, for a client that says MAIL and then QUIT leaves after MAIL.
 */
export function furthest(commands: string): string {
  const reached = new Set([...commands.matchAll(/(\w+)=/g)].map((match) => match[1]));
  const step = ["data", "bdat", "rcpt", "mail", "auth", "starttls", "ehlo", "lhlo", "helo"].find((verb) =>
    reached.has(verb),
  );
  return step === undefined ? "CONNECT" : step.toUpperCase();
}
