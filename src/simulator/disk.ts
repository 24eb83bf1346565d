import { Readable } from "node:stream";
import type { Random } from "../foundation/random.ts";
import type { FileLayer, NewFile } from "../mail/queue/file-layer.ts";

/**
 * A disk in memory that can fail at any step, and lose at a power cut what was not synced. Every call of the layer is
 * one step, counted from 1; `fault` says what happens at one of them:
 *
 * - an error code (`EIO`, `ENOSPC`): the call rejects with it; a failed write may have written a part, and what a
 *   failed sync should have made durable never becomes so, whatever later syncs say;
 * - `kill`: the process ends there; that call and all later ones never settle, a write may have written a part.
 *
 * Times of change are step numbers.
 */
export interface SimulatedDisk {
  readonly files: FileLayer;
  /** Steps taken so far. */
  readonly steps: number;
  /** The disk as a power cut now leaves it; of what is uncertain each piece survives with the likelihood `survival`. */
  afterPowerCut(survival: number, random: Random): SimulatedDisk;
}

export interface DiskFault {
  readonly atStep: number;
  readonly what: "EIO" | "ENOSPC" | "kill";
}

interface SimulatedFile {
  bytes: Uint8Array;
  /** Pieces [from, to) that are on the platter for sure. */
  certain: readonly (readonly [from: number, to: number])[];
  /** Up to where a failed sync has spoilt the chance of becoming certain. */
  spoiltTo: number;
  modifiedAt: number;
}

interface SimulatedDirectory {
  readonly names: Map<string, SimulatedFile | "directory">;
  /** Names as of the last sync, and the changes since then, in order. */
  certain: ReadonlyMap<string, SimulatedFile | "directory">;
  changes: (readonly [name: string, entry: SimulatedFile | "directory" | undefined])[];
}

const SECTOR_BYTES = 512;

export function simulatedDisk(root: string, fault?: DiskFault): SimulatedDisk {
  return diskOf(new Map([[root, emptyDirectory()]]), fault);
}

function diskOf(directories: Map<string, SimulatedDirectory>, fault: DiskFault | undefined): SimulatedDisk {
  let steps = 0;
  let isDead = false;

  /** Takes a step; when the fault strikes at this one, `partly` is what still happens of it. */
  const step = async (partly: () => void = () => {}): Promise<void> => {
    await Promise.resolve();
    if (isDead) await forever();
    steps++;
    if (steps !== fault?.atStep) return;
    partly();
    if (fault.what !== "kill") throw systemError(fault.what);
    isDead = true;
    await forever();
  };
  const directoryAt = (path: string): SimulatedDirectory => {
    const directory = directories.get(path);
    if (directory === undefined) throw systemError("ENOENT");
    return directory;
  };
  const change = (path: string, entry: SimulatedFile | "directory" | undefined): void => {
    const [directory, name] = split(path);
    const found = directoryAt(directory);
    if (entry === undefined) found.names.delete(name);
    else found.names.set(name, entry);
    found.changes.push([name, entry]);
  };
  const fileAt = (path: string): SimulatedFile | undefined => {
    const [directory, name] = split(path);
    const entry = directories.get(directory)?.names.get(name);
    return entry === "directory" ? undefined : entry;
  };

  const openForWriting = (file: SimulatedFile): NewFile => ({
    async write(bytes) {
      await step(() => append(file, bytes.subarray(0, bytes.length >> 1)));
      append(file, bytes);
      file.modifiedAt = steps;
    },
    async sync() {
      const length = file.bytes.length;
      try {
        await step();
      } catch (thrown) {
        file.spoiltTo = length;
        throw thrown;
      }
      file.certain = [...file.certain, [file.spoiltTo, length]];
    },
    close: () => step(),
  });

  const files: FileLayer = {
    async create(path) {
      await step();
      if (fileAt(path) !== undefined) throw systemError("EEXIST");
      const file: SimulatedFile = { bytes: new Uint8Array(0), certain: [], spoiltTo: 0, modifiedAt: steps };
      change(path, file);
      return openForWriting(file);
    },
    async read(path) {
      await step();
      const file = fileAt(path);
      if (file === undefined) throw systemError("ENOENT");
      return Readable.from([Buffer.from(file.bytes)], { objectMode: false });
    },
    async syncDirectory(path) {
      const directory = directoryAt(path);
      const names = new Map(directory.names);
      const covered = directory.changes.length;
      await step();
      directory.certain = names;
      directory.changes = directory.changes.slice(covered);
    },
    async makeDirectory(path) {
      await step();
      if (directories.has(path)) return false;
      change(path, "directory");
      directories.set(path, emptyDirectory());
      return true;
    },
    async unlink(path) {
      await step();
      if (fileAt(path) === undefined) return false;
      change(path, undefined);
      return true;
    },
    async list(path) {
      await step();
      return [...(directories.get(path)?.names.keys() ?? [])];
    },
    async stat(path) {
      await step();
      const file = fileAt(path);
      return file === undefined ? undefined : { sizeBytes: file.bytes.length, modifiedAt: file.modifiedAt };
    },
  };

  return {
    files,
    get steps() {
      return steps;
    },
    afterPowerCut: (survival, random) => diskOf(survivorsOf(directories, survival, random), undefined),
  };
}

function append(file: SimulatedFile, bytes: Uint8Array): void {
  file.bytes = Buffer.concat([file.bytes, bytes]);
}

function survivorsOf(
  directories: ReadonlyMap<string, SimulatedDirectory>,
  survival: number,
  random: Random,
): Map<string, SimulatedDirectory> {
  const survivors = new Map<string, SimulatedDirectory>();
  for (const [path, directory] of directories) {
    const [parent, name] = split(path);
    // The root was there before; others must have survived in their parent, which comes earlier.
    if (directories.has(parent) && survivors.get(parent)?.names.get(name) !== "directory") continue;
    const names = new Map(directory.certain);
    for (const [changed, entry] of directory.changes) {
      if (random.next() >= survival) break;
      if (entry === undefined) names.delete(changed);
      else names.set(changed, entry);
    }
    for (const [file, entry] of names) if (entry !== "directory") names.set(file, survivorOf(entry, survival, random));
    survivors.set(path, { names, certain: new Map(names), changes: [] });
  }
  return survivors;
}

function survivorOf(file: SimulatedFile, survival: number, random: Random): SimulatedFile {
  const isCertain = (from: number, to: number): boolean => file.certain.some(([a, b]) => a <= from && to <= b);
  const bytes = Buffer.alloc(file.bytes.length);
  let length = 0;
  for (let from = 0; from < bytes.length; from += SECTOR_BYTES) {
    const to = Math.min(from + SECTOR_BYTES, bytes.length);
    if (!isCertain(from, to) && random.next() >= survival) continue;
    bytes.set(file.bytes.subarray(from, to), from);
    length = to;
  }
  return { ...file, bytes: bytes.subarray(0, length) };
}

function emptyDirectory(): SimulatedDirectory {
  return { names: new Map(), certain: new Map(), changes: [] };
}

function split(path: string): [directory: string, name: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, slash), path.slice(slash + 1)];
}

function forever(): Promise<never> {
  return new Promise(() => {});
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code });
}
