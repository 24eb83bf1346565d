import { argon2, createHash, pbkdf2, scrypt, timingSafeEqual } from "node:crypto";
import { cryptPassword } from "../../foundation/ffi/crypt.io.ts";
import { scramPbkdf2 } from "../../protocol/sasl/pbkdf2.io.ts";
import { saslprep } from "../../protocol/sasl/saslprep.ts";
import { scramVerifier } from "../../protocol/sasl/scram.ts";
import type { PasswordHash, ScryptCost } from "./password.ts";

/**
 * Whether the password is the one that was hashed. Works in Node's thread pool; how much of that at once is the caller's
 * to bound. Rejects with `LIBRARY_UNAVAILABLE` where a hash needs crypt(3) and there is none.
 */
export async function isPassword(password: string, known: PasswordHash): Promise<boolean> {
  switch (known.kind) {
    case "plain":
      return isSame(sha256(normal(password)), sha256(normal(known.password)));
    case "digest":
      return isSame(createHash(known.algorithm).update(password).update(known.salt).digest(), known.hash);
    case "scrypt":
      return isSame(await scryptOf(normal(password), known.salt, known.hash.length, known.cost), known.hash);
    case "argon2":
      return isSame(await argon2Of(password, known), known.hash);
    case "pbkdf2":
      return isSame(await pbkdf2Of(password, known.salt, known.rounds, known.hash.length), known.hash);
    case "crypt": {
      const made = await cryptPassword(password, known.setting);
      if (made === undefined) throw new Error("crypt(3) of this system does not know the scheme");
      return isSame(sha256(made), sha256(known.setting));
    }
    case "scram": {
      const prepared = saslprep(password) ?? password;
      const salted = await scramPbkdf2(Buffer.from(prepared), known.salt, known.iterations, known.hash);
      return isSame(scramVerifier(known.hash, salted).storedKey, known.storedKey);
    }
  }
}

/** About 60 ms and 32 MiB: what a stolen table costs for each guess. */
export const OUR_COST: ScryptCost = { logN: 15, r: 8, p: 1 };

export function scryptOf(password: string, salt: Buffer, length: number, cost: ScryptCost): Promise<Buffer> {
  const N = 2 ** cost.logN;
  const maxmem = 128 * N * cost.r * 2 + 1024 * 1024;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, { N, r: cost.r, p: cost.p, maxmem }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

/** RFC 8265 section 4.2.1: non-ASCII passwords have one form, whatever the keyboard made. */
export function normal(password: string): string {
  return password.normalize("NFC");
}

function argon2Of(password: string, known: Extract<PasswordHash, { kind: "argon2" }>): Promise<Buffer> {
  const { memoryKiB: memory, passes, lanes: parallelism } = known.cost;
  const terms = { message: password, nonce: known.salt, parallelism, tagLength: known.hash.length, memory, passes };
  return new Promise((resolve, reject) => {
    argon2(known.algorithm, terms, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function pbkdf2Of(password: string, salt: string, rounds: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, rounds, length, "sha1", (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function isSame(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
