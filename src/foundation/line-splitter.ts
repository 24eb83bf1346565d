/**
 * Cuts a stream of bytes into lines that end in LF (a CR before it goes too). Memory is bounded by `mostBytes` and one
 * chunk: a longer line is told once by `onTooLong`, and from then on nothing is heard any more, for nobody can say where the
 * next line begins. Lines are text; with `latin1` each character stands for a byte, for lines in which anything may stand.
 */
export function lineSplitter(
  mostBytes: number,
  onLine: (line: string) => void,
  onTooLong: () => void,
  encoding: "utf8" | "latin1" = "utf8",
): (chunk: Uint8Array) => void {
  let parts: Uint8Array[] = [];
  let kept = 0;
  let isDeaf = false;
  const decode = encoding === "utf8" ? (line: Uint8Array) => utf8.decode(line) : latin1;
  const giveUp = (): void => {
    isDeaf = true;
    parts = [];
    kept = 0;
    onTooLong();
  };
  return (chunk) => {
    if (isDeaf) return;
    let from = 0;
    while (from < chunk.length) {
      const end = chunk.indexOf(LF, from);
      const part = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (kept + part.length > mostBytes) {
        giveUp();
        return;
      }
      if (end < 0) {
        // Copied: the chunk's memory may be used again by whoever gave it.
        parts.push(part.slice());
        kept += part.length;
        return;
      }
      const line = parts.length === 0 ? part : joined(parts, kept, part);
      parts = [];
      kept = 0;
      from = end + 1;
      onLine(decode(line.at(-1) === CR ? line.subarray(0, -1) : line));
    }
  };
}

const LF = 0x0a;
const CR = 0x0d;
/** What is no UTF-8 becomes U+FFFD: a line is always text. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

function latin1(line: Uint8Array): string {
  return Buffer.from(line.buffer, line.byteOffset, line.length).toString("latin1");
}

function joined(parts: readonly Uint8Array[], kept: number, last: Uint8Array): Uint8Array {
  const whole = new Uint8Array(kept + last.length);
  let at = 0;
  for (const part of [...parts, last]) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
