/**
 * Reads the header section of a message while it passes (RFC 5322 section 2.2): counts trace fields, keeps the values of
 * a few named fields, and finds where the body starts. Content comes in slices of any cut; held are the line that is not
 * complete and the wanted values, both bounded. Once the body has begun, a push costs nothing.
 *
 * A line that is neither a field nor a continuation ends the header section too, as it does for most readers.
 */
export interface HeaderSummary {
  /** Received fields: hops so far (RFC 5321 section 6.3). */
  readonly receivedCount: number;
  readonly fieldCount: number;
  /** Octets before the body, the empty line not counted. */
  readonly headerBytes: number;
  /** Where the body starts; the content's length when there is none. */
  readonly bodyAt: number;
  /** `limit`: the header section is longer than allowed, and what stands behind the limit was not looked at. */
  readonly endedBy: "empty-line" | "no-field" | "end-of-content" | "limit";
  /** Values of the wanted fields that occurred, by lower-case name, in order, unfolded and trimmed. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** Wanted fields that are longer than what is kept, or stand there more often: what their values say is not all. */
  readonly cut: ReadonlySet<string>;
}

export interface HeaderScannerOptions {
  /** The longest header section that is read. */
  readonly maxHeaderBytes: number;
  /** Lower-case names of the fields whose values are kept. */
  readonly wanted?: readonly string[] | undefined;
}

/** What reception looks at. */
const WANTED_FIELDS: readonly string[] = ["message-id", "date", "from", "delivered-to"];

const RECEPTION_SET: ReadonlySet<string> = new Set(WANTED_FIELDS);
const RECEPTION_MARKS = marksOf(WANTED_FIELDS);

const LF = 10;
const CR = 13;
const NOT_ASCII = /[^\x00-\x7f]/;
const SPACE = 32;
const TAB = 9;
const COLON = 58;
/** What is kept of one line, and of one value: far beyond any Message-ID or address. */
const MAX_KEPT = 4096;
/** Values kept of one name; a message with more Delivered-To fields is going round in circles anyway. */
const MAX_VALUES = 64;

export class HeaderScanner {
  readonly #maxHeaderBytes: number;
  readonly #wanted: ReadonlySet<string>;
  /** Length and first letter of the names that matter, so that most fields need no decoding. */
  readonly #marks: ReadonlySet<number>;
  readonly #values = new Map<string, string[]>();
  #endedBy: HeaderSummary["endedBy"] | undefined;
  #receivedCount = 0;
  #fieldCount = 0;
  #headerBytes = 0;
  #bodyAt = 0;
  /** Octets seen in all. */
  #seenBytes = 0;
  /** The beginning of the line whose end has not come, and its whole length. */
  #partial: Buffer | undefined;
  #partialBytes = 0;
  readonly #cut = new Set<string>();
  /** The wanted field being read. */
  #name: string | undefined;
  #value = "";

  constructor(options: HeaderScannerOptions) {
    this.#maxHeaderBytes = options.maxHeaderBytes;
    const wanted = options.wanted ?? WANTED_FIELDS;
    this.#wanted = wanted === WANTED_FIELDS ? RECEPTION_SET : new Set(wanted);
    this.#marks = wanted === WANTED_FIELDS ? RECEPTION_MARKS : marksOf(wanted);
  }

  /** The header section is over; further pushes only count. */
  get isComplete(): boolean {
    return this.#endedBy !== undefined;
  }

  push(slice: Buffer): void {
    this.#seenBytes += slice.length;
    let at = 0;
    while (this.#endedBy === undefined && at < slice.length) {
      const lf = slice.indexOf(LF, at);
      const end = lf < 0 ? slice.length : lf + 1;
      if (this.#headerBytes + this.#partialBytes + (end - at) > this.#maxHeaderBytes + 2) return this.#stop("limit");
      if (lf < 0) return this.#keepPartial(slice.subarray(at));
      if (this.#partial === undefined) this.#onLine(slice, at, end);
      else {
        this.#keepPartial(slice.subarray(at, end));
        this.#onPartialLine();
      }
      at = end;
    }
  }

  /** The content is complete. */
  end(): HeaderSummary {
    if (this.#endedBy === undefined && this.#partial !== undefined) this.#onPartialLine();
    if (this.#endedBy === undefined) this.#stop("end-of-content");
    return {
      receivedCount: this.#receivedCount,
      fieldCount: this.#fieldCount,
      headerBytes: this.#headerBytes,
      bodyAt: this.#endedBy === "end-of-content" ? this.#seenBytes : this.#bodyAt,
      endedBy: this.#endedBy ?? "end-of-content",
      values: this.#values,
      cut: this.#cut,
    };
  }

  #keepPartial(piece: Buffer): void {
    this.#partialBytes += piece.length;
    const held = this.#partial ?? Buffer.alloc(0);
    if (held.length < MAX_KEPT) this.#partial = Buffer.concat([held, piece.subarray(0, MAX_KEPT - held.length)]);
  }

  #onPartialLine(): void {
    const line = this.#partial ?? Buffer.alloc(0);
    const lengthBytes = this.#partialBytes;
    this.#partial = undefined;
    this.#partialBytes = 0;
    this.#onLine(line, 0, line.length, lengthBytes);
  }

  /** The line in `bytes` from `at` to `lineEnd`, its ending included; `lengthBytes` when less than the line is there. */
  #onLine(bytes: Buffer, at: number, lineEnd: number, lengthBytes = lineEnd - at): void {
    // A line that came whole is read no further than one that came in pieces.
    const end = Math.min(lineEnd, at + MAX_KEPT);
    const first = bytes[at];
    if (first === LF || (first === CR && bytes[at + 1] === LF)) return this.#stop("empty-line", lengthBytes);
    if (first === SPACE || first === TAB) {
      if (this.#fieldCount === 0) return this.#stop("no-field");
      if (this.#name !== undefined && this.#value.length < MAX_KEPT) this.#value += bytes.toString("latin1", at, end);
      if (this.#name !== undefined && (lengthBytes > end - at || this.#value.length >= MAX_KEPT))
        this.#cut.add(this.#name);
    } else {
      const colon = colonIn(bytes, at, end);
      if (colon < 0) return this.#stop("no-field");
      this.#finishField();
      this.#fieldCount++;
      this.#beginField(bytes, at, colon, end);
      if (this.#name !== undefined && lengthBytes > end - at) this.#cut.add(this.#name);
    }
    this.#headerBytes += lengthBytes;
    this.#bodyAt = this.#headerBytes;
  }

  #beginField(bytes: Buffer, at: number, colon: number, end: number): void {
    let nameEnd = colon;
    while (bytes[nameEnd - 1] === SPACE || bytes[nameEnd - 1] === TAB) nameEnd--;
    if (!this.#marks.has(markOf(nameEnd - at, (bytes[at] ?? 0) | 0x20))) return;
    const name = bytes.toString("latin1", at, nameEnd).toLowerCase();
    if (name === "received") this.#receivedCount++;
    if (!this.#wanted.has(name)) return;
    this.#name = name;
    this.#value = bytes.toString("latin1", colon + 1, end);
  }

  #finishField(): void {
    if (this.#name === undefined) return;
    // Collected as Latin-1, a character an octet; fields under RFC 6532 are UTF-8.
    const text = this.#value.slice(0, MAX_KEPT).replace(/\r?\n/g, "");
    const value = NOT_ASCII.test(text) ? Buffer.from(text, "latin1").toString("utf8") : text;
    const values = this.#values.get(this.#name) ?? [];
    if (values.length < MAX_VALUES) values.push(value.trim());
    else this.#cut.add(this.#name);
    this.#values.set(this.#name, values);
    this.#name = undefined;
    this.#value = "";
  }

  #stop(endedBy: HeaderSummary["endedBy"], emptyLineBytes = 0): void {
    this.#finishField();
    this.#endedBy = endedBy;
    this.#bodyAt = this.#headerBytes + emptyLineBytes;
    this.#partial = undefined;
  }
}

/** The offset of the colon of a field; -1 when the line is no field (RFC 5322 sections 2.2 and 4.5: blanks may precede it). */
function colonIn(bytes: Buffer, at: number, end: number): number {
  let nameEnd = at;
  while (nameEnd < end && isNameByte(bytes[nameEnd] ?? 0)) nameEnd++;
  if (nameEnd === at) return -1;
  let colon = nameEnd;
  while (colon < end && (bytes[colon] === SPACE || bytes[colon] === TAB)) colon++;
  return bytes[colon] === COLON && colon < end ? colon : -1;
}

function isNameByte(byte: number): boolean {
  return byte > SPACE && byte < 127 && byte !== COLON;
}

function marksOf(names: readonly string[]): ReadonlySet<number> {
  return new Set([...names, "received"].map((name) => markOf(name.length, name.charCodeAt(0))));
}

function markOf(length: number, firstLetter: number): number {
  return (length << 8) | firstLetter;
}
