/**
 * What our own Received fields tell of a mail that has been here before (`received-field.ts` writes them): under which id,
 * and whether it left for filters then. Those are named in a comment of the field, `(content-filter:smtp)`, so that a mail
 * which comes back to where it was filtered is known, and a filtered copy is known as one.
 */
export interface OwnTrace {
  /** The id that the mail had. */
  readonly id: string;
  /** Filters that it was on its way to. */
  readonly filters: readonly string[];
  /** The `with` word: `ESMTPSA`. */
  readonly protocol: string;
  /** Of the client that brought it; absent where a program of this host handed it in by other ways than the network. */
  readonly clientAddress?: string | undefined;
}

/** Names more than these in one field are left out, all of them: mail for so many filters at once goes unmarked. */
const MOST_FILTERS = 8;

/**
 * The field, with the filters that the mail goes to, instead of others that it named: who is handed the mail by a filter before
 * the queue has it gets it first. `filters` are of letters, digits, dot, colon, - and _.
 */
export function markReceived(given: string, filters: readonly string[]): string {
  if (filters.length === 0) return given;
  const field = given.replace(MARK, "");
  const date = field.lastIndexOf(";");
  if (filters.length > MOST_FILTERS || date < 0) return field;
  return `${field.slice(0, date)}\r\n\t(${filters.join(" ")})${field.slice(date)}`;
}

/** As `markReceived` writes it. */
const MARK = /\r\n\t\((?:content|proxy)-filter:[\w.: -]*\)(?=;[^;]*$)/;

/** Of the values of all Received fields, in their order: what is ours, the newest first. Without names: of any server like us. */
export function ownTraces(values: readonly string[], ownNames?: ReadonlySet<string>): readonly OwnTrace[] {
  return values.flatMap((value) => {
    const found = OURS.exec(value);
    if (found === null || ownNames?.has((found[1] ?? "").toLowerCase()) === false) return [];
    const filters = FILTERS.exec(value.slice(found.index))?.[1]?.trim().split(/\s+/) ?? [];
    const clientAddress = CLIENT.exec(value.slice(0, found.index))?.[1];
    return [{ id: found[3] ?? "", filters, protocol: found[2] ?? "", clientAddress }];
  });
}

const OURS = /(?:^|\s)by (\S{1,255}) \(Posthorn\) with ([A-Z0-9]{1,32}) id ([A-Za-z0-9.-]{1,64})(?=[\s;]|$)/;
/** What stands behind the client's own word for itself, which has neither blanks nor brackets of this kind. */
const CLIENT = /^\s*from \S{1,255} \(\S{1,255} \[(?:IPv6:)?([^\]\s]{1,64})\]\)/;
/** A blank between names, always: they may contain what begins the next, and anybody can write such a field. */
const FILTERS =
  /\(((?:content|proxy)-filter:[\w.:-]{0,128}(?:[ \t](?:content|proxy)-filter:[\w.:-]{0,128}){0,7}[ \t]?)\)/;

/**
 * The id under which the mail went to one of these filters, when it comes back from there unfiltered: since then no listener
 * took it that is not in front of a filter itself. Mail that went out into the world and returns is none such.
 */
export function loopThrough(traces: readonly OwnTrace[], filters: readonly string[]): string | undefined {
  for (const trace of traces) {
    if (trace.filters.length === 0) return undefined;
    if (trace.filters.some((name) => filters.includes(name))) return trace.id;
  }
  return undefined;
}
