import type { ContenderName } from "./contender.ts";

/** What a run found: for each cell and measure the samples of each server, or why there are none. */
export const measures = {
  rate: { label: "messages a second", digits: 0, isMoreBetter: true },
  cpu: { label: "CPU seconds for 1,000 messages", digits: 2, isMoreBetter: false },
  /** Of the load's own processes, to see that they are not what is measured. */
  clients: { label: "cores that the clients took", digits: 2, isMoreBetter: false },
  /** Time in which the machine had less than its processors: figures with much of it say little. */
  stolen: { label: "% of the processors that the machine's host took", digits: 0, isMoreBetter: false },
  list: { label: "list, seconds", digits: 2, isMoreBetter: false },
  restart: { label: "restart, seconds", digits: 2, isMoreBetter: false },
  memory: { label: "memory, MB", digits: 0, isMoreBetter: false },
  session: { label: "KB for each session", digits: 1, isMoreBetter: false },
  syncs: { label: "syncs for each message", digits: 2, isMoreBetter: false },
} as const;
export type Measure = keyof typeof measures;

export interface Row {
  readonly part: string;
  readonly cell: string;
  readonly measure: Measure;
  readonly samples: ReadonlyMap<ContenderName, readonly number[]>;
}

export class Figures {
  readonly #rows = new Map<string, Row & { readonly samples: Map<ContenderName, number[]> }>();
  readonly #notes = new Map<string, string[]>();

  add(part: string, cell: string, measure: Measure, name: ContenderName, value: number): void {
    const key = JSON.stringify([part, cell, measure]);
    const row = this.#rows.get(key) ?? { part, cell, measure, samples: new Map<ContenderName, number[]>() };
    this.#rows.set(key, row);
    const samples = row.samples.get(name) ?? [];
    row.samples.set(name, [...samples, value]);
  }

  /** What a reader of that part has to know; told once. */
  note(part: string, text: string): void {
    const notes = this.#notes.get(part) ?? [];
    if (!notes.includes(text)) this.#notes.set(part, [...notes, text]);
  }

  notesOf(part: string): readonly string[] {
    return this.#notes.get(part) ?? [];
  }

  rowsOf(part: string): readonly Row[] {
    return [...this.#rows.values()].filter((row) => row.part === part);
  }

  /** The median of its samples. */
  of(part: string, cell: string, measure: Measure, name: ContenderName): number | undefined {
    const samples = this.#rows.get(JSON.stringify([part, cell, measure]))?.samples.get(name);
    return samples === undefined || samples.length === 0 ? undefined : median(samples);
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = low] = sorted.length % 2 === 1 ? [sorted[middle]] : sorted.slice(middle - 1);
  return (low + high) / 2;
}
