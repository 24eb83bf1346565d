/** A value within a search filter (RFC 4515 section 3): what has a meaning there is written as its bytes. */
export function escapeFilterValue(value: string): string {
  return value.replace(/[\0()*\\]/g, (char) => `\\${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** A value within a distinguished name (RFC 4514 section 2.4). */
export function escapeDnValue(value: string): string {
  return value
    .replace(/[",+;<>=\\]/g, "\\$&")
    .replaceAll("\0", "\\00")
    .replace(/^[ #]/, "\\$&")
    .replace(/(?<!\\) $/, "\\ ");
}
