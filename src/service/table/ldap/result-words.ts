/** What a directory's result codes say (RFC 4511 appendix A.2); its own words follow where it has some. */
const WORDS: Readonly<Record<number, string>> = {
  1: "operations error: does it want a login before a search?",
  2: "protocol error",
  3: "the server's time limit is exceeded",
  4: "the server's size limit is exceeded",
  7: "the way to log in is not supported",
  8: "stronger authentication is required",
  10: "the entries are with another server",
  11: "the server's administrative limit is exceeded",
  12: "a critical extension is not available",
  13: "the server wants encryption first",
  18: "the filter compares an attribute in a way that it does not know",
  21: "a value has not the form of its attribute",
  32: "the base does not exist",
  34: "the base is no distinguished name",
  48: "this login is not appropriate for the entry",
  49: "the login is refused",
  50: "this login may not do that",
  51: "the server is busy",
  52: "the server is not available",
  53: "the server is not willing",
  54: "a loop was found",
};

/** One line: the code's words, the number, and what the server added. */
export function resultWords(code: number, message: string): string {
  // The library puts the number behind the server's own words.
  const added = message.replace(/\s*Code: 0x[0-9a-f]+\s*$/i, "").trim();
  return `${WORDS[code] ?? "the server answers with an error"} (LDAP result ${code}${added === "" ? "" : `: ${added}`})`;
}
