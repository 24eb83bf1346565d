import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Random } from "../../src/foundation/random.ts";

/**
 * Records what a program writes below a directory, with strace, and rebuilds the directory as a power cut could have
 * left it: at any moment, with any part of what was not synced by then missing, and writes torn.
 *
 * The model is stricter than most file systems. Data is certain only after an fsync or fdatasync of that file which
 * began after the write and ended before the cut; a name (created, renamed, removed) only after such an fsync of its
 * directory. Of uncertain data any subset survives, each write whole, torn at a sector, or not at all; of a
 * directory's uncertain names those up to some moment survive, for file systems journal names in order.
 *
 * What a failed sync should have made certain stays uncertain for ever: Linux reports the failure once, counts the data
 * as written, and lets every later sync succeed without it.
 *
 * Files written through mmap are not seen; SQLite's index of the log (`-shm`) is the only one, and is rebuilt from the
 * log at every start, so it is left out.
 */
export interface Recording {
  readonly root: string;
  readonly steps: readonly RecordedStep[];
  /** The program's exit code, null when a signal ended it. */
  readonly exitCode: number | null;
}

export type RecordedStep =
  /** A new file, or one cut to nothing when it was opened. */
  | { readonly do: "create"; readonly at: number; readonly path: string; readonly file: number }
  | { readonly do: "makeDirectory"; readonly at: number; readonly path: string }
  | { readonly do: "unlink"; readonly at: number; readonly path: string }
  | { readonly do: "rename"; readonly at: number; readonly path: string; readonly to: string; readonly file: number }
  /** A second name of a file. */
  | { readonly do: "link"; readonly at: number; readonly path: string; readonly file: number }
  | {
      readonly do: "write";
      readonly at: number;
      readonly file: number;
      readonly offset: number;
      readonly bytes: Buffer;
    }
  | { readonly do: "truncate"; readonly at: number; readonly file: number; readonly length: number }
  /** Counts from its beginning (`at`) once it has ended. */
  | { readonly do: "syncFile"; readonly at: number; readonly endedAt: number; readonly file: number }
  | { readonly do: "failedSync"; readonly at: number; readonly file: number }
  | { readonly do: "syncDirectory"; readonly at: number; readonly endedAt: number; readonly path: string }
  /** Something on standard output or on a socket: what others know from then on. */
  | { readonly do: "say"; readonly at: number; readonly text: string };

const CALLS =
  "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat,renameat2," +
  "unlink,unlinkat,link,linkat,mkdir,mkdirat,fsync,fdatasync,copy_file_range,sendfile,close";
const LONGEST_WRITE_BYTES = 1 << 20;
const SECTOR_BYTES = 512;

/**
 * Runs `program` under strace; `root` (an absolute path) must not exist yet. `faults` are calls to let fail, in
 * strace's words: `fsync:error=EIO:when=7`.
 */
export async function recordWrites(
  strace: string,
  program: readonly string[],
  root: string,
  traceFile: string,
  faults: readonly string[] = [],
): Promise<Recording> {
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    const [tracer = "", ...tracing] = recordingCommand(strace, traceFile);
    for (const fault of faults) tracing.push("-e", `inject=${fault}`);
    const child = spawn(tracer, [...tracing, ...program], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.resume();
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
  return { ...finishRecording(traceFile, root), exitCode };
}

/** What goes before a program's command to record it; whoever runs it calls `finishRecording` when it has ended. */
export function recordingCommand(strace: string, traceFile: string): readonly string[] {
  const texts = ["-y", "-xx", "-s", String(LONGEST_WRITE_BYTES)];
  return [strace, "-f", "--seccomp-bpf", ...texts, "-e", `trace=${CALLS}`, "-o", traceFile];
}

export function finishRecording(traceFile: string, root: string): Recording {
  return { root, steps: stepsOf(readFileSync(traceFile, "latin1"), root), exitCode: null };
}

interface Call {
  readonly name: string;
  readonly args: string;
  readonly result: number;
  /** Of the call's beginning, and of its end, in the order of the trace. */
  readonly at: number;
  readonly endedAt: number;
}

/** The calls of a trace that did something, by their beginning; those cut in two by another thread's are joined. */
function callsOf(trace: string): Call[] {
  const calls: Call[] = [];
  const unfinished = new Map<string, { name: string; args: string; at: number }>();
  let at = 0;
  for (const line of trace.split("\n")) {
    at++;
    const whole = /^(\d+) +(\w+)\((.*)\) += (-?\d+)/s.exec(line);
    if (whole !== null) {
      calls.push({ name: whole[2] ?? "", args: whole[3] ?? "", result: Number(whole[4]), at, endedAt: at });
      continue;
    }
    const begun = /^(\d+) +(\w+)\((.*?),? <unfinished \.\.\.>$/s.exec(line);
    if (begun !== null) {
      unfinished.set(begun[1] ?? "", { name: begun[2] ?? "", args: begun[3] ?? "", at });
      continue;
    }
    const ended = /^(\d+) +<\.\.\. \w+ resumed>(.*)\) += (-?\d+)/s.exec(line);
    const first = ended === null ? undefined : unfinished.get(ended[1] ?? "");
    if (ended === null || first === undefined) continue;
    unfinished.delete(ended[1] ?? "");
    calls.push({ ...first, args: `${first.args}${ended[2] ?? ""}`, result: Number(ended[3]), endedAt: at });
  }
  // A write that a kill interrupted may have been done; the model lets it be lost anyway when it counts as not begun.
  return calls
    .filter(({ name, result }) => result >= 0 || name === "fsync" || name === "fdatasync")
    .sort((a, b) => a.at - b.at);
}

function stepsOf(trace: string, root: string): RecordedStep[] {
  const steps: RecordedStep[] = [];
  /** What the program sees: names to files, by numbers of our own. */
  const names = new Map<string, number>();
  const positions = new Map<string, number>();
  let files = 0;
  const isOurs = (path: string): boolean => (path === root || path.startsWith(`${root}/`)) && !path.endsWith("-shm");

  for (const { name, args, result, at, endedAt } of callsOf(trace)) {
    const texts = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g)];
    const text = (index: number): string => bytesOf(texts[index]?.[1] ?? "").toString();
    const onFile = /^(\d+)<((?:\\x[0-9a-f]{2}|[^>\\])*)>(\(deleted\))?/.exec(args);
    const descriptor = onFile?.[1] ?? "";
    const path = onFile === null || onFile[3] !== undefined ? "" : bytesOf(onFile[2] ?? "").toString();
    const file = names.get(path);
    switch (name) {
      case "openat":
      case "open":
      case "creat": {
        const opened = text(0);
        // By name, for several processes have descriptors of the same number.
        if (/O_(?:WRONLY|RDWR)/.test(args)) positions.set(opened, 0);
        const isNew = !names.has(opened);
        if (!isOurs(opened) || !(isNew ? /O_CREAT/ : /O_TRUNC/).test(args)) break;
        if (isNew) {
          names.set(opened, ++files);
          steps.push({ do: "create", at, path: opened, file: files });
        } else steps.push({ do: "truncate", at, file: names.get(opened) ?? 0, length: 0 });
        break;
      }
      case "mkdir":
      case "mkdirat":
        if (isOurs(text(0))) steps.push({ do: "makeDirectory", at, path: text(0) });
        break;
      case "unlink":
      case "unlinkat":
        if (names.delete(text(0))) steps.push({ do: "unlink", at, path: text(0) });
        break;
      case "rename":
      case "renameat":
      case "renameat2": {
        const moved = names.get(text(0));
        if (moved === undefined) break;
        names.delete(text(0));
        names.set(text(1), moved);
        steps.push({ do: "rename", at, path: text(0), to: text(1), file: moved });
        break;
      }
      case "link":
      case "linkat": {
        const linked = names.get(text(0));
        if (linked === undefined) break;
        names.set(text(1), linked);
        steps.push({ do: "link", at, path: text(1), file: linked });
        break;
      }
      case "write":
      case "pwrite64": {
        const bytes = bytesOf(texts[0]?.[1] ?? "").subarray(0, result);
        if (descriptor === "1" || path.startsWith("socket:")) steps.push({ do: "say", at, text: bytes.toString() });
        if (file === undefined) break;
        if (texts[0]?.[2] !== undefined) throw new Error(`a write of ${path} is longer than the trace shows`);
        const position = positions.get(path) ?? 0;
        const offset = name === "pwrite64" ? Number(/(\d+)$/.exec(args)?.[1]) : position;
        if (name === "write") positions.set(path, position + result);
        steps.push({ do: "write", at, file, offset, bytes });
        break;
      }
      case "writev":
        if (file !== undefined) throw new Error(`the recording has a writev of ${path}, which it cannot replay`);
        if (path.startsWith("socket:"))
          steps.push({ do: "say", at, text: texts.map((_, index) => text(index)).join("") });
        break;
      case "ftruncate":
        if (file !== undefined) steps.push({ do: "truncate", at, file, length: Number(/(\d+)$/.exec(args)?.[1]) });
        break;
      case "fsync":
      case "fdatasync":
        if (result < 0) {
          if (file !== undefined) steps.push({ do: "failedSync", at, file });
        } else if (file !== undefined) steps.push({ do: "syncFile", at, endedAt, file });
        else if (isOurs(path) || path === dirname(root)) steps.push({ do: "syncDirectory", at, endedAt, path });
        break;
      case "close":
        break;
      default:
        // Not used by what is recorded today; rather no recording than a wrong one.
        if (file !== undefined || texts.some((_, index) => isOurs(text(index))))
          throw new Error(`the recording has a ${name} of ${path === "" ? text(0) : path}, which it cannot replay`);
    }
  }
  return steps;
}

/** strace's `-xx` writes every byte as `\xNN`. */
function bytesOf(hex: string): Buffer {
  return /^(?:\\x[0-9a-f]{2})*$/.test(hex) ? Buffer.from(hex.replaceAll("\\x", ""), "hex") : Buffer.from(hex, "latin1");
}

/** What had been said on standard output and sockets before the cut. */
export function wordsBefore(recording: Recording, cutAt: number): string {
  return recording.steps
    .filter((step) => step.do === "say" && step.at < cutAt)
    .map((step) => (step.do === "say" ? step.text : ""))
    .join("");
}

/** Moments worth a cut: right before and after every sync and every promise, and anywhere between. */
export function cutsOf(recording: Recording): readonly number[] {
  const cuts = new Set<number>();
  for (const step of recording.steps) {
    cuts.add(step.at).add(step.at + 1);
    if ("endedAt" in step) cuts.add(step.endedAt).add(step.endedAt + 1);
  }
  return [...cuts].sort((a, b) => a - b);
}

export interface PowerCut {
  readonly cutAt: number;
  /** How likely each uncertain write survives whole: 0 loses all, 1 keeps all. */
  readonly survival: number;
  readonly random: Random;
  /** For tests of the model itself: a disk that only pretends to sync. */
  readonly ignoresSyncs?: boolean;
}

/** Writes the directory as the cut left it to `into`, which takes the place of the recording's root. */
export function rebuild(recording: Recording, into: string, cut: PowerCut): void {
  const { cutAt, survival, random } = cut;
  const steps = recording.steps.filter((step) => step.at < cutAt);
  const syncsOfFiles = new Map<number, Sync[]>();
  const syncsOfDirectories = new Map<string, Sync[]>();
  const changesOf = new Map<number, Change[]>();
  const failuresOf = new Map<number, number[]>();
  for (const step of steps) {
    if (step.do === "write" || step.do === "truncate") listIn(changesOf, step.file).push(step);
    else if (step.do === "failedSync") listIn(failuresOf, step.file).push(step.at);
    else if (cut.ignoresSyncs === true || !("endedAt" in step) || step.endedAt >= cutAt) continue;
    else if (step.do === "syncFile") listIn(syncsOfFiles, step.file).push(step);
    else listIn(syncsOfDirectories, step.path).push(step);
  }
  const isSynced = (syncs: readonly Sync[] | undefined, at: number, before = Infinity): boolean =>
    syncs?.some((sync) => sync.at > at && sync.at < before) === true;

  // Names first: for each directory, how far its uncertain part got.
  const reached = new Map<string, number>();
  const nameSurvives = (path: string, at: number): boolean => {
    const directory = dirname(path);
    if (isSynced(syncsOfDirectories.get(directory), at)) return true;
    let until = reached.get(directory);
    if (until === undefined) {
      until = survival === 1 ? Infinity : survival === 0 ? -1 : random.next() * cutAt * 1.2;
      reached.set(directory, until);
    }
    return at < until;
  };
  const names = new Map<string, number>();
  const directories = new Set<string>();
  for (const step of steps) {
    if (step.do === "makeDirectory" && nameSurvives(step.path, step.at)) directories.add(step.path);
    else if ((step.do === "create" || step.do === "link") && nameSurvives(step.path, step.at))
      names.set(step.path, step.file);
    else if (step.do === "unlink" && nameSurvives(step.path, step.at)) names.delete(step.path);
    else if (step.do === "rename" && nameSurvives(step.to, step.at)) {
      names.set(step.to, step.file);
      if (nameSurvives(step.path, step.at)) names.delete(step.path);
    }
  }

  rmSync(into, { recursive: true, force: true });
  mkdirSync(into, { recursive: true });
  const moved = (path: string): string => into + path.slice(recording.root.length);
  for (const directory of directories)
    // A directory whose parent was lost cannot be reached.
    if (directory === recording.root || reachable(dirname(directory), recording.root, directories))
      mkdirSync(moved(directory), { recursive: true });
  for (const [path, file] of names) {
    if (!reachable(dirname(path), recording.root, directories)) continue;
    const content = new Content();
    const syncs = syncsOfFiles.get(file);
    const failures = failuresOf.get(file) ?? [];
    for (const step of changesOf.get(file) ?? []) {
      const isCertain = isSynced(
        syncs,
        step.at,
        failures.find((at) => at > step.at),
      );
      if (!isCertain && random.next() >= survival) {
        if (step.do === "write" && survival > 0 && random.next() < 0.5) tear(content, step, random);
      } else if (step.do === "write") content.write(step.offset, step.bytes);
      else content.resize(step.length);
    }
    writeFileSync(moved(path), content.bytes());
  }
}

type Sync = Extract<RecordedStep, { readonly endedAt: number }>;
type Change = Extract<RecordedStep, { readonly do: "write" | "truncate" }>;

function listIn<Key, Item>(lists: Map<Key, Item[]>, key: Key): Item[] {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  return list;
}

function reachable(directory: string, root: string, directories: ReadonlySet<string>): boolean {
  if (directory === root) return directories.has(root);
  return directory.startsWith(root) && directories.has(directory) && reachable(dirname(directory), root, directories);
}

/** Some sectors of the write arrived, in no order. */
function tear(content: Content, { offset, bytes }: { offset: number; bytes: Buffer }, random: Random): void {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, (Math.floor((offset + at) / SECTOR_BYTES) + 1) * SECTOR_BYTES - offset);
    if (random.next() < 0.5) content.write(offset + at, bytes.subarray(at, end));
    at = end;
  }
}

/** What a file holds; what was never written is zero. */
class Content {
  #held = Buffer.alloc(4096);
  #length = 0;

  write(offset: number, bytes: Buffer): void {
    if (offset + bytes.length > this.#length) this.resize(offset + bytes.length);
    bytes.copy(this.#held, offset);
  }

  resize(length: number): void {
    if (length > this.#held.length) {
      const grown = Buffer.alloc(Math.max(length, 2 * this.#held.length));
      this.#held.copy(grown, 0, 0, this.#length);
      this.#held = grown;
    }
    if (length < this.#length) this.#held.fill(0, length, this.#length);
    this.#length = length;
  }

  bytes(): Buffer {
    return this.#held.subarray(0, this.#length);
  }
}
