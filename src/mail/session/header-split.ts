/** Where a header section ends, and where the body begins: behind the empty line, where there is one. */
export interface HeaderSplit {
  readonly end: number;
  readonly bodyAt: number;
}

const LF = 10;
const CR = 13;
const SPACE = 32;
const TAB = 9;
const COLON = 58;
/** The longest name of a field that is looked for. */
const NAME_BYTES = 1000;

/**
 * As `HeaderScanner` sees it: a line that is neither a field nor a continuation is the first of the body. Undefined while
 * the end is not among these bytes; with `isWhole` nothing more comes.
 */
export function headerSplit(bytes: Buffer, from: number, isWhole: true): HeaderSplit;
export function headerSplit(bytes: Buffer, from: number, isWhole: boolean): HeaderSplit | undefined;
export function headerSplit(bytes: Buffer, from: number, isWhole: boolean): HeaderSplit | undefined {
  for (let at = from; ;) {
    const lf = bytes.indexOf(LF, at);
    if (lf < 0) {
      if (!isWhole) return undefined;
      return isInHeader(bytes, at, from, bytes.length)
        ? { end: bytes.length, bodyAt: bytes.length }
        : { end: at, bodyAt: at };
    }
    if (lf === at || (lf === at + 1 && bytes[at] === CR)) return { end: at, bodyAt: lf + 1 };
    if (!isInHeader(bytes, at, from, lf)) return { end: at, bodyAt: at };
    at = lf + 1;
  }
}

function isInHeader(bytes: Buffer, at: number, from: number, lineEnd: number): boolean {
  const first = bytes[at];
  if (at > from && (first === SPACE || first === TAB)) return true;
  return isField(bytes, at, Math.min(lineEnd, at + NAME_BYTES));
}

/** Printable ASCII, perhaps spaces and tabs behind it, and a colon: RFC 5322 sections 2.2 and 4.5. */
function isField(bytes: Buffer, from: number, end: number): boolean {
  let hasEnded = false;
  for (let at = from; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === COLON) return at > from && !isBlank(bytes[from]);
    if (isBlank(byte)) hasEnded = true;
    else if (hasEnded || byte <= SPACE || byte > 126) return false;
  }
  return false;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}
