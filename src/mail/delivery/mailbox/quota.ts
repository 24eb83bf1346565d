import { parseSize } from "../../../foundation/units.ts";

/** What a mailbox may hold. 0: no limit of that kind. */
export interface Quota {
  readonly bytes: number;
  readonly messages: number;
}

export interface Usage {
  readonly bytes: number;
  readonly messages: number;
}

/**
 * The `maildirsize` file of Maildir++: a line with the quota that its writer knew (`1048576S,1000C`), then a line
 * `bytes messages` for each change. Whoever delivers or removes a mail appends one; sums are made by readers.
 */
export interface MaildirSize {
  readonly definition: string;
  readonly usage: Usage;
  /** Changes after the first count. */
  readonly changes: number;
}

/** Beyond this the file is counted anew: so says the specification, and so do Courier and Dovecot. */
export const MOST_MAILDIRSIZE_BYTES = 5120;
/** A file older than this is not believed when it says that the mailbox is full. */
export const BELIEVED_WHEN_FULL_MS = 15 * 60_000;

/** `1048576S,1000C`; empty: no limit. */
export function quotaDefinition({ bytes, messages }: Quota): string {
  return [bytes > 0 ? `${bytes}S` : "", messages > 0 ? `${messages}C` : ""].filter((part) => part !== "").join(",");
}

/** Undefined for what is no such file, or says that less than nothing is there: then it is counted anew. */
export function parseMaildirSize(text: string): MaildirSize | undefined {
  const [definition = "", ...lines] = text.split("\n");
  if (!text.endsWith("\n") || !/^(?:\d+[SC](?:,\d+[SC])*)?$/.test(definition)) return undefined;
  let bytes = 0;
  let messages = 0;
  const written = lines.slice(0, -1);
  for (const line of written) {
    const numbers = /^\s*(-?\d{1,15})\s+(-?\d{1,15})\s*$/.exec(line);
    if (numbers === null) return undefined;
    bytes += Number(numbers[1]);
    messages += Number(numbers[2]);
  }
  if (bytes < 0 || messages < 0) return undefined;
  return { definition, usage: { bytes, messages }, changes: Math.max(0, written.length - 1) };
}

export function formatMaildirSize(quota: Quota, usage: Usage): string {
  return `${quotaDefinition(quota)}\n${changeLine(usage)}`;
}

/** A change in the widths that Courier writes, so that a fresh file's first line can be replaced in place. */
export function changeLine({ bytes, messages }: Usage): string {
  return `${String(bytes).padStart(12, " ")} ${String(messages).padStart(12, " ")}\n`;
}

/** Is there room for one more mail of this size? */
export function fits(quota: Quota, usage: Usage, mailBytes: number): boolean {
  const hasBytes = quota.bytes === 0 || usage.bytes + mailBytes <= quota.bytes;
  return hasBytes && (quota.messages === 0 || usage.messages + 1 <= quota.messages);
}

/** The size that a mail's file name tells (`,S=1234`); undefined without it. */
export function sizeInName(name: string): number | undefined {
  const size = /,S=(\d{1,15})(?=[,:]|$)/.exec(name)?.[1];
  return size === undefined ? undefined : Number(size);
}

/** The flag T: its reader has thrown it away, and it does not count any more. */
export function isTrashed(name: string): boolean {
  return /:2,[A-Za-z]*T/.test(name);
}

/** `2GiB`, `2GiB,10000` (messages), or as Maildir++ writes it: `1048576S,1000C`. Undefined for anything else. */
export function parseQuota(text: string): Quota | undefined {
  const written = text.trim();
  if (/^\d{1,15}[SC](?:,\d{1,15}[SC])?$/.test(written)) {
    const of = (kind: string): number => Number(new RegExp(`(\\d+)${kind}`).exec(written)?.[1] ?? 0);
    return { bytes: of("S"), messages: of("C") };
  }
  const [size = "", messages, ...more] = written.split(",").map((part) => part.trim());
  const bytes = parseSize(size);
  if (!bytes.ok || more.length > 0 || (messages !== undefined && !/^\d{1,9}$/.test(messages))) return undefined;
  return { bytes: bytes.value, messages: Number(messages ?? 0) };
}
