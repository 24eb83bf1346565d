import type { TaskKind } from "./contender.ts";

/** The loads that rates are measured under. */
export interface RateCell {
  readonly sessions: number;
  /** At most; a slow server gets fewer, so that a sample takes it some seconds. */
  readonly messages: number;
  readonly bytes: number;
  /** Many messages a session, or one each. */
  readonly keepsSession: boolean;
  readonly tls?: "full" | "resumed" | "kept";
  /** Whether a mark of the project is about it. */
  readonly isMarked?: boolean;
}

export interface RatePart {
  readonly id: "accept" | "relay" | "local" | "tls";
  readonly title: string;
  readonly task: TaskKind;
  readonly cells: readonly RateCell[];
}

const KIB = 1024;
const each = { keepsSession: false, bytes: KIB } as const;
const many = { keepsSession: true, bytes: KIB } as const;

export const rateParts: readonly RatePart[] = [
  {
    id: "accept",
    title: "Accept: on disk and known to what schedules it, not delivered",
    task: "keep",
    cells: [
      { ...each, sessions: 1, messages: 1000 },
      { ...each, sessions: 10, messages: 3000 },
      { ...each, sessions: 50, messages: 4000, isMarked: true },
      { ...each, sessions: 100, messages: 3000 },
      { ...many, sessions: 1, messages: 1500 },
      { ...many, sessions: 10, messages: 4000 },
      { ...many, sessions: 50, messages: 6000, isMarked: true },
      { ...many, sessions: 100, messages: 6000 },
      { ...many, sessions: 10, messages: 3000, bytes: 10 * KIB },
      { ...many, sessions: 10, messages: 1000, bytes: 100 * KIB },
    ],
  },
  {
    id: "tls",
    title: "Accept with STARTTLS, 1 KiB; TLS 1.3, X25519, ECDSA P-256; the load from two client processes",
    task: "keep",
    cells: [
      { ...each, sessions: 20, messages: 1500, tls: "full", isMarked: true },
      { ...each, sessions: 20, messages: 1500, tls: "resumed" },
      { ...many, sessions: 20, messages: 4000, tls: "kept" },
    ],
  },
  {
    id: "local",
    title: "Local delivery into one Maildir, 4 KiB: from the client until all files are there",
    task: "local",
    cells: [{ ...many, sessions: 10, messages: 3000, bytes: 4 * KIB }],
  },
  {
    id: "relay",
    title: "Relay, 10 KiB: from the client to a sink, end to end",
    task: "relay",
    cells: [
      { ...many, sessions: 10, messages: 4000, bytes: 10 * KIB, isMarked: true },
      { ...each, sessions: 50, messages: 3000, bytes: 10 * KIB },
    ],
  },
];

export function cellName({ sessions, keepsSession, bytes, tls }: RateCell): string {
  const handshake = tls === "full" ? ", full handshakes" : tls === "resumed" ? ", resumed" : "";
  const many = `${sessions} ${sessions === 1 ? "session" : "sessions"}, ${keepsSession ? "many each" : "1 each"}`;
  return `${many}${handshake}${bytes === KIB ? "" : `, ${bytes / KIB} KiB`}`;
}

/** The part's name for what is measured in it, and the cell's, where the marks look for them. */
export function markedCell(part: RatePart["id"], wanted: (cell: RateCell) => boolean): string {
  const cell = rateParts.find(({ id }) => id === part)?.cells.find((cell) => cell.isMarked === true && wanted(cell));
  if (cell === undefined) throw new Error(`no marked cell in ${part}`);
  return cellName(cell);
}
