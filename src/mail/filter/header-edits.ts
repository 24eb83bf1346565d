import { addressOfPath, parsePath } from "../../protocol/address/path.ts";
import { fieldOf, rawFieldsOf, type RawField } from "../../protocol/message/raw-fields.ts";
import type { KeptContent, MailEdit } from "./filter.ts";
import { filterFailed } from "./failed.ts";
import { RecipientEdits } from "./recipient-edits.ts";

/** What the edits of one filter make of a mail; what they leave alone stays byte for byte as it was. */
export interface Edited {
  readonly header: Buffer;
  readonly hasNewHeader: boolean;
  readonly body?: KeptContent | undefined;
  readonly sender?: string | undefined;
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** A filter's header section at most: far beyond any that reception takes. */
const MOST_HEADER_BYTES = 4 << 20;
const MOST_EDITS = 10_000;
const NOBODY: readonly string[] = [];
const NAME = /^[\x21-\x39\x3b-\x7e]{1,200}$/;

/** In their order. Throws `FILTER_FAILED` where an edit makes no sense: then none of them is done. */
export function applyEdits(header: Buffer, edits: readonly MailEdit[]): Edited {
  if (edits.length === 0) return { header, hasNewHeader: false, added: NOBODY, removed: NOBODY };
  if (edits.length > MOST_EDITS) throw nonsense(`wants ${edits.length} changes of one mail`);
  let fields: FieldList | undefined;
  const mostBytes = Math.max(MOST_HEADER_BYTES, 2 * header.length);
  let body: KeptContent | undefined;
  let sender: string | undefined;
  const recipients = new RecipientEdits();
  for (const edit of edits) {
    switch (edit.edit) {
      case "replace-body":
        body = edit.body;
        break;
      case "sender":
        sender = senderIn(addressIn(edit.sender));
        break;
      case "add-recipient":
        recipients.add(addressIn(edit.recipient));
        break;
      case "remove-recipient":
        recipients.remove(addressIn(edit.recipient));
        break;
      case "replace-header":
        fields = new FieldList(lineEnded(edit.header));
        break;
      case "add-field":
      case "change-field":
      case "remove-field":
        fields ??= new FieldList(header);
        fields.edit(edit);
    }
    if (fields !== undefined && fields.sizeBytes > mostBytes) throw nonsense("makes the header too large");
  }
  const { added, removed } = recipients;
  if (fields === undefined) return { header, hasNewHeader: false, body, sender, added, removed };
  const changed = fields.bytes();
  return { header: changed, hasNewHeader: !changed.equals(header), body, sender, added, removed };
}

type FieldEdit = Extract<MailEdit, { edit: "add-field" | "change-field" | "remove-field" }>;

/**
 * Fields as the edits leave them. Who writes a mail chooses how many fields it has, and with that how many edits a filter makes: names
 * are kept as numbers, in which the nth is found without a look at the fields, and nothing is copied for an edit.
 */
class FieldList {
  readonly #fields: RawField[];
  /** Of the field at the same place, the number of its name. */
  readonly #names: number[];
  readonly #numbers = new Map<string, number>();
  sizeBytes: number;

  constructor(header: Buffer) {
    this.#fields = [...rawFieldsOf(header)];
    this.#names = this.#fields.map(({ name }) => this.#numberOf(name));
    this.sizeBytes = header.length;
  }

  edit(edit: FieldEdit): void {
    const { name } = edit;
    switch (edit.edit) {
      case "add-field": {
        const { length } = this.#fields;
        const at = edit.at === undefined ? length : Math.min(Math.max(0, Math.trunc(edit.at)), length);
        return this.#put(at, 0, fieldMade(name, edit.value, edit.encoding));
      }
      case "change-field": {
        const field = fieldMade(name, edit.value, edit.encoding);
        const at = this.#placeOf(name, edit.nth);
        return at < 0 ? this.#put(this.#fields.length, 0, field) : this.#put(at, 1, field);
      }
      case "remove-field": {
        if (edit.nth === undefined) return this.#removeAll(name);
        const at = this.#placeOf(name, edit.nth);
        return at < 0 ? undefined : this.#put(at, 1);
      }
    }
  }

  bytes(): Buffer {
    return Buffer.concat(this.#fields.map(({ raw }) => raw));
  }

  /** The place of the nth field of a name, from 1; -1 where there is none. */
  #placeOf(name: string, nth: number): number {
    const number = this.#numberOf(name);
    if (!(nth >= 1)) return -1;
    let at = this.#names.indexOf(number);
    for (let seen = 1; seen < nth && at >= 0; seen++) at = this.#names.indexOf(number, at + 1);
    return at;
  }

  #put(at: number, removed: number, field?: RawField): void {
    for (const old of this.#fields.slice(at, at + removed)) this.sizeBytes -= old.raw.length;
    if (field === undefined) {
      this.#fields.splice(at, removed);
      this.#names.splice(at, removed);
      return;
    }
    this.#fields.splice(at, removed, field);
    this.#names.splice(at, removed, this.#numberOf(field.name));
    this.sizeBytes += field.raw.length;
  }

  #removeAll(name: string): void {
    const number = this.#numberOf(name);
    let kept = 0;
    for (const [at, field] of this.#fields.entries()) {
      if (this.#names[at] === number) this.sizeBytes -= field.raw.length;
      else {
        this.#fields[kept] = field;
        this.#names[kept] = this.#names[at] ?? number;
        kept++;
      }
    }
    this.#fields.length = kept;
    this.#names.length = kept;
  }

  #numberOf(name: string): number {
    const key = name.toLowerCase();
    const known = this.#numbers.get(key) ?? this.#numbers.size;
    this.#numbers.set(key, known);
    return known;
  }
}

/**
 * One field and nothing else, whatever the value holds: a line end that no blank follows gets one, and octets that may stand
 * in no field become spaces.
 */
function fieldMade(name: string, value: string, encoding: "utf8" | "latin1" = "utf8"): RawField {
  if (!NAME.test(name)) throw nonsense(`gives a header field the name "${name.slice(0, 60)}"`);
  const text = withoutLast(value.replace(/\r\n|\r|\n/g, "\n"), "\n")
    .replace(/\0/g, " ")
    // A fold needs a blank behind it, and a line of blanks alone would end the header for old readers.
    .replace(/\n[ \t]*(?=\n|$)/g, "")
    .replace(/\n(?![ \t])/g, "\n\t")
    .replace(/\n/g, "\r\n");
  const blank = text === "" || text.startsWith(" ") || text.startsWith("\t") || text.startsWith("\r\n") ? "" : " ";
  return fieldOf(Buffer.from(`${name}:${blank}${text}\r\n`, encoding));
}

/** A whole header section from a filter: its lines end in CRLF, the last one too. */
function lineEnded(header: Uint8Array): Buffer {
  const text = Buffer.from(header.buffer, header.byteOffset, header.byteLength).toString("latin1");
  const whole = withoutLast(text.replace(/\r\n|\r|\n/g, "\r\n"), "\r\n");
  if (/(?:^|\r\n)\r\n/.test(whole)) throw nonsense("gives a header with an empty line in it");
  return whole === "" ? Buffer.alloc(0) : Buffer.from(`${whole}\r\n`, "latin1");
}

/** Without line ends at its end, however many: an expression would begin anew at each one that stands before something else. */
function withoutLast(text: string, ending: string): string {
  let end = text.length;
  while (text.endsWith(ending, end)) end -= ending.length;
  return text.slice(0, end);
}

/** Without the brackets; what it is worth is for the rules to say. */
function addressIn(text: string): string {
  const bare = /^<(.*)>$/s.exec(text.trim())?.[1] ?? text.trim();
  if (bare.length > 1000 || /[\x00-\x1f\x7f<>]/.test(bare)) throw nonsense("gives an address that is none");
  return bare;
}

/** It stands in a command to other hosts, and no rule looks at it before. */
function senderIn(text: string): string {
  if (text === "") return "";
  const path = parsePath(`<${text}>`, { isInternational: true });
  if (!path.ok || path.value.kind !== "mailbox") throw nonsense("gives a sender that is none");
  return addressOfPath(path.value);
}

function nonsense(what: string): Error {
  return filterFailed(`the filter ${what}`, "look for a newer version of the filter, or take it out of filtered-by");
}
