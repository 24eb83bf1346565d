import { ok, refused, type Result } from "../../foundation/result.ts";

/**
 * The milter protocol's packets: four octets of length (most significant first), one octet that says what it is, data. Nobody
 * wrote the protocol down as a standard; it is what Sendmail's libmilter and the mail servers beside it speak. Strings in the
 * data end in NUL.
 */
export interface MilterPacket {
  /** One character. */
  readonly code: string;
  readonly data: Buffer;
}

/** What fits into one BODY packet; libmilter closes the connection at more. */
export const BODY_CHUNK_BYTES = 65_535;

/** The largest packet that is taken: libmilter's are of 64 KiB, others send a replaced body in larger pieces. */
const MOST_PACKET_BYTES = 1 << 20;

/** A packet of its code and parts: text is a string with its NUL, bytes stand as they are. */
export function milterPacket(code: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const pieces = parts.map((part) => (typeof part === "string" ? milterString(part) : part));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + pieces.reduce((sum, piece) => sum + piece.length, 0));
  head.write(code, 4, 1, "latin1");
  return Buffer.concat([head, ...pieces]);
}

/** A NUL inside would end it early, and move what follows. */
export function milterString(text: string): Buffer {
  return Buffer.from(`${text.replaceAll("\0", "")}\0`, "utf8");
}

export function milterNumber(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/**
 * Reads a stream of packets, however it is cut. After a length that no packet has, nothing can be understood any more: the
 * answer is a refusal, for ever. Keeps at most one packet, and no more of it than has come.
 */
export function milterPacketReader(
  mostBytes = MOST_PACKET_BYTES,
): (chunk: Uint8Array) => Result<readonly MilterPacket[], string> {
  let pieces: Uint8Array[] = [];
  let held = 0;
  let wanted = 4;
  let isHead = true;
  let problem: string | undefined;

  return (chunk) => {
    if (problem !== undefined) return refused(problem);
    const packets: MilterPacket[] = [];
    let at = 0;
    while (at < chunk.length) {
      const part = chunk.subarray(at, at + wanted - held);
      // A copy: the socket's buffer is used again.
      pieces.push(Buffer.from(part));
      held += part.length;
      at += part.length;
      if (held < wanted) break;
      const whole = Buffer.concat(pieces);
      pieces = [];
      held = 0;
      if (isHead) {
        wanted = whole.readUInt32BE();
        if (wanted < 1 || wanted > mostBytes) {
          problem = `a packet of ${wanted} bytes`;
          return refused(problem);
        }
      } else {
        packets.push({ code: String.fromCharCode(whole[0] ?? 0), data: whole.subarray(1) });
        wanted = 4;
      }
      isHead = !isHead;
    }
    return ok(packets);
  };
}

/** The strings in a packet's data; undefined where the last one has no NUL. */
export function milterStrings(data: Buffer, encoding: "utf8" | "latin1" = "utf8"): readonly string[] | undefined {
  const found: string[] = [];
  let at = 0;
  while (at < data.length) {
    const end = data.indexOf(0, at);
    if (end < 0) return undefined;
    found.push(data.toString(encoding, at, end));
    at = end + 1;
  }
  return found;
}
