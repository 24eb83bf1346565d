/** `4.7.1 Greylisted` → the enhanced status (RFC 3463) and the text behind it; all of it is text where there is none. */
export function parseEnhancedStatus(text: string): { readonly status?: string; readonly text: string } {
  const found = /^([245]\.\d{1,3}\.\d{1,3})(?:\s+(.*))?$/.exec(text);
  return found?.[1] === undefined ? { text } : { status: found[1], text: found[2] ?? "" };
}
