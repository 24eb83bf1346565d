import { messageOf } from "../error.ts";
import { requireFfi, type CFunction } from "./ffi.io.ts";

/** struct crypt_data of libxcrypt; glibc's own is larger, and has no crypt_rn. */
const DATA_BYTES = 32_768;
/** Longer passphrases are refused by the library. */
const MOST_PHRASE_BYTES = 511;

/**
 * crypt(3) through libxcrypt's crypt_rn: yescrypt, gost-yescrypt, scrypt, bcrypt, SHA-2 and older schemes. Undefined when
 * the library does not know the setting's scheme, or finds it malformed. Works away from the event loop, on Node's pool.
 *
 * Rejects with `LIBRARY_UNAVAILABLE` where there is no such library.
 */
export async function cryptPassword(phrase: string, setting: string): Promise<string | undefined> {
  const crypt = declared();
  if (!isFit(phrase, setting)) return undefined;
  const data = new Uint8Array(DATA_BYTES);
  return new Promise((resolve, reject) => {
    crypt.async(phrase, setting, data, DATA_BYTES, (error: unknown, answer: unknown) => {
      // The library's scratch space holds parts of the password.
      data.fill(0);
      if (error === null) resolve(typeof answer === "string" ? answer : undefined);
      else reject(error instanceof Error ? error : new Error(messageOf(error)));
    });
  });
}

/** The same on this thread, which waits: for threads that do nothing else. */
export function cryptPasswordHere(phrase: string, setting: string): string | undefined {
  const crypt = declared();
  if (!isFit(phrase, setting)) return undefined;
  const data = new Uint8Array(DATA_BYTES);
  const answer = crypt(phrase, setting, data, DATA_BYTES);
  data.fill(0);
  return typeof answer === "string" ? answer : undefined;
}

/** A phrase with a NUL in it would be a shorter one for the library. */
function isFit(phrase: string, setting: string): boolean {
  return !phrase.includes("\0") && !setting.includes("\0") && Buffer.byteLength(phrase) <= MOST_PHRASE_BYTES;
}

function declared(): CFunction {
  return requireFfi("hashing passwords with crypt(3)")
    .library("libcrypt.so.1")
    .declare("const char *crypt_rn(const char *phrase, const char *setting, void *data, int size)");
}

/** CRYPT_GENSALT_OUTPUT_SIZE */
const SETTING_BYTES = 192;

/**
 * A fresh setting for a scheme (`$y$`, `$2b$`, `$6$`); undefined for one that it cannot write. `cost` is what the scheme counts
 * (rounds, or their logarithm); without it, the library's own.
 */
export function cryptSetting(prefix: string, cost = 0): string | undefined {
  const make = requireFfi("hashing passwords with crypt(3)")
    .library("libcrypt.so.1")
    .declare(
      "const char *crypt_gensalt_rn(const char *prefix, ulong count, const char *random, int length, void *output, int size)",
    );
  const made = make(prefix, cost, null, 0, new Uint8Array(SETTING_BYTES), SETTING_BYTES);
  return typeof made === "string" ? made : undefined;
}
