import * as fc from "fast-check";

/** The same bytes, cut at the given offsets (in any order, repeats and offsets beyond the end included). */
export function cut(bytes: Buffer, offsets: readonly number[]): Buffer[] {
  const inside = [...new Set(offsets.map((offset) => offset % (bytes.length + 1)))].sort((one, other) => one - other);
  return [...inside, bytes.length].map((end, index) => bytes.subarray(inside[index - 1] ?? 0, end));
}

/** Offsets for `cut`: from no cut at all to a cut at every byte of short inputs. */
export const cuts = fc.oneof(
  fc.array(fc.nat(4096), { maxLength: 6 }),
  fc.constant(Array.from({ length: 4096 }, (_, offset) => offset)),
);

/** All texts over an alphabet up to a length. */
export function* allTexts(alphabet: readonly string[], maxLength: number): Generator<string> {
  let texts = [""];
  for (let length = 0; length <= maxLength; length++) {
    yield* texts;
    texts = texts.flatMap((text) => alphabet.map((letter) => text + letter));
  }
}
