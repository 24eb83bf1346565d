import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";

/**
 * How ESMTP parameters carry free text: xtext (RFC 3461 section 4) for bytes, utf-8-addr-xtext and utf-8-addr-unitext
 * (RFC 6533 section 3) for internationalised addresses.
 */
const XTEXT = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*$/i;

/** Decoded: one character (U+0000 to U+00FF) a byte. */
export function decodeXtext(text: string): Result<string, Problem> {
  if (!XTEXT.test(text)) return refused({ at: 0, expected: "xtext (RFC 3461 section 4)" });
  return ok(
    text.includes("+")
      ? text.replace(/\+(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
      : text,
  );
}

/** Encodes text of U+0000 to U+00FF; text beyond that is encoded as the bytes of its UTF-8. */
export function encodeXtext(text: string): string {
  const bytes = /[^\x00-\xff]/.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
  return bytes.replace(/[^\x21-\x2a\x2c-\x3c\x3e-\x7e]/g, (character) => {
    return `+${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

const UNITEXT = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]|[^\x00-\x7f]|\\x\{[0-9A-F]{2,6}\})*$/iu;

/** utf-8-addr-xtext or utf-8-addr-unitext, decoded. Surrogates and the null character are no characters here. */
export function decodeUtf8Address(text: string): Result<string, Problem> {
  if (!UNITEXT.test(text)) return refused({ at: 0, expected: "utf-8-addr-xtext (RFC 6533 section 3)" });
  let isValid = true;
  const decoded = text.replace(/\\x\{([^}]*)\}/g, (_, hex: string) => {
    const code = Number.parseInt(hex, 16);
    if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      isValid = false;
      return "";
    }
    return String.fromCodePoint(code);
  });
  return isValid ? ok(decoded) : refused({ at: 0, expected: "a Unicode scalar value in \\x{}" });
}

/** utf-8-addr-xtext: pure ASCII, for a next host without SMTPUTF8; the identity on harmless ASCII. */
export function encodeUtf8AddressXtext(text: string): string {
  return text.replace(/[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]/gu, (character) => {
    return `\\x{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(2, "0")}}`;
  });
}

/** utf-8-addr-unitext: for a next host with SMTPUTF8, only what ASCII forbids is encoded. */
export function encodeUtf8AddressUnitext(text: string): string {
  return text.replace(/[\x00-\x20+=\\\x7f]/g, (character) => {
    return `\\x{${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}}`;
  });
}
