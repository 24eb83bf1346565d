import { PosthornError } from "../error.ts";
import { requireFfi } from "./ffi.io.ts";

/** A line of /etc/shadow, or of what nsswitch.conf(5) names for it. Days are since the epoch; absent where not set. */
export interface ShadowEntry {
  readonly name: string;
  readonly hash: string;
  readonly lastChangeDay?: number | undefined;
  /** Days after the last change until the password must be changed. */
  readonly mostDays?: number | undefined;
  /** Days after that until it is no longer accepted. */
  readonly graceDays?: number | undefined;
  readonly expiresDay?: number | undefined;
}

/** struct spwd of Linux with 64 bits: two pointers, then seven longs and one unsigned long. */
const SPWD_BYTES = 72;
const AT = { name: 0, hash: 8, lastChange: 16, most: 32, grace: 48, expires: 56 } as const;
const BUFFER_BYTES = 16_384;

const PURPOSE = "reading the system's passwords (getspnam_r)";

/**
 * Looks a user's shadow entry up by getspnam_r(3), on this thread, which waits. Undefined when there is none.
 *
 * Throws `LIBRARY_UNAVAILABLE` where it cannot be asked, and `PRIVILEGES` for who may not read it.
 */
export function findShadow(name: string): ShadowEntry | undefined {
  if (name === "" || name.includes("\0")) return undefined;
  const ffi = requireFfi(PURPOSE);
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch))
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `${PURPOSE} is known for Linux on x64 and arm64 only`,
      advice: "use PAM or saslauthd on this system",
    });
  const ask = ffi.declare("int getspnam_r(const char *name, void *entry, void *buffer, size_t size, void *result)");
  const entry = new Uint8Array(SPWD_BYTES);
  const texts = new Uint8Array(BUFFER_BYTES);
  const result = new BigUint64Array(1);
  const error = ask(name, entry, texts, BUFFER_BYTES, new Uint8Array(result.buffer));
  const errorName = typeof error === "number" && error !== 0 ? ffi.errorName(error) : undefined;
  if (errorName === "EACCES" || errorName === "EPERM")
    throw new PosthornError("PRIVILEGES", {
      message: "this process may not read the system's passwords (/etc/shadow)",
      advice: "run the keeper as root, or ask through PAM or saslauthd",
    });
  if (errorName !== undefined && errorName !== "ENOENT" && errorName !== "ESRCH")
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `the system's passwords cannot be read: ${errorName}`,
      advice: "see nsswitch.conf(5) for what is asked",
    });
  if (result[0] === 0n || errorName !== undefined) return undefined;
  return entryOf(entry, texts, ffi.addressOf(texts));
}

function entryOf(entry: Uint8Array, texts: Uint8Array, textsAt: bigint): ShadowEntry {
  const fields = new DataView(entry.buffer);
  const text = (at: number): string => {
    const begins = Number(fields.getBigUint64(at, true) - textsAt);
    if (begins < 0 || begins >= texts.length) return "";
    const ends = texts.indexOf(0, begins);
    return Buffer.from(texts.subarray(begins, ends < 0 ? texts.length : ends)).toString();
  };
  const days = (at: number): number | undefined => {
    const value = Number(fields.getBigInt64(at, true));
    return value < 0 ? undefined : value;
  };
  return {
    name: text(AT.name),
    hash: text(AT.hash),
    lastChangeDay: days(AT.lastChange),
    mostDays: days(AT.most),
    graceDays: days(AT.grace),
    expiresDay: days(AT.expires),
  };
}
