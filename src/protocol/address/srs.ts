import { createHmac, timingSafeEqual } from "node:crypto";
import { formatLocal, splitAddress, unquote } from "./mailbox.ts";

/**
 * The Sender Rewriting Scheme (Mail::SRS and libsrs2, as postsrsd and Exim speak it): who forwards mail puts an address
 * of his own in front as its sender, in which the sender's is packed and signed, and unpacks it when a bounce comes back.
 *
 * `SRS0=HASH=DAY=domain=local@us` is made from the sender's address; `SRS1=HASH=host==HASH=DAY=domain=local@us` from a
 * sender that another forwarder, `host`, has rewritten already: a bounce skips all forwarders between us and that one.
 * The hash says that we made it, the day (modulo 1024, in base 32) when.
 */
export interface SrsOptions {
  /** The first one signs, any one verifies. At least one. */
  readonly secrets: readonly string[];
  /** Behind SRS0 and SRS1; all are read. */
  readonly separator: "=" | "+" | "-";
  readonly hash: "sha1" | "sha256";
  /** Characters of the hash that are written. */
  readonly hashLength: number;
  /** Characters that must at least be there when it comes back. */
  readonly leastHashLength: number;
  readonly maxAgeDays: number;
}

export type SrsAnswer =
  /** Where the mail really goes: the first sender, or the forwarder that knows him. */
  | { readonly kind: "address"; readonly address: string }
  /** No such address at all. */
  | { readonly kind: "other" }
  | { readonly kind: "refused"; readonly reason: "malformed" | "forged" | "expired" };

const TAGGED = /^SRS([01])[=+-]/i;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const DAY_MS = 86_400_000;
/** Two characters of five bits each. */
const DAY_SLOTS = 1024;

/** Whether the address, in wire form, looks like one that a forwarder made. */
export function isSrs(address: string): boolean {
  return TAGGED.test(unquote(splitAddress(address).local));
}

/** The address that stands for `sender`, which must have a domain and must not be empty, at `domain`. */
export function encodeSrs(sender: string, domain: string, nowAt: number, options: SrsOptions): string {
  const { local: written, domain: host } = splitAddress(sender);
  const local = unquote(written);
  const { separator } = options;
  const tag = TAGGED.exec(local)?.[1];
  if (tag === "1") {
    // SRS1=hash=host=rest: the hash of the forwarder before us is his own business, ours takes its place.
    const parts = /^SRS1[=+-][^=]*=([^=]+)=([=+-].+)$/is.exec(local);
    if (parts?.[1] !== undefined && parts[2] !== undefined) return guarded(parts[1], parts[2]);
  }
  // With nothing behind the separator it is no forwarder's: what we could not unpack again is packed whole.
  if (tag === "0" && local.length > "SRS0=".length) return guarded(host, local.slice(4));
  const day = dayText(nowAt);
  const hash = hashOf(options.secrets[0] ?? "", [day, host, local], options);
  return `${formatLocal(`SRS0${separator}${hash}=${day}=${host}=${local}`)}@${domain}`;

  function guarded(firstHost: string, rest: string): string {
    const guard = hashOf(options.secrets[0] ?? "", [firstHost, rest], options);
    return `${formatLocal(`SRS1${separator}${guard}=${firstHost}=${rest}`)}@${domain}`;
  }
}

/** Unpacks an address that came back, if it is one of ours and young enough. */
export function decodeSrs(address: string, nowAt: number, options: SrsOptions): SrsAnswer {
  const local = unquote(splitAddress(address).local);
  const tag = TAGGED.exec(local)?.[1];
  if (tag === undefined) return { kind: "other" };
  if (tag === "1") {
    const [, hash, host, rest] = /^SRS1[=+-]([^=]+)=([^=]+)=([=+-].+)$/is.exec(local) ?? [];
    if (hash === undefined || host === undefined || rest === undefined) return refusal("malformed");
    if (!isOurs(hash, [host, rest], options)) return refusal("forged");
    return { kind: "address", address: `${formatLocal(`SRS0${rest}`)}@${host.toLowerCase()}` };
  }
  const [, hash, day, host, user] = /^SRS0[=+-]([^=]+)=([^=]+)=([^=]+)=(.+)$/is.exec(local) ?? [];
  if (hash === undefined || day === undefined || host === undefined || user === undefined) return refusal("malformed");
  // The hash first: of what others made up nothing else is told.
  if (!isOurs(hash, [day, host, user], options)) return refusal("forged");
  const age = ageInDays(day, nowAt);
  if (age === undefined) return refusal("malformed");
  if (age > options.maxAgeDays) return refusal("expired");
  return { kind: "address", address: `${formatLocal(user)}@${host.toLowerCase()}` };
}

function refusal(reason: Extract<SrsAnswer, { kind: "refused" }>["reason"]): SrsAnswer {
  return { kind: "refused", reason };
}

function dayText(nowAt: number): string {
  const day = Math.floor(nowAt / DAY_MS) % DAY_SLOTS;
  return BASE32.charAt(day >> 5) + BASE32.charAt(day & 31);
}

/** Undefined: no day. Days begin anew after 1024; tomorrow's, from a host whose clock is ahead of ours, is today's. */
function ageInDays(text: string, nowAt: number): number | undefined {
  if (!/^[A-Z2-7]{2}$/i.test(text)) return undefined;
  const [high, low] = [0, 1].map((at) => BASE32.indexOf(text.charAt(at).toUpperCase())) as [number, number];
  const today = Math.floor(nowAt / DAY_MS) % DAY_SLOTS;
  const age = (today - (high * 32 + low) + DAY_SLOTS) % DAY_SLOTS;
  return age === DAY_SLOTS - 1 ? 0 : age;
}

/** Hosts on the way may change the case of letters, so it counts neither in what is signed nor in the hash itself. */
function hashOf(secret: string, parts: readonly string[], options: Pick<SrsOptions, "hash" | "hashLength">): string {
  const hmac = createHmac(options.hash, secret);
  for (const part of parts) hmac.update(lowered(part));
  return hmac.digest("base64").slice(0, options.hashLength);
}

function isOurs(hash: string, parts: readonly string[], options: SrsOptions): boolean {
  const { secrets, leastHashLength } = options;
  // What is longer than any digest is nothing but an attempt to have us compute.
  if (hash.length < leastHashLength || hash.length > 44) return false;
  const given = Buffer.from(lowered(hash));
  return secrets.some((secret) => {
    const own = Buffer.from(lowered(hashOf(secret, parts, { hash: options.hash, hashLength: hash.length })));
    return own.length === given.length && timingSafeEqual(own, given);
  });
}

/** ASCII only: what is beyond it has no case that everybody agrees on. */
function lowered(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
