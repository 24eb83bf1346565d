import { readFileSync } from "node:fs";
import type { StackSample } from "./samples.ts";

/** Where a sample's time goes, in a few words. */
export type PlaceOf = (sample: StackSample) => string;

const COLLECTS =
  /v8::internal::(?:Heap|Scaveng|MarkCompact|MinorMark|Mark|Sweep|IncrementalMarking|Evacuat|GCTracer|ConcurrentMark|ParallelScav|YoungGeneration|Pointer?Updat|RemembSet|NewSpace|PagedSpace)|Scavenger/;
const COMPILES =
  /v8::internal::(?:compiler|maglev|baseline|interpreter|OptimizingCompile|Compiler|BackgroundCompile|LazyCompile|TurbofanC|parsing|Parser|PreParser)|turboshaft/;

/** By the innermost thing that says something: a system call, V8's own work, our own module, Node's. */
export function placeFinder(sourceOf: (file: string, line: number) => string | undefined): PlaceOf {
  return ({ frames }) => {
    if (frames[0]?.isKernel === true) return `kernel: ${systemCallOf(frames) ?? "interrupts and the rest"}`;
    if (frames.some(({ symbol }) => COLLECTS.test(symbol))) return "V8: garbage collection";
    if (frames.some(({ symbol }) => COMPILES.test(symbol))) return "V8: compiling";
    for (const { script } of frames) {
      if (script === undefined) continue;
      const source = sourceOf(script.file, script.line);
      if (source !== undefined) return areaOf(source);
    }
    return frames.some(({ script }) => script !== undefined)
      ? "Node: sockets, timers, threads"
      : "Node and V8 without JavaScript";
  };
}

function systemCallOf(frames: StackSample["frames"]): string | undefined {
  // The outermost that is the kernel's: one call may go through several functions of that name.
  for (const { symbol, isKernel } of frames.toReversed()) {
    if (!isKernel) continue;
    const name = /^(?:__(?:x64|arm64|do|se)_|k)sys_(\w+)/.exec(symbol)?.[1];
    if (name !== undefined) return name.replace(/^(?:pwrite|pread)64$/, (whole) => whole.slice(0, -2));
  }
  return undefined;
}

/** `src/mail/session/state.ts` is `mail/session`. */
export function areaOf(source: string): string {
  return source.split("/").slice(1, 3).join("/");
}

/** Modules are put together when the program is built; a line in front of each names its source. */
export function sourceFinder(root: string): (file: string, line: number) => string | undefined {
  const known = new Map<string, readonly string[]>();
  return (file, line) => {
    if (!file.startsWith(`${root}/dist/`)) return undefined;
    let lines = known.get(file);
    if (lines === undefined) {
      lines = readFileSync(file, "utf8").split("\n");
      known.set(file, lines);
    }
    for (let at = Math.min(line, lines.length) - 1; at >= 0; at--) {
      const source = /^\/\/ (src\/\S+\.ts|node_modules\/\S+)$/.exec(lines[at] ?? "")?.[1];
      if (source !== undefined) return source;
    }
    return undefined;
  };
}
