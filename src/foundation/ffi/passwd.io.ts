import { messageOf, PosthornError } from "../error.ts";
import { requireFfi, type CFunction } from "./ffi.io.ts";

/** A user as the system's own directory has it, be that /etc/passwd or whatever nsswitch.conf(5) names. */
export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** struct passwd of Linux with 64 bits: name, passwd, uid and gid of four bytes each, gecos, dir, shell. */
const PASSWD_BYTES = 48;
const AT = { name: 0, uid: 16, gid: 20, home: 32, shell: 40 } as const;
const FIRST_BUFFER_BYTES = 2048;
const MOST_BUFFER_BYTES = 1024 * 1024;
const MOST_GROUPS = 65_536;
/** What getpwnam_r(3) names as ways to say that there is no such user. */
const NO_SUCH_USER: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "EBADF", "EPERM"]);

/**
 * Looks a user up by getpwnam_r(3), away from the event loop; undefined when there is none. Rejects with
 * `LIBRARY_UNAVAILABLE` where the directory cannot be asked or does not answer: that is never "no such user".
 */
export async function findPasswd(name: string): Promise<PasswdEntry | undefined> {
  return askByName("getpwnam_r", "const char *name", name);
}

/** The same by number, through getpwuid_r(3). */
export async function findPasswdById(uid: number): Promise<PasswdEntry | undefined> {
  return askByName("getpwuid_r", "uint32_t uid", uid);
}

/** All groups that the user is in, `gid` among them, by getgrouplist(3). Rejects like `findPasswd`. */
export async function groupsOfUser(name: string, gid: number): Promise<readonly number[]> {
  const ffi = requireFfi(PURPOSE);
  const getgrouplist = ffi.declare("int getgrouplist(const char *user, uint32_t group, void *groups, void *count)");
  for (let room = 64; ; room *= 4) {
    const groups = new Uint32Array(room);
    const count = Int32Array.of(room);
    const answer = await called(getgrouplist, name, gid, bytesOf(groups), bytesOf(count));
    if (answer >= 0) return [...new Set(groups.subarray(0, count[0] ?? 0))];
    if (room >= MOST_GROUPS) throw unavailable(`the groups of ${name} are more than ${MOST_GROUPS}`);
  }
}

const PURPOSE = "looking up the system's users (getpwnam_r)";

async function askByName(
  name: "getpwnam_r" | "getpwuid_r",
  parameter: string,
  key: string | number,
): Promise<PasswdEntry | undefined> {
  // It would end the name for the library, and so ask for another one.
  if (typeof key === "string" && (key === "" || key.includes("\0"))) return undefined;
  const ffi = requireFfi(PURPOSE);
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch))
    throw unavailable(`${PURPOSE} is known for Linux on x64 and arm64 only`);
  const ask = ffi.declare(`int ${name}(${parameter}, void *entry, void *buffer, size_t size, void *result)`);
  for (let size = FIRST_BUFFER_BYTES; ; size *= 4) {
    const entry = new Uint8Array(PASSWD_BYTES);
    const texts = new Uint8Array(size);
    const result = new BigUint64Array(1);
    const error = await called(ask, key, entry, texts, size, bytesOf(result));
    if (error === 0) {
      return result[0] === 0n ? undefined : entryOf(entry, texts, ffi.addressOf(texts));
    }
    const errorName = ffi.errorName(error);
    if (NO_SUCH_USER.has(errorName)) return undefined;
    if (errorName !== "ERANGE" || size >= MOST_BUFFER_BYTES)
      throw unavailable(`the system's directory of users does not answer: ${errorName}`);
  }
}

function entryOf(entry: Uint8Array, texts: Uint8Array, textsAt: bigint): PasswdEntry {
  const fields = new DataView(entry.buffer);
  const text = (at: number): string => {
    const begins = Number(fields.getBigUint64(at, true) - textsAt);
    if (begins < 0 || begins >= texts.length) return "";
    const ends = texts.indexOf(0, begins);
    return Buffer.from(texts.subarray(begins, ends < 0 ? undefined : ends)).toString("utf8");
  };
  return {
    name: text(AT.name),
    uid: fields.getUint32(AT.uid, true),
    gid: fields.getUint32(AT.gid, true),
    home: text(AT.home),
    shell: text(AT.shell),
  };
}

function called(ask: CFunction, ...args: readonly unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    ask.async(...args, (error: unknown, answer: unknown) => {
      if (error === null) resolve(Number(answer));
      else reject(error instanceof Error ? error : unavailable(messageOf(error)));
    });
  });
}

function bytesOf(numbers: Uint32Array | Int32Array | BigUint64Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

function unavailable(message: string): PosthornError {
  return new PosthornError("LIBRARY_UNAVAILABLE", {
    message,
    advice: "see what nsswitch.conf names for passwd, or keep the users in a table",
  });
}
