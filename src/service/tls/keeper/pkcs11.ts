/** A key that stays in a token: `pkcs11:token=mail;object=mx` (RFC 7512). */
export function isPkcs11(key: string): boolean {
  return key.startsWith("pkcs11:");
}

/**
 * What OpenSSL's PKCS#11 provider reads instead of a key: the URI in a DER structure, in PEM form.
 *
 *     SEQUENCE { VisibleString "PKCS#11 Provider URI v1.0", UTF8String uri }
 */
export function pkcs11Pem(uri: string): string {
  const der = element(
    0x30,
    Buffer.concat([
      element(0x1a, Buffer.from("PKCS#11 Provider URI v1.0", "latin1")),
      element(0x0c, Buffer.from(uri, "utf8")),
    ]),
  );
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN PKCS#11 PROVIDER URI-----\n${lines.join("\n")}\n-----END PKCS#11 PROVIDER URI-----\n`;
}

/** X.690 section 8.1: tag, length in its shortest form, content. */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
