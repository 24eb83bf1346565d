/** One mail of `bare-node-main.ts`, as its client said it. */
export interface BareMail {
  readonly from: string;
  readonly to: string;
  /** As it was read, the dot at its end included. */
  readonly content: string;
}

/** Where it keeps mail. */
export interface BareKeeping {
  /** @param done it is on disk */
  keep(mail: BareMail, done: () => void): void;
  /** It has been sent on, and is kept no longer; nobody waits. */
  forget(mail: BareMail): void;
}
