/**
 * SASLprep (RFC 4013), how SCRAM makes one text of what different keyboards write. Unassigned code points are let through:
 * what was unassigned in 2002 is written today.
 */

// RFC 3454 table C.1.2, which RFC 4013 section 2.1 maps to a space.
const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g;
// RFC 3454 table B.1: commonly mapped to nothing.
const NOTHING = new RegExp(
  "\\u{ad}|\\u{34f}|\\u{1806}|[\\u{180b}-\\u{180d}]|\\u{200c}|\\u{200d}|\\u{2060}|[\\u{fe00}-\\u{fe0f}]|\\u{feff}",
  "gu",
);
// RFC 4013 section 2.3: control characters, private use, non-characters, lone surrogates, and what is for layout or tags.
const PROHIBITED = new RegExp(
  "[\\u{0}-\\u{1f}\\u{7f}-\\u{9f}\\u{6dd}\\u{70f}\\u{180e}\\u{2028}\\u{2029}\\u{2061}-\\u{2063}\\u{206a}-\\u{206f}\\u{fff9}-\\u{fffd}" +
    "\\u{1d173}-\\u{1d17a}\\u{340}\\u{341}\\u{200e}\\u{200f}\\u{202a}-\\u{202e}\\u{2ff0}-\\u{2ffb}\\u{e0001}\\u{e0020}-\\u{e007f}]" +
    "|\\p{Co}|\\p{Cs}|\\p{Noncharacter_Code_Point}",
  "u",
);
// RFC 3454 table D.1 by script: letters that are written from right to left.
const RIGHT_TO_LEFT = new RegExp(
  "[\\u{5be}\\u{5c0}\\u{5c3}]|(?=\\p{L})[\\p{Script=Hebrew}\\p{Script=Arabic}\\p{Script=Syriac}\\p{Script=Thaana}]",
  "u",
);
const LEFT_TO_RIGHT = new RegExp(
  "(?=\\p{L})[^\\p{Script=Hebrew}\\p{Script=Arabic}\\p{Script=Syriac}\\p{Script=Thaana}]",
  "u",
);

/** Undefined for what may not stand in a name or password; `""` stays what it is. */
export function saslprep(text: string): string | undefined {
  const mapped = mapForSasl(text);
  if (PROHIBITED.test(mapped) || !isOneWay(mapped)) return undefined;
  return mapped;
}

/** The mapping and NFKC alone, for a side that leaves the prohibitions to the other one. */
export function mapForSasl(text: string): string {
  return text.replace(SPACES, " ").replace(NOTHING, "").normalize("NFKC");
}

/** RFC 3454 section 6: with a letter from right to left there is none from left to right, and such ones at both ends. */
function isOneWay(text: string): boolean {
  if (!RIGHT_TO_LEFT.test(text)) return true;
  if (LEFT_TO_RIGHT.test(text)) return false;
  const letters = Array.from(text);
  return [letters[0], letters.at(-1)].every((letter) => letter !== undefined && RIGHT_TO_LEFT.test(letter));
}
