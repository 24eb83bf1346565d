/**
 * Cuts a mail that comes in pieces into its header section and its body. The header is given whole, in the form that edits
 * have: each field ends in CRLF, and the empty line is gone. What has no empty line is all header.
 */
export function headerSplitter(mostHeaderBytes: number): {
  /** What of the piece belongs to the body; undefined while the header is not over. Throws beyond the bound. */
  push(piece: Buffer): Buffer | undefined;
  /** Undefined until it is over; after `end` it is. */
  header(): Buffer | undefined;
  end(): void;
} {
  let kept = Buffer.alloc(0);
  let header: Buffer | undefined;
  return {
    push(piece) {
      if (header !== undefined) return piece;
      kept = Buffer.concat([kept, piece]);
      const found = /^\r?\n|\r?\n\r?\n/.exec(kept.toString("latin1"));
      if ((found?.index ?? kept.length) > mostHeaderBytes)
        throw new Error(`it gave a header section of more than ${mostHeaderBytes} bytes`);
      if (found === null) return undefined;
      header = found.index === 0 ? Buffer.alloc(0) : linesOf(kept.subarray(0, found.index));
      const body = kept.subarray(found.index + found[0].length);
      kept = Buffer.alloc(0);
      return body;
    },
    header: () => header,
    end() {
      header ??= linesOf(kept);
    },
  };
}

function linesOf(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1").replace(/\r?\n$/, "");
  return text === "" ? Buffer.alloc(0) : Buffer.from(`${text.replace(/\r?\n/g, "\r\n")}\r\n`, "latin1");
}

/** Makes each line end in CRLF, however the text was cut: for bodies of programs that write LF. */
export function crlfMaker(): (piece: Buffer) => Buffer {
  let endsInCr = false;
  return (piece) => {
    const before = endsInCr ? "\r" : "";
    if (piece.length > 0) endsInCr = piece.at(-1) === CR;
    if (onlyCrlf(piece, before !== "")) return piece;
    const text = `${before}${piece.toString("latin1")}`.replace(/(?<!\r)\n/g, "\r\n");
    return Buffer.from(text.slice(before.length), "latin1");
  };
}

function onlyCrlf(piece: Buffer, endsInCr: boolean): boolean {
  for (let lf = piece.indexOf(LF); lf >= 0; lf = piece.indexOf(LF, lf + 1))
    if (lf === 0 ? !endsInCr : piece[lf - 1] !== CR) return false;
  return true;
}

const CR = 13;
const LF = 10;
