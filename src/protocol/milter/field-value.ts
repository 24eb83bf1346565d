/**
 * Field values as milters see them: line ends inside are LF, and the one space behind the colon is not shown unless the
 * milter asked for it (Sendmail takes one space, and no tab).
 */

const SPACE = 0x20;
const LF = 0x0a;
const CR = 0x0d;

/** Of what stands behind the colon, without the CRLF at the end. NUL, which would end it, falls away. */
export function valueForMilter(raw: Uint8Array, keepsSpace: boolean): Uint8Array {
  const from = !keepsSpace && raw[0] === SPACE ? 1 : 0;
  return raw.subarray(from).filter((byte, at, all) => byte !== 0 && !(byte === CR && all[at + 1] === LF));
}

/**
 * Of a milter, as it is to stand behind the colon. Lines end in CRLF and go on with white space, whatever it wrote, so that no
 * value brings a second field or ends the header.
 */
export function valueOfMilter(text: string, keepsSpace: boolean): string {
  const lines = text
    .split(/\r\n|\r|\n/)
    .map((line) => line.replace(/[\x00-\x08\x0b-\x1f\x7f]+/g, " ").toWellFormed())
    .filter((line, at) => at === 0 || /[^ \t]/.test(line))
    .map((line, at) => (at === 0 || /^[ \t]/.test(line) ? line : `\t${line}`));
  return `${keepsSpace ? "" : " "}${lines.join("\r\n")}`;
}
