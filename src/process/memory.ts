import { PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { tryFfi } from "../foundation/ffi/ffi.io.ts";
import { PosthornError } from "../foundation/error.ts";
import type { Role } from "./split/roles.ts";

/**
 * How much memory a process may keep that it has no use for. Two things grow for hours under a light load and are never given
 * back, tens of MiB in each process:
 *
 * - V8's young generation: two halves, each doubled whenever enough has survived, up to 64 MiB a half by default. What a
 *   mail server makes for a message dies with it, so a small one does.
 * - glibc's arenas: memory that one thread asks for and another gives back lies about in each thread's own arena.
 *
 * docs/decisions/0039-memory.md has the figures.
 */

/** A half of the young generation, in MiB. */
const SEMI_SPACE_MIB: Readonly<Record<Role | "single" | "supervisor" | "filing", number>> = {
  single: 8,
  ingress: 8,
  scheduler: 4,
  egress: 4,
  delivery: 2,
  lookup: 2,
  log: 2,
  keeper: 2,
  acme: 2,
  filing: 2,
  supervisor: 4,
};
const MOST_ARENAS = 2;
/** `mallopt(3)`, from malloc.h. */
const M_ARENA_MAX = -8;
const MIB = 1024 * 1024;

/** Node's options for a process that is about to be started; none where the operator's NODE_OPTIONS give a size. */
export function memoryOptions(role: keyof typeof SEMI_SPACE_MIB): readonly string[] {
  if (namesSize(process.env["NODE_OPTIONS"] ?? "")) return [];
  const mib = SEMI_SPACE_MIB[role];
  // From the beginning: what a server takes after a minute is what it takes after a week.
  return [`--min-semi-space-size=${mib}`, `--max-semi-space-size=${mib}`];
}

/** Its environment. What the operator has set stays. */
export function memoryEnvironment(): Readonly<Record<string, string>> {
  return { MALLOC_ARENA_MAX: process.env["MALLOC_ARENA_MAX"] ?? String(MOST_ARENAS) };
}

/** The same for this process, which runs already: people start it, with options or without. */
export function boundOwnMemory(role: "single" | "supervisor"): void {
  // An arena of its own for each of the threads that one process has; the supervisor has none that matter.
  if (role === "single" && process.env["MALLOC_ARENA_MAX"] === undefined) boundArenas();
  if ([...process.execArgv, process.env["NODE_OPTIONS"] ?? ""].some(namesSize)) return;
  const mostBytes = 2 * SEMI_SPACE_MIB[role] * MIB;
  let grows = true;
  // V8 reads its greatest size only once, but the factor by which it grows each time that it does. Toggled, not set for
  // good: a process that was idle gets a small young generation again, which must be able to grow. We hear of a collection a
  // turn of the event loop later, so it may be doubled once more than it should.
  new PerformanceObserver(() => {
    const size = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;
    if (grows === size < mostBytes) return;
    grows = !grows;
    setFlagsFromString(`--semi-space-growth-factor=${grows ? 2 : 1}`);
  }).observe({ entryTypes: ["gc"] });
}

function boundArenas(): void {
  const ffi = tryFfi();
  if (ffi instanceof PosthornError) return;
  try {
    ffi.declare("int mallopt(int parameter, int value)")(M_ARENA_MAX, MOST_ARENAS);
  } catch {
    // Another C library (musl), which has no arenas.
  }
}

function namesSize(options: string): boolean {
  return options.includes("semi-space");
}
