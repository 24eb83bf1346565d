import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/**
 * Passwords as accounts tables keep them.
 *
 * | written | what it is |
 * |---|---|
 * | `$scrypt$ln=15,r=8,p=1$salt$hash` | scrypt (RFC 7914) in the PHC string format, base64 without padding; what we write |
 * | `{SCRYPT}…` | the same with the scheme's mark in front |
 * | `{PLAIN}text` | the password itself, for tests |
 */
export type PasswordHash =
  | { readonly kind: "scrypt"; readonly cost: ScryptCost; readonly salt: Buffer; readonly hash: Buffer }
  | { readonly kind: "plain"; readonly password: string };

interface ScryptCost {
  /** The base-2 logarithm of N. */
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

/** About 60 ms and 32 MiB: what a stolen table costs for each guess. */
const COST: ScryptCost = { logN: 15, r: 8, p: 1 };
/** A table's line may not make a login take seconds or gigabytes. */
const MOST_MEMORY_BYTES = 256 * 1024 * 1024;
/** scrypt holds 32 MiB each; the thread pool is shared with the disk. */
const MOST_AT_ONCE = 2;

/** Undefined for text in no scheme we know. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  if (/^\{PLAIN\}/i.test(text)) return { kind: "plain", password: text.slice("{PLAIN}".length) };
  const phc =
    /^(?:\{SCRYPT\})?\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{8,128})\$([A-Za-z0-9+/]{16,128})$/i.exec(
      text,
    );
  if (phc === null) return undefined;
  const cost = { logN: Number(phc[1]), r: Number(phc[2]), p: Number(phc[3]) };
  const memory = 128 * 2 ** cost.logN * cost.r;
  if (cost.logN < 1 || cost.r < 1 || cost.p < 1 || cost.p > 16 || memory > MOST_MEMORY_BYTES) return undefined;
  return { kind: "scrypt", cost, salt: Buffer.from(phc[4] ?? "", "base64"), hash: Buffer.from(phc[5] ?? "", "base64") };
}

/** For `posthorn account hash`: what stands behind the user in an accounts table. */
export async function hashPassword(password: string, salt: Buffer = randomBytes(16)): Promise<string> {
  const hash = await derive(password, salt, 32, COST);
  const text = (bytes: Buffer): string => bytes.toString("base64").replace(/=+$/, "");
  return `$scrypt$ln=${COST.logN},r=${COST.r},p=${COST.p}$${text(salt)}$${text(hash)}`;
}

/** Takes as long for a wrong password as for the right one, and for `undefined` (no such user) as for a usual hash. */
export async function verifyPassword(password: string, known: PasswordHash | undefined): Promise<boolean> {
  if (known === undefined) {
    await derive(password, NOBODY, 32, COST);
    return false;
  }
  if (known.kind === "plain") {
    // The usual work is done, so that a plain entry does not tell by its speed that the user exists.
    await derive(password, NOBODY, 32, COST);
    const digest = (text: string): Buffer => createHash("sha256").update(text.normalize("NFC")).digest();
    return timingSafeEqual(digest(password), digest(known.password));
  }
  const given = await derive(password, known.salt, known.hash.length, known.cost);
  return timingSafeEqual(given, known.hash);
}

const NOBODY = Buffer.alloc(16);
let running = 0;
const waiting: (() => void)[] = [];

async function derive(password: string, salt: Buffer, length: number, cost: ScryptCost): Promise<Buffer> {
  if (running >= MOST_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    return await new Promise((resolve, reject) => {
      const N = 2 ** cost.logN;
      const maxmem = 128 * N * cost.r * 2 + 1024 * 1024;
      // RFC 8265 section 4.2.1: non-ASCII passwords have one form, whatever the keyboard made.
      scrypt(password.normalize("NFC"), salt, length, { N, r: cost.r, p: cost.p, maxmem }, (error, key) => {
        if (error === null) resolve(key);
        else reject(error);
      });
    });
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}
