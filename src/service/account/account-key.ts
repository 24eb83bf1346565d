import { foldKey } from "../table/pattern.ts";

/**
 * One name for all writings that may open the same account, for what is counted by account. Tables fold their keys;
 * databases and directories, by their own rules, leave out spaces at the ends, accents and characters that cannot be
 * seen. A count that took them apart could be begun anew with each of them. Never shown as the account's name.
 */
export function accountKey(name: string): string {
  const plain = name
    .normalize("NFKD")
    .replace(UNSEEN, "")
    .replace(/\s+/gu, " ")
    .trim()
    // Also what has more than one letter in upper case.
    .toUpperCase()
    .toLowerCase();
  return foldKey(plain.normalize("NFC")).slice(0, LONGEST);
}

/** Accents of letters that have a form without, and control and format characters; white space is another matter. */
const UNSEEN = /[\u0300-\u036f\p{Cf}]|(?!\s)\p{Cc}/gu;
const LONGEST = 255;
