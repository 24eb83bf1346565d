import { parseCryptSetting } from "./crypt-setting.ts";

/**
 * Passwords as tables keep them: a hash in the form that crypt(3) or the PHC string format writes, or behind a scheme's
 * name in braces, as Dovecot has them. `.b64` or `.hex` behind the name tells how what follows is encoded.
 *
 * | written | what it is |
 * |---|---|
 * | `$scrypt$ln=15,r=8,p=1$salt$hash`, `{SCRYPT}…` | scrypt (RFC 7914); what we write |
 * | `$argon2id$v=19$m=65536,t=3,p=1$salt$hash`, `{ARGON2ID}…`, `{ARGON2I}…` | Argon2 (RFC 9106) |
 * | `$y$…`, `$gy$…`, `$7$…`, `$2b$…`, `$6$…`, `$5$…`; `{CRYPT}…`, `{BLF-CRYPT}…`, `{SHA512-CRYPT}…` | crypt(3) |
 * | `{SCRAM-SHA-256}4096,salt,stored,server`, `{SCRAM-SHA-1}…` | the keys of SCRAM (RFC 5803, 7677) |
 * | `{PBKDF2}$1$salt$rounds$hash` | PBKDF2 with HMAC-SHA-1, Dovecot's |
 * | `{SSHA512}…`, `{SSHA256}…`, `{SSHA}…`, `{SHA512}…`, `{SHA256}…`, `{SHA}…` | one round of a hash: quick to guess |
 * | `{PLAIN}text`, `{CLEARTEXT}text` | the password itself |
 *
 * What is built on MD5 or DES is known, and marked as weak: it is for the settings to allow it.
 */
export type PasswordHash =
  | { readonly kind: "scrypt"; readonly cost: ScryptCost; readonly salt: Buffer; readonly hash: Buffer }
  | {
      readonly kind: "argon2";
      readonly algorithm: "argon2i" | "argon2id";
      readonly cost: Argon2Cost;
      readonly salt: Buffer;
      readonly hash: Buffer;
    }
  | { readonly kind: "crypt"; readonly setting: string; readonly isWeak: boolean }
  | {
      readonly kind: "scram";
      readonly hash: "SHA-1" | "SHA-256";
      readonly iterations: number;
      readonly salt: Buffer;
      readonly storedKey: Buffer;
      readonly serverKey: Buffer;
    }
  | { readonly kind: "pbkdf2"; readonly rounds: number; readonly salt: string; readonly hash: Buffer }
  | {
      readonly kind: "digest";
      readonly algorithm: string;
      readonly salt: Buffer;
      readonly hash: Buffer;
      readonly isWeak: boolean;
    }
  | { readonly kind: "plain"; readonly password: string };

export interface ScryptCost {
  /** The base-2 logarithm of N. */
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

export interface Argon2Cost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
}

/** A table's line may not make a login take many seconds, or gigabytes. */
const MOST_MEMORY_BYTES = 256 * 1024 * 1024;
const MOST_ARGON2_WORK_KIB = 2 * 1024 * 1024;
const MOST_ITERATIONS = 5_000_000;
const LONGEST_HASH = 4096;

/** Undefined for text in no scheme we know, and for hashes that would cost too much. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  if (text.length > LONGEST_HASH) return undefined;
  const braced = /^\{([A-Za-z0-9-]{1,30})(?:\.(b64|base64|hex))?\}/i.exec(text);
  if (braced === null) return parseBare(text);
  const name = (braced[1] ?? "").toUpperCase();
  const rest = text.slice(braced[0].length);
  return SCHEMES[name]?.(rest, encodingOf(braced[2]));
}

type Encoding = "base64" | "hex" | undefined;

function encodingOf(suffix: string | undefined): Encoding {
  return suffix === undefined ? undefined : suffix.toLowerCase() === "hex" ? "hex" : "base64";
}

function parseBare(text: string): PasswordHash | undefined {
  return parseScrypt(text) ?? parseArgon2(text) ?? parseCrypt(text);
}

/** Text that was encoded as a whole, or not at all. */
function textual(parse: (text: string) => PasswordHash | undefined) {
  return (rest: string, encoding: Encoding): PasswordHash | undefined => {
    const text = encoding === undefined ? rest : decode(rest, encoding)?.toString();
    return text === undefined ? undefined : parse(text);
  };
}

function digest(algorithm: string, bytes: number, isSalted: boolean, usual: "base64" | "hex" = "base64") {
  return (rest: string, encoding: Encoding): PasswordHash | undefined => {
    const whole = decode(rest, encoding ?? usual);
    if (whole === undefined || whole.length < bytes || (!isSalted && whole.length !== bytes)) return undefined;
    const isWeak = algorithm === "md5";
    return { kind: "digest", algorithm, hash: whole.subarray(0, bytes), salt: whole.subarray(bytes), isWeak };
  };
}

const plain = textual((password) => (password === "" ? undefined : { kind: "plain", password }));
const crypt = textual(parseCrypt);
const argon2 = textual(parseArgon2);

const SCHEMES: Readonly<Record<string, (rest: string, encoding: Encoding) => PasswordHash | undefined>> = {
  PLAIN: plain,
  CLEAR: plain,
  CLEARTEXT: plain,
  CRYPT: textual(parseBare),
  "BLF-CRYPT": crypt,
  "SHA256-CRYPT": crypt,
  "SHA512-CRYPT": crypt,
  "MD5-CRYPT": crypt,
  MD5: crypt,
  "DES-CRYPT": crypt,
  ARGON2I: argon2,
  ARGON2ID: argon2,
  SCRYPT: textual(parseScrypt),
  "SCRAM-SHA-1": textual((text) => parseScram("SHA-1", 20, text)),
  "SCRAM-SHA-256": textual((text) => parseScram("SHA-256", 32, text)),
  PBKDF2: textual(parsePbkdf2),
  SHA: digest("sha1", 20, false),
  SHA1: digest("sha1", 20, false),
  SSHA: digest("sha1", 20, true),
  SHA256: digest("sha256", 32, false),
  SSHA256: digest("sha256", 32, true),
  SHA512: digest("sha512", 64, false),
  SSHA512: digest("sha512", 64, true),
  "LDAP-MD5": digest("md5", 16, false),
  "PLAIN-MD5": digest("md5", 16, false, "hex"),
  SMD5: digest("md5", 16, true),
};

function parseScrypt(text: string): PasswordHash | undefined {
  const phc = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{8,128})\$([A-Za-z0-9+/]{16,128})$/i.exec(
    text,
  );
  if (phc === null) return undefined;
  const cost = { logN: Number(phc[1]), r: Number(phc[2]), p: Number(phc[3]) };
  const memory = 128 * 2 ** cost.logN * cost.r;
  if (cost.logN < 1 || cost.r < 1 || cost.p < 1 || cost.p > 16 || memory > MOST_MEMORY_BYTES) return undefined;
  return { kind: "scrypt", cost, salt: Buffer.from(phc[4] ?? "", "base64"), hash: Buffer.from(phc[5] ?? "", "base64") };
}

function parseArgon2(text: string): PasswordHash | undefined {
  const phc =
    /^\$(argon2id?)\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,128})\$([A-Za-z0-9+/]{16,128})$/.exec(
      text,
    );
  // Argon2d leaks by its timing what it reads; nobody keeps passwords so.
  if (phc === null || (phc[1] !== "argon2i" && phc[1] !== "argon2id")) return undefined;
  const cost = { memoryKiB: Number(phc[2]), passes: Number(phc[3]), lanes: Number(phc[4]) };
  const isCheap =
    cost.memoryKiB * 1024 <= MOST_MEMORY_BYTES &&
    cost.memoryKiB * cost.passes <= MOST_ARGON2_WORK_KIB &&
    cost.lanes <= 16;
  if (!isCheap || cost.passes < 1 || cost.lanes < 1 || cost.memoryKiB < 8 * cost.lanes) return undefined;
  return {
    kind: "argon2",
    algorithm: phc[1],
    cost,
    salt: Buffer.from(phc[5] ?? "", "base64"),
    hash: Buffer.from(phc[6] ?? "", "base64"),
  };
}

function parseCrypt(text: string): PasswordHash | undefined {
  const known = parseCryptSetting(text);
  return known === undefined ? undefined : { kind: "crypt", setting: text, isWeak: known.isWeak };
}

/** RFC 5803 in Dovecot's order: iterations, salt, stored key, server key; base64. */
function parseScram(hash: "SHA-1" | "SHA-256", bytes: number, text: string): PasswordHash | undefined {
  const parts = /^(\d{1,7}),([A-Za-z0-9+/=]{4,256}),([A-Za-z0-9+/=]{20,60}),([A-Za-z0-9+/=]{20,60})$/.exec(text);
  const iterations = Number(parts?.[1]);
  const [salt, storedKey, serverKey] = [2, 3, 4].map((at) => decode(parts?.[at] ?? "", "base64"));
  if (salt === undefined || storedKey?.length !== bytes || serverKey?.length !== bytes) return undefined;
  if (iterations < 1 || iterations > MOST_ITERATIONS) return undefined;
  return { kind: "scram", hash, iterations, salt, storedKey, serverKey };
}

function parsePbkdf2(text: string): PasswordHash | undefined {
  const parts = /^\$1\$([\x21-\x23\x25-\x7e]{1,64})\$(\d{1,7})\$([\da-f]{40})$/i.exec(text);
  const rounds = Number(parts?.[2]);
  if (parts === null || rounds < 1 || rounds > MOST_ITERATIONS) return undefined;
  return { kind: "pbkdf2", salt: parts[1] ?? "", rounds, hash: Buffer.from(parts[3] ?? "", "hex") };
}

/** Undefined where it is not what it says: Buffer itself would leave out what it does not understand. */
function decode(text: string, encoding: "base64" | "hex"): Buffer | undefined {
  const isFit =
    encoding === "hex"
      ? /^(?:[\da-f]{2})+$/i.test(text)
      : /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.replace(/=+$/, "").length % 4 !== 1;
  return isFit ? Buffer.from(text, encoding) : undefined;
}
