/**
 * The extension of a local part: `jane+lists` is jane, with the extension lists. `delimiters` is a set of characters (the
 * first of them in the name counts, but not at its beginning); empty: names have no extensions.
 */
export function splitExtension(
  localPart: string,
  delimiters: string,
): { readonly user: string; readonly delimiter: string; readonly extension: string } {
  for (let at = 1; at < localPart.length; at++) {
    const delimiter = localPart.charAt(at);
    if (delimiters.includes(delimiter))
      return { user: localPart.slice(0, at), delimiter, extension: localPart.slice(at + 1) };
  }
  return { user: localPart, delimiter: "", extension: "" };
}

/** The names under which a local part may be known: with its extension, then without. Folded as tables fold them. */
export function namesOf(localPart: string, delimiters: string): readonly string[] {
  const name = localPart.toLowerCase();
  const { user, delimiter } = splitExtension(name, delimiters);
  return delimiter === "" ? [name] : [name, user];
}
