/** A row of `posthorn show`, as it goes to whoever asks: `show.ts` makes them. */
export type Shown = (typeof SHOWN)[number];
export const SHOWN = ["routes", "relays", "hosts", "sources", "domains"] as const;

export type RowState = (typeof ROW_STATES)[number];
/** In the order of their letters in a row's flags: `N R Z Q H`. */
export const ROW_STATES = ["new", "running", "resting", "queued", "held"] as const;

export interface ShownRow {
  /** Unique among the rows of its kind; what commands take. */
  readonly name: string;
  readonly states: readonly RowState[];
  readonly connections: number;
  /** So many may be open just now: slow start. */
  readonly allowed: number;
  /** So many may be open at most, by the settings. */
  readonly limit: number;
  /** Sessions opened since the start. */
  readonly sessions: number;
  /** Sessions and searches that failed since the start. */
  readonly failures: number;
  /** Recipients refused since the start. */
  readonly refused: number;
  readonly penalty: number;
  readonly restsUntilAt?: number | undefined;
  readonly ready: number;
  readonly waiting: number;
  readonly held: number;
  readonly lastFailure?: string | undefined;
  readonly lastFailureAt?: number | undefined;
  readonly lastSuccessAt?: number | undefined;
  /** Something more in words: that a relay's hosts are being looked up, that it seems to greylist. */
  readonly note?: string | undefined;
}

export interface ShowFilter {
  readonly what: Shown;
  /** A part of the name, without regard to case. */
  readonly name?: string | undefined;
  readonly state?: RowState | undefined;
  readonly limit?: number | undefined;
}

/** Where a page ended. Whoever asks hands it back as it is. */
export interface ShowPlace {
  readonly rank: number;
  readonly size: number;
  readonly name: string;
  /** Tells two of one name apart. */
  readonly id: string;
}

export interface ShowPage {
  readonly rows: readonly ShownRow[];
  readonly next?: ShowPlace | undefined;
}
