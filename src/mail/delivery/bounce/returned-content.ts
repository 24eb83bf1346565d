import { hasLongLine, isLineText } from "../../../protocol/dsn/encoding.ts";
import type { Returned } from "../../../protocol/dsn/dsn.ts";
import type { BounceSettings } from "./settings.ts";

/**
 * What of a message a notice returns: the whole message where it was asked for and is small enough, else the header.
 * Content that cannot travel inside a notice (binary, lines above 998 octets) is returned by its header, too. Reads no more
 * of the content than that needs.
 */
export async function returnedContent(
  content: AsyncIterable<Uint8Array>,
  sizeBytes: number,
  wants: "message" | "header",
  settings: BounceSettings,
): Promise<Returned> {
  const wantsWhole = wants === "message" && sizeBytes <= settings.returnUpTo;
  const most = wantsWhole ? settings.returnUpTo : settings.returnHeaderUpTo;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of content) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > most) break;
  }
  const bytes = Buffer.concat(chunks);
  if (wantsWhole && bytes.length <= most && isLineText(bytes) && !hasLongLine(bytes)) return { kind: "message", bytes };
  return { kind: "header", bytes: headerOf(bytes, settings.returnHeaderUpTo) };
}

/** The header with its last line end, cut at a line's end when it is longer than `most`. */
function headerOf(bytes: Buffer, most: number): Buffer {
  const end = bytes.indexOf("\r\n\r\n");
  if (bytes.subarray(0, 2).equals(Buffer.from("\r\n"))) return Buffer.alloc(0);
  if (end >= 0 && end + 2 <= most) return bytes.subarray(0, end + 2);
  const whole = bytes.subarray(0, most);
  const lastLine = whole.lastIndexOf("\r\n");
  return lastLine < 0 ? Buffer.alloc(0) : whole.subarray(0, lastLine + 2);
}
