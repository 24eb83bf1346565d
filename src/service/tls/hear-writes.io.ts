import type { Duplex } from "node:stream";

/**
 * Tells what is written into a stream, before it is encrypted. Only for a connection whose decrypted content somebody asked
 * for: the stream's own methods are replaced for it.
 */
export function hearWrites(stream: Duplex, tell: (bytes: Uint8Array) => void): void {
  const hear = ([chunk, encoding]: readonly unknown[]): void => {
    if (chunk instanceof Uint8Array) tell(chunk);
    else if (typeof chunk === "string")
      tell(Buffer.from(chunk, typeof encoding === "string" && Buffer.isEncoding(encoding) ? encoding : "utf8"));
  };
  const write = stream.write.bind(stream);
  const end = stream.end.bind(stream);
  stream.write = (...given: unknown[]): boolean => {
    hear(given);
    return Boolean(Reflect.apply(write, stream, given));
  };
  stream.end = (...given: unknown[]): typeof stream => {
    hear(given);
    Reflect.apply(end, stream, given);
    return stream;
  };
}
