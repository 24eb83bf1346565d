import { splitAddress, unquote } from "../../protocol/address/mailbox.ts";
import { foldName } from "../../service/table/pattern.ts";
import type { Envelope } from "./envelope.ts";

/**
 * The extension of a local part: `jane+lists` is jane, with the extension lists. `delimiters` is a set of characters (the
 * first of them in the name counts, but not at its beginning); empty: names have no extensions. A minus divides none of the
 * names that lists and mail servers have with one in them, as in Postfix: whoever is called owner is not the owner of all lists.
 */
export function splitExtension(
  localPart: string,
  delimiters: string,
): { readonly user: string; readonly delimiter: string; readonly extension: string } {
  for (let at = 1; at < localPart.length; at++) {
    const delimiter = localPart.charAt(at);
    if (delimiters.includes(delimiter) && !(delimiter === "-" && WHOLE.test(localPart)))
      return { user: localPart.slice(0, at), delimiter, extension: localPart.slice(at + 1) };
  }
  return { user: localPart, delimiter: "", extension: "" };
}

const WHOLE = /^owner-|-request$|^mailer-daemon$/i;

/** The names under which a local part may be known: with its extension, then without. Folded as tables fold them. */
export function namesOf(localPart: string, delimiters: string): readonly string[] {
  const name = foldName(localPart);
  const { user, delimiter } = splitExtension(name, delimiters);
  return delimiter === "" ? [name] : [name, user];
}

/** What the recipient of an envelope is called, without the extension. Folded as tables fold it. */
export function nameOfRecipient(
  { recipient, target }: Pick<Envelope, "recipient" | "target">,
  delimiters: string,
): string {
  if (target?.kind === "user") return foldName(target.user);
  return splitExtension(foldName(unquote(splitAddress(recipient).local)), delimiters).user;
}
