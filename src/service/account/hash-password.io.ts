import { argon2, randomBytes } from "node:crypto";
import { cryptPassword, cryptSetting } from "../../foundation/ffi/crypt.io.ts";
import { scramPbkdf2 } from "../../protocol/sasl/pbkdf2.io.ts";
import { saslprep } from "../../protocol/sasl/saslprep.ts";
import { scramVerifier } from "../../protocol/sasl/scram.ts";
import { SCRAM_ITERATIONS } from "./authenticator.ts";
import type { HashScheme } from "./hash-schemes.ts";
import { normal, OUR_COST, scryptOf } from "./password-check.io.ts";

/** RFC 9106 section 4, second recommendation. */
const ARGON2 = { memory: 65_536, passes: 3, parallelism: 4, tagLength: 32 };

/** The library's own is 5, which is of 1999: two milliseconds a guess. This takes about as long as our scrypt. */
const BCRYPT_COST = 10;

/** For `posthorn account hash`: what stands behind the user in a table. Throws `LIBRARY_UNAVAILABLE` where crypt(3) is needed. */
export async function hashPassword(
  password: string,
  scheme: HashScheme = "scrypt",
  salt: Buffer = randomBytes(16),
): Promise<string> {
  switch (scheme) {
    case "scrypt": {
      const { logN, r, p } = OUR_COST;
      const hash = await scryptOf(normal(password), salt, 32, OUR_COST);
      return `$scrypt$ln=${logN},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
    }
    case "argon2id": {
      const hash = await argon2id(password, salt);
      const { memory, passes, parallelism } = ARGON2;
      return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`;
    }
    case "scram-sha-256":
      return `{SCRAM-SHA-256}${await scram("SHA-256", password, salt)}`;
    case "scram-sha-1":
      return `{SCRAM-SHA-1}${await scram("SHA-1", password, salt)}`;
    case "yescrypt":
      return crypt("$y$", password);
    case "bcrypt":
      return crypt("$2b$", password, BCRYPT_COST);
    case "sha512-crypt":
      return crypt("$6$", password);
  }
}

function argon2id(password: string, nonce: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    argon2("argon2id", { message: password, nonce, ...ARGON2 }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

async function scram(hash: "SHA-1" | "SHA-256", password: string, salt: Buffer): Promise<string> {
  const prepared = Buffer.from(saslprep(password) ?? password);
  const salted = await scramPbkdf2(prepared, salt, SCRAM_ITERATIONS, hash);
  const { storedKey, serverKey } = scramVerifier(hash, salted);
  return [SCRAM_ITERATIONS, ...[salt, storedKey, serverKey].map((bytes) => bytes.toString("base64"))].join(",");
}

async function crypt(prefix: string, password: string, cost?: number): Promise<string> {
  const setting = cryptSetting(prefix, cost);
  const made = setting === undefined ? undefined : await cryptPassword(password, setting);
  if (made === undefined) throw new Error(`crypt(3) of this system writes no ${prefix}, or not of this password`);
  return made;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
