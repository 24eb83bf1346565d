import { parseMailbox } from "../address/mailbox.ts";
import { parseAddressList } from "./address-list.ts";
import { unfold } from "./field.ts";
import { parseHeaderSection } from "./header-fields.ts";

/**
 * Changes domains of addresses in a header section and leaves every other octet as it is: folds, comments, display names,
 * encoded words, groups, the fields' order, the case of their names. A field whose value is no list of addresses stays as
 * it is as a whole, as do parts of an address that only old software writes (routes, blanks around the @).
 */
export type NewDomain = (address: { readonly local: string; readonly domain: string }) => string | undefined;

/** So much of a message's lists is looked at: two thousand addresses have room in it, and nobody else waits for it long. */
const MOST_BYTES = 64 * 1024;
// In Latin-1 each octet is a character, so that offsets are octets; what is beyond ASCII belongs to words.
const ATOM = "[!#$%&'*+\\-/0-9=?A-Z^_`a-z{|}~\\x80-\\xff]+";
const LOCAL_AND_DOMAIN = new RegExp(`(${ATOM}(?:\\.${ATOM})*)@(\\[[^\\]\\s]*\\]|${ATOM}(?:\\.${ATOM})*)`, "y");
const QUOTED_AND_DOMAIN = new RegExp(`("(?:[^"\\\\]|\\\\.)*")@(\\[[^\\]\\s]*\\]|${ATOM}(?:\\.${ATOM})*)`, "ys");

/** `message` begins with its header section; what stands behind that is not looked at. `names` are in lower case. */
export function changeDomains(message: Buffer, names: ReadonlySet<string>, newDomain: NewDomain): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  let bytesLeft = MOST_BYTES;
  for (const field of parseHeaderSection(message).fields) {
    if (!names.has(field.name.toLowerCase()) || field.end - field.start > bytesLeft) continue;
    bytesLeft -= field.end - field.start;
    const text = message.toString("latin1", field.start, field.end);
    const changed = changeField(text, newDomain);
    if (changed === text) continue;
    pieces.push(message.subarray(from, field.start), Buffer.from(changed, "latin1"));
    from = field.end;
  }
  return from === 0 ? message : Buffer.concat([...pieces, message.subarray(from)]);
}

function changeField(text: string, newDomain: NewDomain): string {
  const valueAt = text.indexOf(":") + 1;
  const list = parseAddressList(unfold(Buffer.from(text.slice(valueAt), "latin1").toString("utf8")));
  if (!list.ok) return text;
  let changed = text.slice(0, valueAt);
  let at = valueAt;
  // Inside of < > an address may follow a route, which is left alone; a word in front of < is a name, never an address.
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === "(") {
      const end = commentEnd(text, at);
      changed += text.slice(at, end);
      at = end;
      continue;
    }
    const pattern = character === '"' ? QUOTED_AND_DOMAIN : LOCAL_AND_DOMAIN;
    pattern.lastIndex = at;
    const address = pattern.exec(text);
    if (address !== null) {
      const [whole, local = "", domain = ""] = address;
      changed += `${local}@${replaced(local, domain, newDomain)}`;
      at += whole.length;
      continue;
    }
    const end = wordEnd(text, at);
    changed += text.slice(at, end);
    at = end;
  }
  return changed;
}

function replaced(local: string, domain: string, newDomain: NewDomain): string {
  const written = [local, domain].map((part) => Buffer.from(part, "latin1").toString("utf8")).join("@");
  const mailbox = parseMailbox(written, { isInternational: true });
  if (!mailbox.ok || mailbox.value.domain.kind !== "name") return domain;
  const other = newDomain({ local: mailbox.value.local, domain: mailbox.value.domain.ascii });
  return other ?? domain;
}

/** Behind what begins here: a quoted string, a literal, a word with all that hangs on it, or one other character. */
function wordEnd(text: string, from: number): number {
  const character = text.charAt(from);
  if (character === '"' || character === "[") {
    const close = character === "[" ? "]" : '"';
    for (let at = from + 1; at < text.length; at++) {
      if (text[at] === "\\") at++;
      else if (text[at] === close) return at + 1;
    }
    return text.length;
  }
  const word = /[^\s()<>[\]:;@,"]+/y;
  word.lastIndex = from;
  return from + (word.exec(text)?.[0].length ?? 1);
}

function commentEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "(") depth++;
    else if (text[at] === ")" && --depth === 0) return at + 1;
  }
  return text.length;
}
