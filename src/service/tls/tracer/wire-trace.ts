import { escapeControls } from "../../../foundation/escape.ts";
import type { Direction } from "../flight/flight.ts";
import type { TraceLevel } from "./trace-switches.ts";
import type { WireWatch } from "../tls.ts";

/**
 * The lines of levels 2 to 4 of one connection, as it goes: the steps, and hex with ASCII beside it, 16 bytes a line. At most
 * `bytesLimit` bytes are shown, then one line says that more was left out. Levels 0 and 1 need no eye on the wire:
 * undefined.
 */
export function wireTrace(options: {
  readonly level: TraceLevel;
  readonly bytesLimit: number;
  readonly tell: (line: string) => void;
}): WireWatch | undefined {
  const { level, tell } = options;
  if (level < 2) return undefined;
  const offsets: Record<Direction, number> = { in: 0, out: 0 };
  let left = options.bytesLimit;
  let isCut = false;
  const bytes = (direction: Direction, given: Uint8Array, isHandshake: boolean): void => {
    const from = offsets[direction];
    offsets[direction] += given.length;
    if (level < 4 && !isHandshake) return;
    const shown = given.subarray(0, left);
    left -= shown.length;
    for (const line of hexLines(shown, from)) tell(`${ARROWS[direction]} ${line}`);
    if (shown.length < given.length && !isCut) {
      isCut = true;
      tell(`${ARROWS[direction]} more than ${options.bytesLimit} bytes: the rest of this connection is left out`);
    }
  };
  return {
    event: ({ atMs, direction, what, detail, bytes: size }) => {
      const parts = [`${ARROWS[direction]} ${atMs} ms ${escapeControls(what)}`];
      if (detail !== undefined) parts.push(`: ${escapeControls(detail)}`);
      if (size > 0) parts.push(` (${size} bytes)`);
      tell(parts.join(""));
    },
    ...(level < 3 ? {} : { bytes }),
  };
}

/** As tools of old show it; `-->` is from us. */
const ARROWS: Readonly<Record<Direction, string>> = { in: "<--", out: "-->" };

/** `00000010  16 03 01 02 00 01 00 01  fc 03 03 …  |........…|`, in printable ASCII only. */
export function hexLines(bytes: Uint8Array, from = 0): readonly string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    const text = row.map((byte) => (isShown(byte) ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${(from + at).toString(16).padStart(8, "0")}  ${left}  ${right}  |${text}|`);
  }
  return lines;
}

/** Printable; but no backslash, which the log would double and so move what follows. */
function isShown(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
}
