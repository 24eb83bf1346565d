import { dirname, basename } from "node:path";
import type { FileStatus, MailFile, MailFs } from "../mail/delivery/mailbox/mail-fs.ts";

/** The process died, or the power went, in the middle of a step: whoever works on sees only this. */
export class Died extends Error {
  override readonly name = "Died";
}

/**
 * What is on the disk after a power cut, for what no sync had made durable. `process`: only the process died, so all is
 * there. `nothing`: none of it. `names`: directory entries are there, contents are not. `contents`: the other way round. `ends`,
 * `edges`: of contents only the second half, or all but the middle third, with zeros in the place of what is missing.
 */
export type Loss = "process" | "nothing" | "names" | "contents" | "ends" | "edges";

interface Node {
  readonly inode: number;
  readonly kind: "file" | "directory" | "symlink";
  data: Buffer;
  durableData: Buffer;
  names: Map<string, Node>;
  durableNames: Map<string, Node>;
  links: number;
  modifiedAt: number;
  isTrusted: boolean;
  isWritableByOthers: boolean;
}

/** A disk in memory that can die at any step that changes something, and forgets what was not synced. */
export class MailDisk {
  /** Steps that changed something since the start, or since `dieAt` was set. */
  steps = 0;
  now = 0;
  processId = 100;
  readonly living = new Set<number>();
  /** What every further step fails with, for disks that are full or broken. */
  failWith: string | undefined;
  #spares: readonly string[] = [];
  #failFrom = 0;
  #dieAt = Number.POSITIVE_INFINITY;
  #generation = 0;
  #inodes = 0;
  readonly #root: Node = this.#node("directory");
  readonly #locks = new Set<Node>();

  /** The step, counted from now, at which the process dies in the middle of what it does. */
  dieAt(step: number): void {
    this.steps = 0;
    this.#dieAt = step;
  }

  /** From that step on (counted from now) steps fail with this error, except those of the kinds spared. */
  failAt(step: number, error: string | undefined, spares: readonly string[] = []): void {
    this.steps = 0;
    this.#failFrom = step;
    this.failWith = error;
    this.#spares = spares;
  }

  /** A new life: locks are gone, and what the old one still tries to do fails. */
  restart(loss: Loss): void {
    this.#generation++;
    this.#locks.clear();
    this.#dieAt = Number.POSITIVE_INFINITY;
    this.failWith = undefined;
    if (loss !== "process") this.#forget(this.#root, loss, new Set());
  }

  /** The file system as this life sees it. */
  fs(): MailFs {
    const generation = this.#generation;
    const check = (): void => {
      if (generation !== this.#generation) throw new Died("this life is over");
    };
    return {
      processId: this.processId,
      isProcessAlive: (pid) => this.living.has(pid),
      create: async (path, mode) => {
        void mode;
        check();
        const parent = this.#directory(dirname(path));
        if (parent.names.has(basename(path))) throw systemError("EEXIST");
        const node = this.#node("file");
        this.#step("create", () => parent.names.set(basename(path), node));
        return this.#file(node, check);
      },
      open: async (path) => {
        check();
        const node = this.#find(path);
        if (node?.kind === "symlink") throw systemError("ELOOP");
        return node === undefined ? undefined : this.#file(node, check);
      },
      read: async (path, mostBytes) => {
        check();
        const node = this.#find(path);
        if (node?.kind === "symlink") throw systemError("ELOOP");
        return node && { status: statusOf(node), bytes: Buffer.from(node.data.subarray(0, mostBytes)) };
      },
      append: async (path, bytes) => {
        check();
        const node = this.#find(path);
        if (node === undefined) return false;
        this.#step("append", () => {
          node.data = Buffer.concat([node.data, bytes]);
          node.modifiedAt = this.now;
        });
        return true;
      },
      makeDirectory: async (path) => {
        check();
        const parent = this.#directory(dirname(path));
        if (parent.names.has(basename(path))) return false;
        this.#step("makeDirectory", () => parent.names.set(basename(path), this.#node("directory")));
        return true;
      },
      syncDirectory: async (path) => {
        check();
        const node = this.#directory(path);
        this.#step("syncDirectory", () => {
          node.durableNames = new Map(node.names);
        });
      },
      rename: async (from, to) => {
        check();
        const node = this.#find(from);
        if (node === undefined) throw systemError("ENOENT");
        this.#step("rename", () => {
          this.#directory(dirname(to)).names.set(basename(to), node);
          this.#directory(dirname(from)).names.delete(basename(from));
        });
      },
      link: async (from, to) => {
        check();
        const node = this.#find(from);
        if (node === undefined) throw systemError("ENOENT");
        if (this.#find(to) !== undefined) throw systemError("EEXIST");
        this.#step("link", () => this.#directory(dirname(to)).names.set(basename(to), node));
      },
      unlink: async (path) => {
        check();
        if (this.#find(path) === undefined) return false;
        this.#step("unlink", () => this.#directory(dirname(path)).names.delete(basename(path)));
        return true;
      },
      list: async (path) => {
        check();
        return [...(this.#find(path)?.names.keys() ?? [])];
      },
      status: async (path) => {
        check();
        const node = this.#find(path);
        return node && statusOf(node);
      },
    };
  }

  // What tests look at and arrange, as somebody else on the machine would.

  read(path: string): string | undefined {
    return this.#find(path)?.data.toString("latin1");
  }

  list(path: string): readonly string[] {
    return [...(this.#find(path)?.names.keys() ?? [])];
  }

  /** Puts a file there, durably, with the directories above it. */
  write(path: string, content: string): void {
    const parent = this.#make(dirname(path));
    const known = parent.names.get(basename(path));
    const node = known ?? this.#node("file");
    node.data = Buffer.from(content, "latin1");
    node.durableData = node.data;
    node.modifiedAt = this.now;
    parent.names.set(basename(path), node);
    parent.durableNames.set(basename(path), node);
  }

  change(
    path: string,
    how: Partial<Pick<Node, "links" | "modifiedAt" | "isTrusted" | "isWritableByOthers">> & { lock?: boolean },
  ): void {
    const node = this.#find(path);
    if (node === undefined) throw new Error(`no ${path}`);
    const { lock, ...rest } = how;
    Object.assign(node, rest);
    if (lock === true) this.#locks.add(node);
    if (lock === false) this.#locks.delete(node);
  }

  symlink(path: string, isTrusted: boolean): void {
    const parent = this.#make(dirname(path));
    const node = { ...this.#node("symlink"), isTrusted };
    parent.names.set(basename(path), node);
    parent.durableNames.set(basename(path), node);
  }

  move(from: string, to: string): void {
    const node = this.#find(from);
    if (node === undefined) throw new Error(`no ${from}`);
    for (const names of ["names", "durableNames"] as const) {
      this.#directory(dirname(to))[names].set(basename(to), node);
      this.#directory(dirname(from))[names].delete(basename(from));
    }
  }

  remove(path: string): void {
    this.#directory(dirname(path)).names.delete(basename(path));
    this.#directory(dirname(path)).durableNames.delete(basename(path));
  }

  #file(node: Node, check: () => void): MailFile {
    let hasLock = false;
    return {
      writeAt: async (position, bytes) => {
        check();
        const write = (part: Uint8Array): void => {
          const end = position + part.length;
          const grown = Buffer.alloc(Math.max(end, node.data.length));
          node.data.copy(grown);
          grown.set(part, position);
          node.data = grown;
          node.modifiedAt = this.now;
        };
        // Half of what is being written when the end comes has reached the file.
        this.#step(
          "writeAt",
          () => write(bytes),
          () => write(bytes.subarray(0, bytes.length >> 1)),
        );
      },
      readAt: async (position, length) => {
        check();
        return Buffer.from(node.data.subarray(position, position + length));
      },
      truncate: async (length) => {
        check();
        this.#step("truncate", () => {
          node.data = Buffer.from(node.data.subarray(0, length));
        });
      },
      sync: async () => {
        check();
        this.#step("sync", () => {
          node.durableData = node.data;
        });
      },
      status: async () => {
        check();
        return statusOf(node);
      },
      tryLock: () => {
        check();
        if (this.#locks.has(node)) return false;
        this.#locks.add(node);
        hasLock = true;
        return true;
      },
      close: async () => {
        if (hasLock) this.#locks.delete(node);
        hasLock = false;
      },
    };
  }

  #step(kind: string, whole: () => void, half: () => void = () => {}): void {
    this.steps++;
    if (this.steps >= this.#dieAt) {
      half();
      this.#generation++;
      throw new Died("died");
    }
    if (this.failWith !== undefined && this.steps >= this.#failFrom && !this.#spares.includes(kind)) {
      half();
      throw systemError(this.failWith);
    }
    whole();
  }

  #forget(node: Node, loss: Loss, seen: Set<Node>): void {
    if (seen.has(node)) return;
    seen.add(node);
    if (loss === "names" || loss === "nothing") node.data = node.durableData;
    else if (loss === "ends" || loss === "edges") node.data = torn(node, loss);
    node.durableData = node.data;
    if (loss === "contents" || loss === "nothing") node.names = new Map(node.durableNames);
    else node.durableNames = new Map(node.names);
    for (const child of node.names.values()) this.#forget(child, loss, seen);
  }

  #node(kind: Node["kind"]): Node {
    return {
      inode: ++this.#inodes,
      kind,
      data: Buffer.alloc(0),
      durableData: Buffer.alloc(0),
      names: new Map(),
      durableNames: new Map(),
      links: 1,
      modifiedAt: this.now,
      isTrusted: true,
      isWritableByOthers: false,
    };
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.split("/").filter((each) => each !== "" && each !== ".")) node = node?.names.get(part);
    return node;
  }

  #directory(path: string): Node {
    const node = this.#find(path);
    if (node === undefined) throw systemError("ENOENT");
    return node;
  }

  #make(path: string): Node {
    let node = this.#root;
    for (const part of path.split("/").filter(Boolean)) {
      const next = node.names.get(part) ?? this.#node("directory");
      node.names.set(part, next);
      node.durableNames.set(part, next);
      node = next;
    }
    return node;
  }
}

function statusOf(node: Node): FileStatus {
  return {
    kind: node.kind,
    identity: `1:${node.inode}`,
    links: node.links,
    sizeBytes: node.data.length,
    modifiedAt: node.modifiedAt,
    isTrusted: node.isTrusted,
    isWritableByOthers: node.isWritableByOthers,
  };
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as arranged`), { code });
}

/** What no sync had made durable, with zeros (or what was there before) where it did not reach the disk. */
function torn({ data, durableData }: Pick<Node, "data" | "durableData">, loss: "ends" | "edges"): Buffer {
  let from = 0;
  while (from < durableData.length && durableData[from] === data[from]) from++;
  const changed = Math.max(0, data.length - from);
  const [lostFrom, lostTo] =
    loss === "ends"
      ? [from, from + (changed >> 1)]
      : [from + Math.floor(changed / 3), from + Math.floor((2 * changed) / 3)];
  const left = Buffer.from(data);
  left.fill(0, lostFrom, lostTo);
  if (lostFrom < durableData.length) durableData.copy(left, lostFrom, lostFrom, Math.min(lostTo, durableData.length));
  return left;
}
