import type { Random } from "../../src/foundation/random.ts";

/** Changes to an input, a few at once: bytes, words of the language, pieces of other inputs, repeats. */
export interface Material {
  readonly words: readonly Buffer[];
  readonly others: readonly Buffer[];
  readonly maxBytes: number;
}

type Change = (bytes: Buffer, random: Random, material: Material) => Buffer;

const NOTABLE = [0, 9, 10, 13, 32, 34, 36, 40, 41, 44, 46, 58, 59, 60, 61, 62, 64, 92, 127, 128, 192, 255];
const NUMBERS = ["0", "1", "-1", "65535", "65536", "2147483648", "4294967296", "9007199254740993", "1e9", "00", "0x10"];
const MOST_CHANGES = 5;
const MOST_REPEATS = 64;

export function mutate(input: Buffer, random: Random, material: Material): Buffer {
  let bytes = input;
  for (let left = 1 + below(random, MOST_CHANGES); left > 0; left--) {
    const change = CHANGES[below(random, CHANGES.length)];
    if (change !== undefined) bytes = change(bytes, random, material);
  }
  return bytes.subarray(0, material.maxBytes);
}

/** A whole number from 0 up to, and without, `end`. */
export function below(random: Random, end: number): number {
  return Math.floor(random.next() * end);
}

function one<T>(random: Random, from: readonly T[]): T | undefined {
  return from[below(random, from.length)];
}

function replaced(bytes: Buffer, from: number, to: number, piece: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(to)]);
}

/** A piece of the input: mostly short, as fields and tokens are. */
function range(bytes: Buffer, random: Random): readonly [from: number, to: number] {
  const from = below(random, bytes.length + 1);
  const longest = random.next() < 0.7 ? 8 : bytes.length;
  return [from, Math.min(bytes.length, from + below(random, longest + 1))];
}

const CHANGES: readonly Change[] = [
  function flipBit(bytes, random) {
    const changed = Buffer.from(bytes);
    const at = below(random, bytes.length);
    if (bytes.length > 0) changed[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8));
    return changed;
  },
  function setByte(bytes, random) {
    const changed = Buffer.from(bytes);
    const notable = one(random, NOTABLE) ?? 0;
    if (bytes.length > 0) changed[below(random, bytes.length)] = random.next() < 0.5 ? notable : below(random, 256);
    return changed;
  },
  function insertByte(bytes, random) {
    const at = below(random, bytes.length + 1);
    return replaced(
      bytes,
      at,
      at,
      Buffer.from([random.next() < 0.5 ? (one(random, NOTABLE) ?? 0) : below(random, 256)]),
    );
  },
  function insertWord(bytes, random, { words }) {
    const at = below(random, bytes.length + 1);
    return replaced(bytes, at, at, one(random, words) ?? Buffer.alloc(0));
  },
  function replaceByWord(bytes, random, { words }) {
    const [from, to] = range(bytes, random);
    return replaced(bytes, from, to, one(random, words) ?? Buffer.alloc(0));
  },
  function remove(bytes, random) {
    const [from, to] = range(bytes, random);
    return replaced(bytes, from, to, Buffer.alloc(0));
  },
  function repeat(bytes, random) {
    const [from, to] = range(bytes, random);
    const times = 1 + below(random, random.next() < 0.9 ? 3 : MOST_REPEATS);
    return replaced(bytes, to, to, Buffer.concat(Array.from({ length: times }, () => bytes.subarray(from, to))));
  },
  function copyElsewhere(bytes, random) {
    const [from, to] = range(bytes, random);
    const at = below(random, bytes.length + 1);
    return replaced(bytes, at, at, bytes.subarray(from, to));
  },
  function crossOver(bytes, random, { others }) {
    const other = one(random, others) ?? bytes;
    return Buffer.concat([
      bytes.subarray(0, below(random, bytes.length + 1)),
      other.subarray(below(random, other.length + 1)),
    ]);
  },
  function takeFromOther(bytes, random, { others }) {
    const other = one(random, others) ?? bytes;
    const [from, to] = range(other, random);
    const at = below(random, bytes.length + 1);
    return replaced(bytes, at, at, other.subarray(from, to));
  },
  function changeNumber(bytes, random) {
    const numbers = [...bytes.toString("latin1").matchAll(/\d+/g)];
    const found = one(random, numbers);
    if (found === undefined) return bytes;
    const text = random.next() < 0.5 ? (one(random, NUMBERS) ?? "0") : String(Number(found[0]) + below(random, 5) - 2);
    return replaced(bytes, found.index, found.index + found[0].length, Buffer.from(text));
  },
  function otherCase(bytes, random) {
    const [from, to] = range(bytes, random);
    const text = bytes.toString("latin1", from, to);
    return replaced(
      bytes,
      from,
      to,
      Buffer.from(random.next() < 0.5 ? text.toUpperCase() : text.toLowerCase(), "latin1"),
    );
  },
];
