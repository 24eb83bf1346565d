/** What is said over saslauthd's socket: counted texts, two octets of length each; the answer is one text. */
export interface SaslauthdQuestion {
  readonly user: string;
  readonly password: string;
  readonly service: string;
  readonly realm: string;
}

const MOST_TEXT_BYTES = 1024;

/** Undefined where a text is longer than saslauthd reads. */
export function saslauthdQuestion({ user, password, service, realm }: SaslauthdQuestion): Buffer | undefined {
  const texts = [user, password, service, realm].map((text) => Buffer.from(text));
  if (texts.some((text) => text.length > MOST_TEXT_BYTES)) return undefined;
  return Buffer.concat(
    texts.flatMap((text) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(text.length);
      return [length, text];
    }),
  );
}

export type SaslauthdAnswer =
  | { readonly kind: "right" }
  | { readonly kind: "wrong"; readonly because: string | undefined };

/** Undefined while the answer is not whole; a text where it is no answer. */
export function parseSaslauthdAnswer(bytes: Buffer): SaslauthdAnswer | string | undefined {
  if (bytes.length < 2) return undefined;
  const length = bytes.readUInt16BE(0);
  if (bytes.length < 2 + length) return undefined;
  const text = bytes
    .subarray(2, 2 + length)
    .toString()
    .replace(/\0/g, "");
  const words = text.slice(2).trim();
  if (text.startsWith("OK")) return { kind: "right" };
  if (text.startsWith("NO")) return { kind: "wrong", because: words === "" ? undefined : words };
  return `saslauthd gave no answer that we know: ${JSON.stringify(text.slice(0, 80))}`;
}
