/** TLS handshake messages for tests, as bytes. */

export interface HelloFields {
  readonly versions?: readonly number[];
  readonly ciphers?: readonly number[];
  /** In the order sent; those we know the content of are filled from the other fields. */
  readonly extensions?: readonly number[];
  readonly signatures?: readonly number[];
  readonly groups?: readonly number[];
  /** Each as bytes. */
  readonly alpn?: readonly Buffer[];
  readonly serverName?: string;
}

/** A vector with its length in front, in `size` bytes. */
export function vector(size: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length = Buffer.alloc(size);
  length.writeUIntBE(content.length, 0, size);
  return Buffer.concat([length, content]);
}

export function numbers16(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [at, value] of values.entries()) bytes.writeUInt16BE(value, at * 2);
  return bytes;
}

/** The body of a ClientHello (RFC 8446 section 4.1.2). */
export function clientHelloBody(fields: HelloFields): Buffer {
  const content = (type: number): Buffer => {
    switch (type) {
      case 0:
        return vector(2, Buffer.from([0]), vector(2, Buffer.from(fields.serverName ?? "mx.example", "latin1")));
      case 10:
        return vector(2, numbers16(fields.groups ?? [0x1d]));
      case 13:
        return vector(2, numbers16(fields.signatures ?? []));
      case 16:
        return vector(2, ...(fields.alpn ?? []).map((name) => vector(1, name)));
      case 43:
        return vector(1, numbers16(fields.versions ?? [0x0304]));
      case 51:
        return vector(
          2,
          ...(fields.groups ?? [0x1d]).map((group) => Buffer.concat([numbers16([group]), vector(2, Buffer.alloc(32))])),
        );
      default:
        return Buffer.alloc(0);
    }
  };
  const extensions = (fields.extensions ?? []).map((type) =>
    Buffer.concat([numbers16([type]), vector(2, content(type))]),
  );
  return Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1),
    vector(2, numbers16(fields.ciphers ?? [0x1301])),
    vector(1, Buffer.from([0])),
    ...(extensions.length === 0 ? [] : [vector(2, ...extensions)]),
  ]);
}

export function handshake(type: number, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(3, body)]);
}

export function record(type: number, content: Uint8Array, version = 0x0303): Buffer {
  return Buffer.concat([Buffer.from([type]), numbers16([version]), vector(2, content)]);
}

/** The body of a ServerHello, or of a HelloRetryRequest. */
export function serverHelloBody(fields: {
  version: number;
  cipher: number;
  group?: number;
  isRetry?: boolean;
}): Buffer {
  const retry = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");
  const share =
    fields.group === undefined
      ? []
      : [
          numbers16([51]),
          vector(2, numbers16([fields.group]), ...(fields.isRetry === true ? [] : [vector(2, Buffer.alloc(32))])),
        ];
  const version = fields.version === 0x0304 ? [numbers16([43]), vector(2, numbers16([0x0304]))] : [];
  return Buffer.concat([
    numbers16([Math.min(fields.version, 0x0303)]),
    fields.isRetry === true ? retry : Buffer.alloc(32, 9),
    vector(1),
    numbers16([fields.cipher]),
    Buffer.from([0]),
    vector(2, ...version, ...share),
  ]);
}
