import { createRequire } from "node:module";
import { messageOf, PosthornError, systemCodeOf } from "../error.ts";

/**
 * The C library's own functions, for what Node lacks: record locks, syslog(3), the credentials of a unix peer. The
 * binding (koffi) is loaded at the first use and may be missing: each user has a fallback or refuses by name with
 * `LIBRARY_UNAVAILABLE`. Nothing else of ours may import koffi. docs/decisions/0003-koffi.md tells why.
 */
export interface Ffi {
  /** A function of the C library by its C declaration. Its `async` form runs on Node's pool and calls back. */
  declare(prototype: string): CFunction;
  /** Likewise of another library (`libcrypt.so.1`). Throws `LIBRARY_UNAVAILABLE` where the system has none of that name. */
  library(name: string): { declare(prototype: string): CFunction };
  /** The binding itself, for what has callbacks and structures; only for the files beside this one. */
  readonly binding: Koffi;
  /** The reason of the last failed synchronous call on this thread, as a name: `EAGAIN`. */
  lastError(): string;
  /** An error's number, as functions that return one give it, as a name: `EAGAIN`. */
  errorName(number: number): string;
  /** Where a buffer's bytes are, to tell what pointers that the library put somewhere mean in it. */
  addressOf(bytes: Uint8Array): bigint;
}

/** Called as its C declaration says; the declaration stands beside each use, which is where the types are checked. */
export interface CFunction {
  (...args: readonly (number | string | Uint8Array | null)[]): unknown;
  async: (...args: readonly unknown[]) => unknown;
}

export type Koffi = typeof import("koffi");

let loaded: Ffi | PosthornError | undefined;

/** The C library, or why it cannot be had. Tried once in a process's life; takes some ten milliseconds and 7 MB. */
export function tryFfi(): Ffi | PosthornError {
  loaded ??= load();
  return loaded;
}

/** Like `tryFfi`, for those who have no fallback. Throws `LIBRARY_UNAVAILABLE`; `purpose` says what cannot be done. */
export function requireFfi(purpose: string): Ffi {
  const ffi = tryFfi();
  if (ffi instanceof PosthornError) {
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `${purpose} is not possible: ${ffi.message}`,
      advice: ffi.advice,
      cause: ffi.cause,
    });
  }
  return ffi;
}

function load(): Ffi | PosthornError {
  try {
    // Required, not imported: a lazy synchronous load, and a missing package is an answer rather than a failed start.
    // The package's default entry finds its prebuilt library beside it; its install script has nothing to add.
    const koffi = createRequire(import.meta.url)("koffi") as Koffi;
    const libc = koffi.load(null);
    const declared = new Map<string, CFunction>();
    const libraries = new Map<string, ReturnType<Koffi["load"]>>();
    const names = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name]));
    return {
      declare(prototype) {
        const known = declared.get(prototype) ?? libc.func(prototype);
        declared.set(prototype, known);
        return known;
      },
      library(name) {
        const opened = libraries.get(name) ?? open(koffi, name);
        libraries.set(name, opened);
        return {
          declare(prototype) {
            const mark = `${name} ${prototype}`;
            const known = declared.get(mark) ?? opened.func(prototype);
            declared.set(mark, known);
            return known;
          },
        };
      },
      binding: koffi,
      lastError: () => names.get(koffi.errno()) ?? `errno ${koffi.errno()}`,
      errorName: (number) => names.get(number) ?? `errno ${number}`,
      addressOf: (bytes) => koffi.address(bytes),
    };
  } catch (thrown) {
    return new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `the C library cannot be reached through koffi: ${messageOf(thrown).split("\n", 1)[0]}`,
      advice: adviceFor(systemCodeOf(thrown)),
      cause: thrown,
    });
  }
}

function open(koffi: Koffi, name: string): ReturnType<Koffi["load"]> {
  try {
    return koffi.load(name);
  } catch (thrown) {
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `the library ${name} cannot be loaded: ${messageOf(thrown).split("\n", 1)[0]}`,
      advice: `install the package that has it (${LIBRARY_PACKAGES[name] ?? "on Debian: apt-file search tells which"})`,
      cause: thrown,
    });
  }
}

const LIBRARY_PACKAGES: Readonly<Record<string, string>> = {
  "libcrypt.so.1": "libcrypt1 on Debian, libxcrypt elsewhere",
  "libpam.so.0": "libpam0g on Debian, pam elsewhere",
};

function adviceFor(code: string | undefined): string {
  if (code === "MODULE_NOT_FOUND")
    return "install the package koffi with its optional packages (npm ci --include=optional)";
  if (code === "ERR_DLOPEN_DISABLED") return "start Node with --allow-addons, which its permission model asks for";
  return "see whether koffi has a prebuilt library for this system (the package @koromix/koffi-<system>-<processor>)";
}
