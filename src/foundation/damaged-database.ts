/** A database file that turned out to be damaged, and what became of it. */
export interface SetAside {
  readonly file: string;
  /** Where the damaged one is now, with its log beside it. */
  readonly aside: string;
  readonly problem: string;
}
