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
    const tracing = [
      "-f",
      "--seccomp-bpf",
      "-y",
      "-xx",
      "-s",
      String(LONGEST_WRITE_BYTES),
      "-e",
      `trace=${CALLS}`,
      "-o",
      traceFile,
    ];
    for (const fault of faults) tracing.push("-e", `inject=${fault}`);
    const child = spawn(strace, [...tracing, ...program], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.resume();
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
  return { root, steps: stepsOf(readFileSync(traceFile, "latin1"), root), exitCode };
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
        positions.set(String(result), 0);
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
      case "write":
      case "pwrite64": {
        const bytes = bytesOf(texts[0]?.[1] ?? "").subarray(0, result);
        if (descriptor === "1" || path.startsWith("socket:")) steps.push({ do: "say", at, text: bytes.toString() });
        if (file === undefined) break;
        if (texts[0]?.[2] !== undefined) throw new Error(`a write of ${path} is longer than the trace shows`);
        const position = positions.get(descriptor) ?? 0;
        const offset = name === "pwrite64" ? Number(/(\d+)$/.exec(args)?.[1]) : position;
        if (name === "write") positions.set(descriptor, position + result);
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
  const isSynced = (at: number, covers: (step: RecordedStep) => boolean): boolean =>
    cut.ignoresSyncs !== true &&
    steps.some((step) => "endedAt" in step && step.at > at && step.endedAt < cutAt && covers(step));

  // Names first: for each directory, how far its uncertain part got.
  const reached = new Map<string, number>();
  const nameSurvives = (path: string, at: number): boolean => {
    const directory = dirname(path);
    if (isSynced(at, (step) => step.do === "syncDirectory" && step.path === directory)) return true;
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
    else if (step.do === "create" && nameSurvives(step.path, step.at)) names.set(step.path, step.file);
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
    let content: Buffer = Buffer.alloc(0);
    for (const step of steps) {
      if ((step.do !== "write" && step.do !== "truncate") || step.file !== file) continue;
      const failedAt = steps.find(
        (other) => other.do === "failedSync" && other.file === file && other.at > step.at,
      )?.at;
      const isCertain = isSynced(
        step.at,
        (sync) => sync.do === "syncFile" && sync.file === file && (failedAt === undefined || sync.at < failedAt),
      );
      if (!isCertain && random.next() >= survival) {
        if (step.do === "write" && survival > 0 && random.next() < 0.5) content = tear(content, step, random);
        continue;
      }
      content = step.do === "write" ? overwrite(content, step.offset, step.bytes) : resize(content, step.length);
    }
    writeFileSync(moved(path), content);
  }
}

function reachable(directory: string, root: string, directories: ReadonlySet<string>): boolean {
  if (directory === root) return directories.has(root);
  return directory.startsWith(root) && directories.has(directory) && reachable(dirname(directory), root, directories);
}

/** Some sectors of the write arrived, in no order. */
function tear(content: Buffer, { offset, bytes }: { offset: number; bytes: Buffer }, random: Random): Buffer {
  let torn = content;
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, (Math.floor((offset + at) / SECTOR_BYTES) + 1) * SECTOR_BYTES - offset);
    if (random.next() < 0.5) torn = overwrite(torn, offset + at, bytes.subarray(at, end));
    at = end;
  }
  return torn;
}

function overwrite(content: Buffer, offset: number, bytes: Buffer): Buffer {
  const result = resize(content, Math.max(content.length, offset + bytes.length));
  bytes.copy(result, offset);
  return result;
}

function resize(content: Buffer, length: number): Buffer {
  if (content.length === length) return content;
  const result = Buffer.alloc(length);
  content.copy(result);
  return result;
}
