import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import { parseAliasTargets, type AliasTarget } from "../../../protocol/address/alias-targets.ts";
import type { ForwardTarget } from "../delivery.ts";
import type { MailFs } from "./mail-fs.ts";

/**
 * A user's `.forward`, read with that user's rights. It counts only when nobody else could have written it: a regular file
 * of the user's or of root's that neither group nor others may write to, in a directory of which the same is true. A file
 * that is there and cannot be used puts the mail off and says why, by file and line; an empty one is none.
 */
export type ForwardFile =
  | { readonly kind: "none" }
  | { readonly kind: "targets"; readonly path: string; readonly targets: readonly ForwardTarget[] }
  | { readonly kind: "broken"; readonly text: string };

const MOST_BYTES = 64 * 1024;
const MOST_INCLUDES = 10;
const MOST_TARGETS = 1000;

/** `paths`: the first that is there counts. `isSelf` knows the user's own addresses: mail to them stays. */
export async function readForward(
  fs: MailFs,
  paths: readonly string[],
  whose: {
    readonly localPart: string;
    readonly isSelf: (address: string) => boolean;
    /** `local.includesFrom` of the settings. */
    readonly mayInclude: boolean;
  },
): Promise<ForwardFile> {
  for (const path of paths) {
    const reading = new Reading(fs, whose);
    try {
      if (!(await reading.read(path, 0, true))) continue;
    } catch (thrown) {
      if (thrown instanceof Broken) return { kind: "broken", text: thrown.message };
      return { kind: "broken", text: `${path}: ${messageOf(thrown)}` };
    }
    // Empty (or only comments): the user wants the mail in the mailbox.
    return reading.targets.length === 0 ? { kind: "none" } : { kind: "targets", path, targets: reading.targets };
  }
  return { kind: "none" };
}

class Broken extends Error {
  override readonly name = "Broken";
}

class Reading {
  readonly targets: ForwardTarget[] = [];
  readonly #fs: MailFs;
  readonly #whose: Parameters<typeof readForward>[2];
  #includes = 0;

  constructor(fs: MailFs, whose: Parameters<typeof readForward>[2]) {
    this.#fs = fs;
    this.#whose = whose;
  }

  /** False when the file is not there. */
  async read(path: string, depth: number, isOwn: boolean): Promise<boolean> {
    const found = await this.#text(path, isOwn);
    if (found === undefined) return false;
    const { targets, problems } = parseAliasTargets(found.text);
    const [first] = problems;
    if (first !== undefined) throw new Broken(`${path}:${first.line}: ${first.text}`);
    // They would be run and written with the rights of the user, who wanted no more than addresses from somebody else.
    const acting = found.isTrusted ? undefined : targets.find(({ kind }) => kind === "command" || kind === "file");
    if (acting !== undefined)
      throw new Broken(`${path}:${acting.line}: a list of somebody else's may name addresses only, no ${acting.kind}`);
    for (const target of targets) await this.#take(target, `${path}:${target.line}`, depth);
    return true;
  }

  async #text(path: string, isOwn: boolean): Promise<{ text: string; isTrusted: boolean } | undefined> {
    const found = await this.#fs.read(path, MOST_BYTES + 1).catch((thrown: unknown) => {
      const code = systemCodeOf(thrown);
      // A home, or a directory on the way, that is not there or no directory holds no file.
      // Neither does a name that is too long for one: the extension is the sender's.
      if (code === "ENOTDIR" || (code === "ENAMETOOLONG" && isOwn)) return undefined;
      throw new Broken(code === "ELOOP" ? `${path}: is a symbolic link` : `${path}: ${messageOf(thrown)}`);
    });
    if (found === undefined) return undefined;
    const { status, bytes } = found;
    if (status.kind !== "file") throw new Broken(`${path}: is not a regular file`);
    // Lists that others keep may be included; what is told by the user's own file must be the user's.
    if (isOwn && !status.isTrusted) throw new Broken(`${path}: belongs to somebody else`);
    if (status.isWritableByOthers) throw new Broken(`${path}: is writable by group or others`);
    if (bytes.length > MOST_BYTES) throw new Broken(`${path}: is larger than ${MOST_BYTES / 1024} KiB`);
    // With the dot it is the directory itself, also where a link of root's leads to it.
    const directory = await this.#fs.status(`${path.slice(0, path.lastIndexOf("/"))}/.`);
    if (isOwn && directory !== undefined && (directory.isWritableByOthers || !directory.isTrusted))
      throw new Broken(`${path}: its directory is writable by group or others, or belongs to somebody else`);
    return { text: bytes.toString("utf8"), isTrusted: status.isTrusted };
  }

  async #take(target: AliasTarget, where: string, depth: number): Promise<void> {
    if (this.targets.length >= MOST_TARGETS) throw new Broken(`${where}: more than ${MOST_TARGETS} targets`);
    switch (target.kind) {
      case "address": {
        const isFinal = target.isFinal || this.#whose.isSelf(target.address);
        this.targets.push({ kind: "address", address: target.address, isFinal });
        return;
      }
      case "domain":
        this.targets.push({
          kind: "address",
          address: `${this.#whose.localPart}@${target.domain}`,
          isFinal: false,
        });
        return;
      case "command":
        this.targets.push({ kind: "command", command: target.command });
        return;
      case "file":
        this.targets.push({ kind: "file", path: target.path });
        return;
      case "discard":
        this.targets.push({ kind: "file", path: "/dev/null" });
        return;
      case "include":
        if (!this.#whose.mayInclude) throw new Broken(`${where}: the settings allow no :include: in a .forward`);
        if (depth > 0 || ++this.#includes > MOST_INCLUDES)
          throw new Broken(
            `${where}: included files include nothing further, and ${MOST_INCLUDES} at the most are read`,
          );
        if (!(await this.read(target.path, depth + 1, false)))
          throw new Broken(`${where}: there is no file ${target.path}`);
        return;
      case "fail":
      case "defer":
        throw new Broken(`${where}: only aliases can refuse mail`);
    }
  }
}
