import type { LoginBlock, SaslAnswer, SaslQuestion } from "../../protocol/sasl/question.ts";

/**
 * What sessions ask to log a client in: the authenticator with the throttle in front of it, both in one process of the
 * server, so that all sessions of all processes are counted together and no key or password leaves it.
 */
export interface Logins {
  /**
   * Never rejects. A question of a client that has failed before is answered late; one that fails too often is `blocked`.
   * Nothing tells a user that does not exist from a wrong password.
   */
  answer(question: SaslQuestion, from: LoginClient): Promise<SaslAnswer>;
}

/** Who tries; plain data. */
export interface LoginClient {
  /** Absent for a client on a unix socket, which no address is counted for. */
  readonly address?: string | undefined;
}

/** For `posthorn show logins` and `posthorn logins clear`. */
export interface LoginsAdmin {
  shown(): Promise<readonly ShownLogin[]>;
  /** An address, a network as it is shown, or an account; undefined: all. */
  clear(which: string | undefined): Promise<{ readonly cleared: number }>;
}

export interface ShownLogin {
  readonly what: LoginBlock["what"];
  readonly key: string;
  readonly state: "slowed" | "blocked";
  readonly failures: number;
  /** When the first failure that counts was, and the last. */
  readonly sinceAt: number;
  readonly lastAt: number;
  /** Blocked: until when. Slowed: when it is forgotten if nothing more happens. */
  readonly untilAt: number;
  /** How long an answer takes now. */
  readonly delayMs: number;
}

/** Where no accounts are set: nobody may log in. */
export const noLogins: Logins = {
  answer: (question) =>
    Promise.resolve(
      question.kind === "scram-salt"
        ? { kind: "failed", text: "no accounts are set" }
        : { kind: "wrong", because: "no accounts are set" },
    ),
};
