import { setTimeout as wait } from "node:timers/promises";
import type { Random } from "../../../src/foundation/random.ts";
import type { Layout, TestServer } from "../../server.ts";
import type { Account } from "../server-load.ts";
import type { Neighbours } from "./neighbours.ts";

/**
 * Something that goes wrong while a server is under load. A fault is played once in a life of a server: it begins, lasts
 * a moment, and is mended again before `play` resolves. Several may be played at once, so each expects that processes end
 * under its hands, and that the server is down or just being started again.
 */
export interface Fault {
  readonly name: string;
  readonly says: string;
  readonly layouts: readonly Layout[];
  /**
   * Whether a next host may get a mail again around it: where a process or the queue's disk goes down between the host's
   * yes and the outcome on disk. Where nothing goes down, nothing is repeated.
   */
  readonly mayRepeat: boolean;
  /** Names of faults that cannot be played in the same life. */
  readonly excludes?: readonly string[];
  /** What the manual tells an operator to do when all is right again and mail still waits. Told in words. */
  readonly cure?: (life: Life) => Promise<string>;
  /** What has to be there and is not, in words; undefined when it can be played. */
  readonly missing?: () => string | undefined;
  /** Before the first start of the server. */
  readonly prepare?: (life: Life) => void;
  /** Resolves when it is mended; with what was done, in words. */
  readonly play: (life: Life) => Promise<string>;
  /** When the life is over, whatever came of it. */
  readonly tidy?: (life: Life) => void;
}

export interface Life {
  readonly layout: Layout;
  /** The server's own; its state is in `data` below. */
  readonly folder: string;
  readonly random: Random;
  readonly account: Account;
  /** Who is asked and sent to: DNS, a table's backend, a next host. */
  readonly neighbours: Neighbours;
  /** How the server is started, from the next start on. */
  readonly starting: { wrapper: readonly string[]; env: Readonly<Record<string, string>> };
  /** The server, when it is up. */
  server(): TestServer | undefined;
  /** The first process of the server, as soon as there is one. */
  root(): number | undefined;
  /** The processes that do the server's work, by name: workers of a split one, or the only one. */
  processes(): readonly Victim[];
  /** Kills all of the server. Whoever watches over it starts it again. */
  killServer(): Promise<void>;
  /** Like `killServer`; `work` is done with what is on the disk before it is started again. */
  killServerAnd(kill: () => Promise<void>, work: () => void): Promise<void>;
}

export interface Victim {
  readonly name: string;
  readonly pid: number;
}

/** Some of the server's processes, at random, those named `named` only; waits a while for one to be there. */
export async function someProcess(
  life: Life,
  isMeant: (victim: Victim) => boolean = () => true,
): Promise<Victim | undefined> {
  let victim: Victim | undefined;
  await until(() => {
    const found = life.processes().filter(isMeant);
    victim = found[Math.floor(life.random.next() * found.length)];
    return victim !== undefined;
  }, 20_000);
  return victim;
}

/** Waits until it holds; false when it does not at the deadline. */
export async function until(holds: () => boolean, withinMs: number): Promise<boolean> {
  const untilAt = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > untilAt) return false;
    await wait(25);
  }
  return true;
}

/** False when the process has ended already. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

export function between(random: Random, least: number, most: number): number {
  return least + random.next() * (most - least);
}

export function oneOf<Item>(random: Random, items: readonly [Item, ...Item[]]): Item {
  return items[Math.floor(random.next() * items.length)] ?? items[0];
}
