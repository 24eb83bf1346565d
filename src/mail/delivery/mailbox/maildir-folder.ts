/**
 * The directory of a Maildir++ folder that an address's extension means: `lists` is `.lists`, `lists.posthorn` is the folder
 * posthorn in lists. Names are written in IMAP's modified UTF-7 (RFC 3501 section 5.1.3), as Dovecot and Courier do. Undefined
 * where the extension can be no folder's name: then the mail goes into the mailbox itself.
 */
export function maildirFolder(extension: string): string | undefined {
  if (extension === "" || /[/\u0000-\u001f\u007f]/.test(extension)) return undefined;
  const parts = extension.split(".");
  // INBOX is the mailbox itself; `..` would be a way out, and an empty part is none.
  if (parts.some((part) => part === "" || part === "~") || parts[0]?.toLowerCase() === "inbox") return undefined;
  const name = `.${modifiedUtf7(extension)}`;
  return name.length > MOST_NAME_LENGTH ? undefined : name;
}

const MOST_NAME_LENGTH = 200;

function modifiedUtf7(text: string): string {
  return text.replace(/&|[^\x20-\x7e]+/g, (piece) => {
    if (piece === "&") return "&-";
    const wide = Buffer.from(piece, "utf16le").swap16();
    return `&${wide.toString("base64").replace(/=+$/, "").replaceAll("/", ",")}-`;
  });
}
