/** The pieces of a text in PEM form (RFC 7468). */
export interface PemBlocks {
  readonly certificates: readonly string[];
  readonly keys: readonly string[];
}

/** Nobody's chain is as long. */
const MOST_BLOCKS = 1000;

/**
 * Finds certificates and private keys in a text, in their order, each as a PEM text of its own. White space is taken as
 * tables leave it: lines may be joined by spaces, or by `\n` written as two characters.
 */
export function pemBlocks(text: string): PemBlocks {
  const certificates: string[] = [];
  const keys: string[] = [];
  const plain = text.replaceAll("\\n", "\n");
  let count = 0;
  for (const match of plain.matchAll(/-----BEGIN ([A-Z0-9# ]{1,60})-----([^-]*)-----END \1-----/g)) {
    if (++count > MOST_BLOCKS) break;
    const [, label = "", body = ""] = match;
    if (label === "CERTIFICATE") certificates.push(wrapped(label, body));
    else if (label.endsWith("PRIVATE KEY")) keys.push(wrapped(label, body));
  }
  return { certificates, keys };
}

/** Key files of old tools have header lines before the base64 (RFC 1421); those stay as they are. */
function wrapped(label: string, body: string): string {
  if (body.includes(":")) return `-----BEGIN ${label}-----${body}-----END ${label}-----\n`;
  const lines = body.replace(/\s+/g, "").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
