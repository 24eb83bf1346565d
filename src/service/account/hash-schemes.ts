/** The schemes that `posthorn account hash` writes; the first is what it writes unasked. */
export const HASH_SCHEMES = [
  "scrypt",
  "argon2id",
  "scram-sha-256",
  "scram-sha-1",
  "yescrypt",
  "bcrypt",
  "sha512-crypt",
] as const;
export type HashScheme = (typeof HASH_SCHEMES)[number];
