import { existsSync, renameSync, statSync } from "node:fs";
import type { SetAside } from "./damaged-database.ts";
import { messageOf, PosthornError } from "./error.ts";

const CORRUPT = 11;
const NOT_A_DATABASE = 26;
/** Of one database; somebody whose disk does that so often has another trouble. */
const MOST_ASIDE = 9;

/** SQLite found in a file what it never wrote there. */
export function isDamaged(thrown: unknown): boolean {
  if (typeof thrown !== "object" || thrown === null || !("errcode" in thrown)) return false;
  // The low byte is the result, the rest says more about it.
  const result = Number(thrown.errcode) & 0xff;
  return result === CORRUPT || result === NOT_A_DATABASE;
}

/** For whoever reads one that its owner has not found damaged: he comes across it when he touches the same place. */
export function damageText(file: string, thrown: unknown): string {
  return `${file} is damaged (${messageOf(thrown)}): to begin a new one, stop the server, move that file away and start it again; no mail is in it`;
}

export interface RenewedStore<Store> {
  /** Works with the store, which is opened when it is first needed; with a new one when the old one turns out to be damaged. */
  use<Value>(work: (store: Store) => Value): Value;
  close(): void;
}

/**
 * A store of facts that mail can do without, in a file of its own: a damaged one is renamed, never deleted, and a new one
 * begun, so that nothing waits until somebody has mended it. Throws what `work` throws for other reasons.
 */
export function renewedStore<Store extends { close(): void }>(
  file: string,
  open: () => Store,
  onSetAside: (what: SetAside) => void,
): RenewedStore<Store> {
  let opened: { readonly store: Store; readonly inode: number } | undefined;
  const begin = (): Store => {
    if (opened === undefined) {
      const store = open();
      opened = { store, inode: inodeOf(file) ?? 0 };
    }
    return opened.store;
  };
  const letGo = (): void => {
    const old = opened;
    opened = undefined;
    old?.store.close();
  };
  return {
    use(work) {
      const inodeBefore = opened?.inode ?? inodeOf(file);
      try {
        return work(begin());
      } catch (thrown) {
        if (!isDamaged(thrown)) throw thrown;
        try {
          letGo();
        } catch {
          // A damaged one that cannot be closed in good order is not used any more either way.
        }
        // Another process may have set it aside meanwhile: then there is a new one already.
        if (inodeOf(file) === inodeBefore) onSetAside({ file, aside: setAside(file), problem: messageOf(thrown) });
        return work(begin());
      }
    },
    close: letGo,
  };
}

function setAside(file: string): string {
  for (let count = 1; count <= MOST_ASIDE; count++) {
    const aside = count === 1 ? `${file}.broken` : `${file}.broken-${count}`;
    if (existsSync(aside)) continue;
    // Under the names by which SQLite's tools look for what belongs to it.
    for (const suffix of ["-wal", "-shm"]) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
    renameSync(file, aside);
    return aside;
  }
  throw new PosthornError("STORE_CLOSED", {
    message: `${file} is damaged, as ${MOST_ASIDE} before it that are still beside it (${file}.broken): it is not set aside any more`,
    advice: "look after the disk, then move those files away",
  });
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}
