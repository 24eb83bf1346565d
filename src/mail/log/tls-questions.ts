import type { Cluster } from "./tls-clusters.ts";
import type { ChangeRow, CloseCount, PlaintextRow, ShownRecord, TlsRecord } from "./tls-journal.ts";

/** What `posthorn tls` asks the journal, and what it gets. Plain data: it crosses threads and the control socket. */
export type TlsQuestion =
  | ({ readonly ask: "failures" } & Selection)
  /** `which`: an id of a record, of a session, or a peer (its newest record). */
  | { readonly ask: "show"; readonly which: string }
  /** Without `worked` (and with a peer as `failed`): the last failure and the last working session of that peer. */
  | { readonly ask: "compare"; readonly failed: string; readonly worked?: string | undefined }
  | ({ readonly ask: "closes" } & Selection)
  | ({ readonly ask: "plaintext" } & Selection)
  /** What happened last, as a client, with peers and relays of these names or addresses. */
  | { readonly ask: "last"; readonly peers: readonly string[] };

export interface Selection {
  readonly sinceAt: number;
  readonly direction?: "in" | "out" | undefined;
  /** A name or address. */
  readonly peer?: string | undefined;
  /** The listener or relay. */
  readonly place?: string | undefined;
}

export interface TlsAnswers {
  readonly failures: FailuresAnswer;
  readonly show: ShownAnswer;
  readonly compare: CompareAnswer;
  /** `isCut`: there are more, each of fewer connections than these. */
  readonly closes: { readonly counts: readonly CloseCount[]; readonly isCut: boolean };
  readonly plaintext: { readonly rows: readonly PlaintextRow[] };
  readonly last: { readonly records: readonly TlsRecord[]; readonly plaintext: readonly PlaintextRow[] };
}

export interface FailuresAnswer {
  readonly clusters: readonly FoundCluster[];
  /** Clusters beyond those shown. */
  readonly omitted: number;
  /** Sessions that worked in the same time. */
  readonly workedCount: number;
  /** There are older failures than those that were looked at. */
  readonly isCut: boolean;
}

export interface FoundCluster extends Cluster {
  /** The newest session that worked before it began, of one of its peers. */
  readonly lastWorked?: { readonly id: number; readonly at: number; readonly peer: string } | undefined;
  /** The working session to put beside the newest failure: of its peer and listener or relay where there is one. */
  readonly counterpart?: number | undefined;
}

export interface ShownAnswer {
  readonly shown?: ShownRecord | undefined;
}

export interface CompareAnswer {
  readonly failed?: TlsRecord | undefined;
  readonly worked?: TlsRecord | undefined;
  /** Changes on our side between the two. */
  readonly between: readonly ChangeRow[];
}
