/**
 * What is said to clamd and what it answers (clamd(8)): commands that end in NUL behind a `z`, content in chunks behind their
 * length, and one line as the answer.
 */
export function clamdCommand(word: "INSTREAM" | "PING"): Buffer {
  return Buffer.from(`z${word}\0`, "latin1");
}

/** What stands in front of each chunk of INSTREAM: its length, four octets, the highest first. */
export function clamdChunkHead(length: number): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(length);
  return head;
}

/** Behind the last chunk. */
export const CLAMD_END: Buffer = clamdChunkHead(0);

export type ClamdReply =
  | { readonly kind: "clean" }
  /** By the name of the signature; what the scanner adds to it in brackets is left out. */
  | { readonly kind: "found"; readonly signature: string }
  /** Larger than its StreamMaxLength; nothing was looked at. */
  | { readonly kind: "too-big" }
  | { readonly kind: "pong" }
  | { readonly kind: "failed"; readonly text: string };

/** One answer, without its final NUL or line end. */
export function parseClamdReply(line: string): ClamdReply {
  if (line === "PONG") return { kind: "pong" };
  if (/^INSTREAM size limit exceeded/i.test(line)) return { kind: "too-big" };
  const answer = /^(?:stream|instream\([^)]*\)): (.*)$/s.exec(line)?.[1];
  if (answer === "OK") return { kind: "clean" };
  const found = answer === undefined ? undefined : /^(\S.*?)(?:\([0-9a-f]{32,}:\d+\))? FOUND$/.exec(answer)?.[1];
  if (found !== undefined) return { kind: "found", signature: found.slice(0, SHOWN) };
  if (line.endsWith(" ERROR")) return { kind: "failed", text: `it said ${JSON.stringify(line.slice(0, SHOWN))}` };
  return { kind: "failed", text: `${JSON.stringify(line.slice(0, SHOWN))} is no answer of clamd` };
}

const SHOWN = 200;

/** Reads one answer, however it is cut. Gives it when it is whole; keeps at most `mostBytes`, and says then what came so far. */
export function clamdReplyReader(mostBytes = 4096): {
  push(chunk: Uint8Array): string | undefined;
  /** The connection ended: what came, if anything did. */
  end(): string | undefined;
} {
  let kept = Buffer.alloc(0);
  let isWhole = false;
  return {
    push(chunk) {
      if (isWhole) return undefined;
      kept = Buffer.concat([kept, chunk.subarray(0, mostBytes - kept.length)]);
      const end = kept.findIndex((byte) => byte === 0 || byte === 10);
      if (end < 0 && kept.length < mostBytes) return undefined;
      isWhole = true;
      return kept.toString("utf8", 0, end < 0 ? kept.length : end).trimEnd();
    },
    end: () => (isWhole || kept.length === 0 ? undefined : kept.toString("utf8").trimEnd()),
  };
}
