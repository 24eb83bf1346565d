/** What a client may do only so often in a minute, over all its sessions. */
export type Rated = "command" | "message" | "recipient" | "handshake" | "authentication-failure" | "etrn";

/** The client's share, handed over by the connection stage; its rates and their settings are there. */
export interface Allowance {
  /** Counts one, if there is one left. */
  take(what: Rated): boolean;
  /** Whether none is left, without counting. */
  isSpent(what: Rated): boolean;
}
