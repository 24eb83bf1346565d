import type { OutputAsset, OutputChunk } from "rolldown";

/** Which modules become one file of `dist/chunks/`: those that the same processes load (docs/decisions/0038). */

const DAEMON = ["admin/cli/daemon-arguments", "admin/cli/help", "process/daemon", "process/version"];

/**
 * The programs, processes and threads, each by the modules that it begins with. What one of them loads only when it is
 * asked for is left to the bundler.
 */
export const beginnings: Readonly<Record<string, readonly string[]>> = {
  command: ["main", "admin/cli/posthorn", "admin/cli/world.io", "process/cli-world"],
  single: ["main", ...DAEMON, "process/single"],
  supervisor: ["main", ...DAEMON, "process/split/supervisor"],
  scheduler: ["process/split/worker-main", "process/split/worker-scheduler"],
  ingress: ["process/split/worker-main", "process/split/worker-ingress"],
  egress: ["process/split/worker-main", "process/split/worker-egress"],
  delivery: ["process/split/worker-main", "process/split/worker-local"],
  acme: ["process/split/worker-main", "process/split/worker-acme"],
  lookup: ["process/split/worker-main", "process/split/worker-lookup"],
  keeper: ["process/split/worker-main", "process/split/worker-keeper"],
  log: ["process/split/worker-main", "process/split/worker-log"],
  filing: ["process/role/filing-main"],
  library: ["process/library"],
  simulator: ["simulator/library"],
  storeThread: ["mail/queue/store-thread.io"],
  filingThread: ["mail/delivery/mailbox/filing-thread.io"],
  hookThread: ["mail/filter/hooks/hook-thread.io"],
  settingsThread: ["service/config/code-thread.io"],
  passwordThread: ["service/account/system-checker.io"],
  journalThread: ["mail/log/journal-worker.io"],
  journalReader: ["mail/log/journal-reader-worker.io"],
  syslogThread: ["mail/log/syslog-worker.io"],
};

/** To find, read and link a file takes a process about as long as so many characters in one. */
const FILE_CHARACTERS = 3000;

/** What is asked of rolldown's output. */
export type Built = Pick<OutputAsset, "type"> | Chunk;
type Chunk = Pick<
  OutputChunk,
  "type" | "name" | "fileName" | "code" | "imports" | "moduleIds" | "isEntry" | "isDynamicEntry"
>;

/** Modules that are loaded together, and the name of their file: that of the largest part. */
export interface ChunkPlan {
  readonly name: string;
  readonly modules: ReadonlySet<string>;
  /** How many load it. What a module imports is loaded by as many at least. */
  readonly loaders: number;
}

/**
 * What belongs together, of what the bundler makes by itself: that has a file for each set of modules that the same
 * programs and threads reach, and each part that is loaded later counts there like a program. `idOf` tells the bundler's name of
 * `src/NAME.ts`.
 */
export function planChunks(output: readonly Built[], idOf: (name: string) => string): readonly ChunkPlan[] {
  const chunks = output.filter((file) => file.type === "chunk");
  const byFile = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  const byModule = new Map(chunks.flatMap((chunk) => chunk.moduleIds.map((id) => [id, chunk] as const)));
  const loaders = new Map<Chunk, string[]>();
  for (const [loader, names] of Object.entries(beginnings)) {
    const begins = names.map((name) => {
      const chunk = byModule.get(idOf(name));
      if (chunk === undefined) throw new Error(`src/${name}.ts was not built: is it what ${loader} begins with?`);
      return chunk;
    });
    for (const chunk of reached(begins, byFile)) {
      const known = loaders.get(chunk);
      if (known === undefined) loaders.set(chunk, [loader]);
      else known.push(loader);
    }
  }
  // What is loaded by its address keeps its place.
  const shared = [...loaders].filter(([chunk]) => !chunk.isEntry && !chunk.isDynamicEntry);
  const parts = [...Map.groupBy(shared, ([, names]) => names.join(" "))].map(([names, group]) =>
    partOf(
      new Set(names.split(" ")),
      group.map(([chunk]) => chunk),
    ),
  );
  return withSmallJoined(parts).map((part) => ({
    name: part.chunks.reduce((a, b) => (b.code.length > a.code.length ? b : a)).name,
    modules: new Set(part.chunks.flatMap((chunk) => chunk.moduleIds)),
    loaders: part.loaders.size,
  }));
}

function reached(from: readonly Chunk[], byFile: ReadonlyMap<string, Chunk>): ReadonlySet<Chunk> {
  const seen = new Set<Chunk>();
  const waiting = [...from];
  for (let chunk = waiting.pop(); chunk !== undefined; chunk = waiting.pop()) {
    if (seen.has(chunk)) continue;
    seen.add(chunk);
    waiting.push(...chunk.imports.flatMap((name) => byFile.get(name) ?? []));
  }
  return seen;
}

/** What the same ones load. */
interface Part {
  readonly loaders: ReadonlySet<string>;
  readonly chunks: readonly Chunk[];
  readonly imports: ReadonlySet<string>;
  readonly characters: number;
}

function partOf(loaders: ReadonlySet<string>, chunks: readonly Chunk[]): Part {
  const own = new Set(chunks.map((chunk) => chunk.fileName));
  const imports = new Set(chunks.flatMap((chunk) => chunk.imports).filter((name) => !own.has(name)));
  return { loaders, chunks, imports, characters: chunks.reduce((sum, chunk) => sum + chunk.code.length, 0) };
}

/**
 * Small parts go where a few more load them, if all together win by it, the largest gain first. Everything a part imports must be
 * loaded by all of these already, packages and Node's modules too: so no process reads more than the part, and no two files
 * come to import each other.
 */
function withSmallJoined(all: readonly Part[]): readonly Part[] {
  let parts = all;
  for (;;) {
    const best = bestJoin(parts);
    if (best === undefined) return parts;
    const { part, into } = best;
    const joined = partOf(into.loaders, [...into.chunks, ...part.chunks]);
    parts = parts.filter((one) => one !== part).map((one) => (one === into ? joined : one));
  }
}

function bestJoin(parts: readonly Part[]): { readonly part: Part; readonly into: Part } | undefined {
  let best: { readonly part: Part; readonly into: Part } | undefined;
  let most = 0;
  for (const part of parts)
    for (const into of parts) {
      if (into === part || !part.loaders.isSubsetOf(into.loaders)) continue;
      const newcomers = into.loaders.size - part.loaders.size;
      const won = part.loaders.size * FILE_CHARACTERS - newcomers * part.characters;
      if (won <= most || !isThere(part.imports, into.loaders, parts)) continue;
      most = won;
      best = { part, into };
    }
  return best;
}

/** All of these load every one of the files and packages anyway. */
function isThere(imports: ReadonlySet<string>, loaders: ReadonlySet<string>, parts: readonly Part[]): boolean {
  const loaded = parts.filter((part) => loaders.isSubsetOf(part.loaders));
  const there = new Set(loaded.flatMap((part) => [...part.imports, ...part.chunks.map((chunk) => chunk.fileName)]));
  return imports.isSubsetOf(there);
}
