import type { Allocation } from "./allocations.ts";
import { table, whole } from "./markdown.ts";
import { NO_IO, plus, times, type Io, type ProcessIo } from "./process-io.ts";
import type { KindSum } from "./system-calls.ts";

/** What is less than this is put together, in bytes a message. */
const LEAST_BYTES = 8;
const OWN_FUNCTIONS = 25;
const OTHER_FUNCTIONS = 5;

/** What a thread allocated: of which kind of process it is, and which thread. */
export interface ThreadAllocations {
  readonly role: string;
  readonly thread: string;
  readonly rows: readonly Allocation[];
  /** The same by the growth of its heap. */
  readonly grown: number;
}

/** Three tables: by thread, by area, by function; in bytes a message. */
export function allocationTables(threads: readonly ThreadAllocations[], messages: number): string {
  const byThread = new Map<string, { bytes: number; grown: number }>();
  const byArea = new Map<string, Map<string, number>>();
  const byFunction = new Map<string, { name: string; who: string; isOurs: boolean; bytes: number }>();
  const roles = new Map<string, number>();
  for (const { role, thread, rows, grown } of threads) {
    const who = `${role}: ${thread}`;
    const sum = byThread.get(who) ?? { bytes: 0, grown: 0 };
    sum.grown += grown / messages;
    byThread.set(who, sum);
    for (const { area, name, isOurs, bytes: all } of rows) {
      const bytes = all / messages;
      sum.bytes += bytes;
      const row = byArea.get(area) ?? new Map<string, number>();
      byArea.set(area, row.set(role, (row.get(role) ?? 0) + bytes));
      roles.set(role, (roles.get(role) ?? 0) + bytes);
      const own = byFunction.get(`${who} ${name}`) ?? { name, who, isOurs, bytes: 0 };
      own.bytes += bytes;
      byFunction.set(`${who} ${name}`, own);
    }
  }
  const bytesAll = sumOf([...byThread.values()].map(({ bytes }) => bytes));
  const sorted = [...byFunction.values()].toSorted((a, b) => b.bytes - a.bytes);
  const ours = sorted.filter(({ isOurs }) => isOurs);
  const others = sorted.filter(({ isOurs }) => !isOurs);
  const rest = (rows: typeof sorted, shown: number, words: string): readonly string[] => [
    `${Math.max(0, rows.length - shown)} ${words}`,
    "",
    whole(sumOf(rows.slice(shown).map(({ bytes }) => bytes))),
  ];
  const named = (rows: typeof sorted, shown: number): readonly (readonly string[])[] =>
    rows.slice(0, shown).map(({ name, who, bytes }) => [`\`${name}\``, who, whole(bytes)]);
  return [
    table(
      ["bytes allocated a message", "by samples", "by the heap's growth"],
      withRest(
        [...byThread].map(([who, { bytes, grown }]) => ({ name: who, cells: [bytes, grown] })),
        [bytesAll, sumOf([...byThread.values()].map(({ grown }) => grown))],
      ),
    ),
    areaTable(byArea, roles, bytesAll),
    table(
      ["function", "thread", "bytes"],
      [
        ...named(ours, OWN_FUNCTIONS),
        rest(ours, OWN_FUNCTIONS, "others of ours"),
        ...named(others, OTHER_FUNCTIONS),
        rest(others, OTHER_FUNCTIONS, "others of Node and V8, which no function of ours had called"),
      ],
    ),
  ].join("\n\n");
}

function areaTable(
  areas: ReadonlyMap<string, ReadonlyMap<string, number>>,
  roles: ReadonlyMap<string, number>,
  all: number,
): string {
  const columns = [...roles]
    .filter(([, bytes]) => bytes >= LEAST_BYTES)
    .toSorted(([, a], [, b]) => b - a)
    .map(([role]) => role);
  const isOne = columns.length === 1;
  return table(
    ["bytes allocated a message", "all", ...(isOne ? [] : columns)],
    withRest(
      [...areas].map(([area, row]) => ({
        name: area,
        cells: [sumOf([...row.values()]), ...(isOne ? [] : columns.map((role) => row.get(role) ?? 0))],
      })),
      [all, ...(isOne ? [] : columns.map((role) => roles.get(role) ?? 0))],
    ),
  );
}

/** A process before and after the load. */
export interface IoSpan {
  readonly role: string;
  readonly before: ProcessIo;
  readonly after: ProcessIo;
}

/** What the kernel counts of all of them. */
function ioOfAll(spans: readonly IoSpan[]): Io {
  return spans.reduce((sum, { before, after }) => plus(sum, plus(after.all, times(before.all, -1))), NO_IO);
}

/** What system calls carried, by thread; the last row is what the kernel counts of the processes as a whole. */
export function ioTable(spans: readonly IoSpan[], messages: number): string {
  const threads = new Map<string, Io>();
  for (const { role, before, after } of spans)
    for (const [id, { name, io }] of after.threads) {
      const spent = plus(io, times(before.threads.get(id)?.io ?? NO_IO, -1));
      threads.set(`${role}: ${name}`, plus(threads.get(`${role}: ${name}`) ?? NO_IO, spent));
    }
  const cells = (io: Io): readonly number[] => {
    const { rchar, syscr, wchar, syscw, writeBytes } = times(io, 1 / messages);
    return [rchar, wchar, writeBytes, syscr, syscw];
  };
  return table(
    ["bytes a message", "read", "written", "pages dirtied", "read calls", "write calls"],
    withRest(
      [...threads].map(([name, io]) => ({ name, cells: cells(io) })),
      cells(ioOfAll(spans)),
      (figure, column) => (column < 3 ? whole(figure) : few(figure)),
    ),
  );
}

/** What was traced, by role and kind of descriptor; and how much that is of what the kernel counts. */
export function kindTable(
  sums: ReadonlyMap<string, KindSum>,
  spans: readonly IoSpan[],
  { messages, mailBytes }: { readonly messages: number; readonly mailBytes: number },
): string {
  const all = [...sums];
  const disk = all.filter(([kind]) => isFile(kind));
  const total = (rows: typeof all): KindSum => ({
    read: sumOf(rows.map(([, { read }]) => read)),
    written: sumOf(rows.map(([, { written }]) => written)),
    writes: sumOf(rows.map(([, { writes }]) => writes)),
    syncs: sumOf(rows.map(([, { syncs }]) => syncs)),
  });
  const cells = ({ read, written, writes, syncs }: KindSum): readonly number[] => [
    read / messages,
    written / messages,
    writes / messages,
    syncs / messages,
  ];
  const written = (figure: number, column: number): string => (column < 2 ? whole(figure) : few(figure));
  const files = total(disk);
  const traced = total(all);
  const { rchar, wchar } = ioOfAll(spans);
  const share = (part: number, whole: number): string =>
    whole === 0 ? "none" : `${((part / whole) * 100).toFixed(1)} %`;
  const rows = withRest(
    all.map(([name, sum]) => ({ name, cells: cells(sum) })),
    cells(traced),
    written,
  );
  return `${table(
    ["bytes a message", "read", "written", "writes", "syncs"],
    [...rows, ["**of them files**", ...cells(files).map(written)]],
  )}\n\nWritten to files: ${(files.written / messages / mailBytes).toFixed(1)} bytes for each byte of mail. The trace has ${share(traced.read, rchar)} of the bytes read that the kernel counts, and ${share(traced.written, wchar)} of those written.`;
}

function isFile(kind: string): boolean {
  return kind.includes("file: ");
}

interface Row {
  readonly name: string;
  readonly cells: readonly number[];
}

/** Rows by their first two figures, largest first; those where none comes to anything in one; and what all are together. */
function withRest(
  rows: readonly Row[],
  all: readonly number[],
  written: (figure: number, column: number) => string = whole,
): readonly (readonly string[])[] {
  const isShown = ({ cells }: Row): boolean => cells.some((figure) => figure >= LEAST_BYTES);
  const weight = ({ cells: [first = 0, second = 0] }: Row): number => Math.max(first, second);
  const rest = rows.filter((row) => !isShown(row));
  return [
    ...rows
      .filter(isShown)
      .toSorted((a, b) => weight(b) - weight(a))
      .map(({ name, cells }) => [name, ...cells.map(written)]),
    ...(rest.length === 0
      ? []
      : [
          [
            `what is below ${LEAST_BYTES} each`,
            ...all.map((_, at) => written(sumOf(rest.map(({ cells }) => cells[at] ?? 0)), at)),
          ],
        ]),
    ["**together**", ...all.map(written)],
  ];
}

function few(figure: number): string {
  return figure < 0.005 ? "" : figure.toFixed(2);
}

function sumOf(figures: readonly number[]): number {
  return figures.reduce((sum, figure) => sum + figure, 0);
}
