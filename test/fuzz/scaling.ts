import { longBytesOf, type FuzzTarget } from "./fuzz-target.ts";

/**
 * Whether time grows with length only as length does. Four times the input may take four times the time; code that looks at everything
 * again for each byte takes sixteen times. Each measurement is the quickest of several, and what takes next to nothing is not judged.
 */
export interface SlowInput {
  readonly shape: string;
  readonly shortMs: number;
  readonly longMs: number;
}

const TIMES_LONGER = 4;
const TIMES_SLOWER = 10;
/** Below this the long input is quick enough, whatever the short one took. */
const UNJUDGED_MS = 60;
const MEASUREMENTS = 3;
const LONGEST_SEED_PIECE = 64;

type Shape = readonly [before: string, piece: string, behind: string];

export function shapesOf(target: FuzzTarget): readonly Shape[] {
  const around = target.seeds[0] ?? "";
  const pieces = [...(target.tokens ?? []), ...target.seeds.map((seed) => seed.slice(0, LONGEST_SEED_PIECE))];
  const half = Math.floor(around.length / 2);
  return [
    ...(target.repeats ?? []),
    ...[...new Set(pieces)]
      .filter((piece) => piece !== "")
      .flatMap((piece): Shape[] => [
        ["", piece, ""],
        [around.slice(0, half), piece, around.slice(half)],
      ]),
  ];
}

export async function firstSlow(target: FuzzTarget, shapes: readonly Shape[]): Promise<SlowInput | undefined> {
  const long = longBytesOf(target);
  if (long === 0) return undefined;
  for (const shape of shapes) {
    const first = await tookMs(target, repeated(shape, long));
    if (first < UNJUDGED_MS) continue;
    const longMs = Math.min(first, await quickestMs(target, repeated(shape, long)));
    if (longMs < UNJUDGED_MS) continue;
    const shortMs = await quickestMs(target, repeated(shape, long / TIMES_LONGER));
    if (longMs > shortMs * TIMES_SLOWER) return { shape: JSON.stringify(shape), shortMs, longMs };
  }
  return undefined;
}

function repeated([before, piece, behind]: Shape, bytes: number): Buffer {
  const times = Math.max(1, Math.floor((bytes - before.length - behind.length) / piece.length));
  return Buffer.from(`${before}${piece.repeat(times)}${behind}`, "latin1");
}

async function quickestMs(target: FuzzTarget, bytes: Buffer): Promise<number> {
  let quickest = Number.POSITIVE_INFINITY;
  for (let count = 0; count < MEASUREMENTS; count++) quickest = Math.min(quickest, await tookMs(target, bytes));
  return quickest;
}

async function tookMs(target: FuzzTarget, bytes: Buffer): Promise<number> {
  // The processor's time, not the wall's: of that a busy machine takes more from long measurements than from short ones.
  const before = process.threadCpuUsage();
  const running = target.run(bytes);
  if (running !== undefined) await running;
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
