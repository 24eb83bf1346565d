/** What a hash of crypt(3) says of itself in front, as far as it is bearable: its scheme, and that its cost is within bounds. */
export interface CryptSetting {
  readonly scheme: string;
  /** Built on MD5 or DES: found by trying within hours. */
  readonly isWeak: boolean;
}

const MOST_BCRYPT_COST = 14;
const MOST_SHA_ROUNDS = 2_000_000;
const MOST_LOG_N = 20;
const MOST_MEMORY_BYTES = 256 * 1024 * 1024;

/** The digits of crypt(5), least first. */
const DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Undefined for what crypt(3) does not write, and for what would take it many seconds or gigabytes. */
export function parseCryptSetting(text: string): CryptSetting | undefined {
  for (const { pattern, scheme, isWeak, isCheap } of FORMS) {
    const match = pattern.exec(text);
    if (match !== null) return isCheap(match) ? { scheme, isWeak: isWeak === true } : undefined;
  }
  return undefined;
}

interface Form {
  readonly scheme: string;
  readonly pattern: RegExp;
  readonly isWeak?: true;
  readonly isCheap: (match: RegExpExecArray) => boolean;
}

const always = (): boolean => true;
const isCheapSha = (match: RegExpExecArray): boolean => match[1] === undefined || Number(match[1]) <= MOST_SHA_ROUNDS;
/** Flavour, logarithm of N less one, r less one; more parameters make it dearer, and nobody's tools write them. */
const isCheapYescrypt = (match: RegExpExecArray): boolean => isCheapMemory(digit(match[1]) + 1, digit(match[2]) + 1);

const FORMS: readonly Form[] = [
  {
    scheme: "bcrypt",
    pattern: /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/,
    isCheap: ([, cost]) => Number(cost) >= 4 && Number(cost) <= MOST_BCRYPT_COST,
  },
  { scheme: "sha256", pattern: /^\$5\$(?:rounds=(\d{1,9})\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{43}$/, isCheap: isCheapSha },
  { scheme: "sha512", pattern: /^\$6\$(?:rounds=(\d{1,9})\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{86}$/, isCheap: isCheapSha },
  {
    scheme: "yescrypt",
    pattern: /^\$y\$[./A-Za-z0-9]([./A-Za-j0-9])([./A-Za-j0-9])\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$/,
    isCheap: isCheapYescrypt,
  },
  {
    scheme: "gost-yescrypt",
    pattern: /^\$gy\$[./A-Za-z0-9]([./A-Za-j0-9])([./A-Za-j0-9])\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$/,
    isCheap: isCheapYescrypt,
  },
  {
    scheme: "scrypt",
    pattern: /^\$7\$([./A-Za-z0-9])([./A-Za-z0-9]{5})([./A-Za-z0-9]{5})[^$:\n]{0,86}\$[./A-Za-z0-9]{43}$/,
    isCheap: ([, logN, r, p]) => isCheapMemory(digit(logN), number(r)) && number(p) >= 1 && number(p) <= 4,
  },
  { scheme: "md5", pattern: /^\$1\$[^$:\n]{0,8}\$[./A-Za-z0-9]{22}$/, isWeak: true, isCheap: always },
  { scheme: "des", pattern: /^[./A-Za-z0-9]{13}$/, isWeak: true, isCheap: always },
];

function isCheapMemory(logN: number, r: number): boolean {
  return logN >= 1 && logN <= MOST_LOG_N && r >= 1 && 128 * 2 ** logN * r <= MOST_MEMORY_BYTES;
}

function digit(text: string | undefined): number {
  return DIGITS.indexOf(text ?? "");
}

function number(text: string | undefined): number {
  return (text ?? "").split("").reduceRight((sum, each) => sum * 64 + digit(each), 0);
}
