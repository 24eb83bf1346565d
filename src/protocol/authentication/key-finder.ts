import type { Resolver } from "../dns/resolver.ts";
import { readDkimKey, type DkimKeyReading } from "./dkim-key.ts";

export type KeyAnswer = DkimKeyReading | { readonly kind: "failed"; readonly text: string };

/** The key of a selector at a domain. Rejects with the signal's reason only. */
export type KeyFinder = (selector: string, domain: string) => Promise<KeyAnswer>;

/** So many keys, read once, are kept: reading one costs as much as verifying with it. */
const MOST_KEPT = 1000;
const LONGEST_KEPT = 4096;

/** Keys from the DNS. What was read is remembered by the record's text, so a changed record is another key. */
export function createKeyFinder(resolver: Pick<Resolver, "txt">): (signal?: AbortSignal) => KeyFinder {
  const kept = new Map<string, DkimKeyReading>();
  const read = (record: string): DkimKeyReading => {
    const known = kept.get(record);
    if (known !== undefined) return known;
    const reading = readDkimKey(record);
    // No key is that long, and a thousand such would fill the memory.
    if (record.length > LONGEST_KEPT) return reading;
    if (kept.size >= MOST_KEPT) {
      const oldest = kept.keys().next().value;
      if (oldest !== undefined) kept.delete(oldest);
    }
    kept.set(record, reading);
    return reading;
  };
  return (signal) => async (selector, domain) => {
    const name = `${selector}._domainkey.${domain}`;
    if (name.length > 253) return { kind: "unusable", text: "the key's name is too long for the DNS" };
    const answer = await resolver.txt(name, signal);
    if (answer.kind === "failed") return { kind: "failed", text: answer.finding.text };
    if (answer.kind === "none") return { kind: "unusable", text: `there is no key at ${name}` };
    // RFC 6376 section 3.6.2.2: one record. Where there are more, one that is a key is meant.
    const readings = answer.records.slice(0, 4).map(read);
    return (
      readings.find(({ kind }) => kind === "key") ??
      readings[0] ?? { kind: "unusable", text: `there is no key at ${name}` }
    );
  };
}
