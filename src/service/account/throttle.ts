import type { Clock } from "../../foundation/clock.ts";
import { networkText, parseIpAddress, unmapped } from "../../protocol/address/ip-address.ts";
import type { LoginBlock } from "../../protocol/sasl/question.ts";
import { networksOf } from "../table/networks.ts";
import { accountKey } from "./account-key.ts";
import type { LoginClient, ShownLogin } from "./logins.ts";
import type { ThrottleSettings } from "./throttle-settings.ts";

/**
 * Failed logins by address and by account: after a few, answers become slow, each slower than the one before; after many,
 * nobody is heard for a while. Purely counts; the waiting is done in front of it (`throttled-logins.ts`).
 *
 * An account is blocked for strangers only: an address that its owner has logged in from goes on, or everybody who knows
 * a user's name could lock him out. A login that works forgets the failures from its address for its account, and no
 * others: one good password would otherwise buy any number of guesses.
 *
 * Memory is bounded: what has been quiet for longest is forgotten first.
 */
export class LoginThrottle {
  readonly #clock: Clock;
  #settings: ThrottleSettings;
  #exempt: ReturnType<typeof networksOf>;
  readonly #records = new Map<string, Failures>();
  /** From where accounts were logged in to, and when last. */
  readonly #owners = new Map<string, number>();

  constructor(clock: Clock, settings: ThrottleSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#exempt = networksOf(settings.exempt);
  }

  /** What was counted stays. */
  reconfigure(settings: ThrottleSettings): void {
    this.#settings = settings;
    this.#exempt = networksOf(settings.exempt);
  }

  /** Before a question is looked at. `user` may be `""`: it is not known yet. */
  admit(client: LoginClient, user: string): Admitted {
    const now = this.#clock.now();
    const block = this.blockFor(client, user);
    if (block !== undefined) return { kind: "blocked", block };
    const keys = this.#keysOf(client, user);
    const records = keys.flatMap((key) => this.#recordOf(key, now) ?? []);
    // Many tries at a time are as slow as one after the other.
    const delayMs = Math.max(0, ...records.map((record) => this.#delayOf(record.failures, record.waiting)));
    for (const record of records) record.waiting++;
    return {
      kind: "go",
      delayMs,
      done: () => {
        for (const record of records) record.waiting--;
      },
    };
  }

  /** Whether nobody is heard from there, or for that account; also for those who have waited their time meanwhile. */
  blockFor(client: LoginClient, user: string): LoginBlock | undefined {
    const now = this.#clock.now();
    for (const key of this.#keysOf(client, user)) {
      const record = this.#recordOf(key, now);
      if (record?.blockedUntilAt !== undefined) return blockOf(record, record.blockedUntilAt);
    }
    return undefined;
  }

  /** `mark` stands for what was tried: the same wrong password again is a program that knows no other, and no guess. */
  failed(client: LoginClient, user: string, mark?: string): readonly LoginBlock[] {
    const now = this.#clock.now();
    const began: LoginBlock[] = [];
    for (const key of this.#keysOf(client, user)) {
      const record = this.#recordOf(key, now) ?? this.#begin(key, now);
      record.lastAt = now;
      // Moved to the end of the line of those to be forgotten.
      this.#records.delete(key.id);
      this.#records.set(key.id, record);
      if (mark !== undefined && record.marks.includes(mark)) continue;
      if (mark !== undefined) record.marks = [...record.marks.slice(1 - MOST_MARKS), mark];
      record.failures++;
      countUp(record, key.what === "address" ? accountKey(user) : (addressKey(client.address) ?? ""));
      const limit = key.what === "address" ? this.#settings.addressFailures : this.#settings.accountFailures;
      if (limit === 0 || record.failures < limit || record.blockedUntilAt !== undefined) continue;
      record.blockedUntilAt = now + this.#settings.block;
      began.push(blockOf(record, record.blockedUntilAt));
    }
    return began;
  }

  succeeded(client: LoginClient, user: string): void {
    const account = accountKey(user);
    const address = addressKey(client.address) ?? "";
    this.#forgive(`account ${account}`, address);
    this.#forgive(`address ${address}`, account);
    // Who comes through an address that many share has no address of his own.
    if (address === "" || this.#exempt.has(client.address ?? "")) return;
    const owner = `${address} ${account}`;
    this.#owners.delete(owner);
    this.#owners.set(owner, this.#clock.now());
    forgetOldest(this.#owners, MOST_OWNERS);
  }

  #forgive(id: string, other: string): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    record.failures -= record.by.find(({ key }) => key === other)?.failures ?? 0;
    record.by = record.by.filter(({ key }) => key !== other);
    if (record.failures <= 0) this.#records.delete(id);
  }

  /** Blocked ones first, then by failures; the first thousand. */
  shown(): readonly ShownLogin[] {
    const now = this.#clock.now();
    const shown: ShownLogin[] = [];
    for (const record of this.#records.values()) {
      if (this.#isOver(record, now)) continue;
      const { what, key, failures, sinceAt, lastAt, blockedUntilAt } = record;
      const delayMs = this.#delayOf(failures, 0);
      if (blockedUntilAt === undefined && delayMs === 0) continue;
      shown.push({
        what,
        key,
        state: blockedUntilAt === undefined ? "slowed" : "blocked",
        failures,
        sinceAt,
        lastAt,
        untilAt: blockedUntilAt ?? lastAt + this.#settings.forget,
        delayMs,
      });
    }
    const order = (one: ShownLogin): number => (one.state === "blocked" ? 0 : 1);
    return shown.sort((one, other) => order(one) - order(other) || other.failures - one.failures).slice(0, MOST_SHOWN);
  }

  /** An address or a network as it is shown, or an account; undefined: all. Says how many were forgotten. */
  clear(which: string | undefined): number {
    const wanted = which === undefined ? undefined : new Set([accountKey(which), addressKey(which) ?? ""]);
    let cleared = 0;
    for (const [id, { key }] of this.#records) {
      if (wanted?.has(key) === false) continue;
      this.#records.delete(id);
      cleared++;
    }
    return cleared;
  }

  #keysOf(client: LoginClient, user: string): readonly Key[] {
    const address = addressKey(client.address);
    const account = accountKey(user);
    const keys: Key[] = [];
    if (address !== undefined && !this.#exempt.has(client.address ?? ""))
      keys.push({ what: "address", key: address, id: `address ${address}` });
    const ownedAt = this.#owners.get(`${address ?? ""} ${account}`);
    const isOwner = ownedAt !== undefined && this.#clock.now() - ownedAt < OWNER_MS;
    if (account !== "" && !isOwner) keys.push({ what: "account", key: account, id: `account ${account}` });
    return keys;
  }

  #recordOf(key: Key, now: number): Failures | undefined {
    const record = this.#records.get(key.id);
    if (record === undefined || !this.#isOver(record, now)) return record;
    this.#records.delete(key.id);
    return undefined;
  }

  #begin({ what, key }: Key, now: number): Failures {
    forgetOldest(this.#records, MOST_RECORDS);
    return { what, key, failures: 0, sinceAt: now, lastAt: now, waiting: 0, marks: [], by: [] };
  }

  /** A block that is over begins with a clean sheet. */
  #isOver({ blockedUntilAt, lastAt }: Failures, now: number): boolean {
    return blockedUntilAt === undefined ? now - lastAt >= this.#settings.forget : now >= blockedUntilAt;
  }

  #delayOf(failures: number, waiting: number): number {
    const { freeFailures, delay, longestDelay } = this.#settings;
    if (failures < freeFailures || failures === 0) return 0;
    return Math.min(longestDelay, delay * 2 ** Math.min(20, failures + waiting - freeFailures));
  }
}

export type Admitted =
  /** `done` is called once, when the question has been answered. */
  | { readonly kind: "go"; readonly delayMs: number; readonly done: () => void }
  | { readonly kind: "blocked"; readonly block: LoginBlock };

/** Addresses and accounts with failures that are remembered at most; the same of owners. */
const MOST_RECORDS = 50_000;
const MOST_OWNERS = 100_000;
const MOST_SHOWN = 1000;
/** How long an address stays one of an account's own. */
const OWNER_MS = 30 * 86_400_000;
const MOST_MARKS = 4;
/** Accounts tried from one address, and addresses that tried one account, that are told apart. */
const MOST_OTHERS = 32;

interface Key {
  readonly what: LoginBlock["what"];
  readonly key: string;
  readonly id: string;
}

interface Failures {
  readonly what: LoginBlock["what"];
  readonly key: string;
  failures: number;
  readonly sinceAt: number;
  lastAt: number;
  blockedUntilAt?: number;
  /** Questions that are being answered. */
  waiting: number;
  marks: readonly string[];
  /** Of an address: for which accounts; of an account: from which addresses. */
  by: readonly { readonly key: string; failures: number }[];
}

function blockOf({ what, key, failures }: Failures, untilAt: number): LoginBlock {
  return { what, key, failures, untilAt };
}

/** The IPv4 address, or the IPv6 /64; undefined for none, and for what is no address. */
function addressKey(address: string | undefined): string | undefined {
  const parsed = parseIpAddress((address ?? "").replace(/%.*$/, "").replace(/\/64$/, ""));
  if (parsed === undefined) return undefined;
  const plain = unmapped(parsed);
  return plain.bytes.length === 4 ? networkText(plain, 32).replace(/\/32$/, "") : networkText(plain, 64);
}

function countUp(record: Failures, key: string): void {
  const known = record.by.find((one) => one.key === key);
  if (known !== undefined) known.failures++;
  else if (record.by.length < MOST_OTHERS) record.by = [...record.by, { key, failures: 1 }];
}

/** A Map goes through its keys in the order they were put in; a sixteenth at a time, for it gets slow at the front. */
function forgetOldest(map: Map<string, unknown>, most: number): void {
  if (map.size < most) return;
  let left = Math.ceil(most / 16);
  for (const key of map.keys()) {
    if (left-- === 0) return;
    map.delete(key);
  }
}
