import type { BackendHealth, FirstAnswer } from "./keyed-backend.ts";

/**
 * One lookup contract for every backend. Keys are folded to lower case before any lookup. A backend that fails is a
 * temporary error, never "not found".
 */
export interface Table {
  readonly name: string;
  lookup(key: string, ask?: TableAsk): Promise<TableAnswer>;
  /**
   * The value written under exactly this key, patterns (`*.domain`, `*`) as they are written: for callers whose keys have
   * an order of their own.
   */
  exact(key: string, ask?: TableAsk): Promise<TableAnswer>;
  /**
   * The first of several keys, best first, that is there as `exact` has it: for tables where the way to an answer costs
   * more than the answer. Ask through `firstExact`, which asks other tables in turn.
   */
  firstExact?(keys: readonly string[], ask?: TableAsk): Promise<FirstAnswer>;
  /** What stands under each of a few keys, in their order, as `exact` has it: where all of them wait once. */
  each?(keys: readonly string[], ask?: TableAsk): Promise<readonly TableAnswer[]>;
  /** All that is in it, for backends that can be gone through. */
  entries?(ask?: TableAsk): Promise<TableAnswer<readonly TableEntry[]>>;
  /** Whether a member: a list's element, a map's key, a network that contains the address, a `*.domain` that matches. */
  has(key: string, ask?: TableAsk): Promise<TableAnswer<boolean>>;
  /** Whether something stands under exactly this key, as `exact` has it. Of passwords, too: what stands there is not told. */
  hasExact(key: string, ask?: TableAsk): Promise<TableAnswer<boolean>>;
  /** Looks at its file, so that `health` is of now. Never rejects. */
  look?(): Promise<void>;
  /** How it does; without it there is nothing that could go wrong. */
  health?(): BackendHealth;
  /**
   * Whether it is the account's password, for backends that compare passwords themselves and give none away; `none`: there
   * is no such account, or it is another. `unable`: it does not do that after all, and wants to be looked into.
   */
  checkPassword?(
    account: string,
    password: string,
    signal?: AbortSignal,
  ): Promise<TableAnswer | { readonly kind: "unable" }>;
}

/**
 * What a lookup is for. Backends that keep columns, not texts, answer each service by a query of its own; the text they
 * give back is the same as in a file:
 *
 * | service | key | value |
 * |---|---|---|
 * | `alias` | a local part, `user@domain`, `@domain` | targets, separated by commas |
 * | `domain` | a domain | none: being there is all |
 * | `credentials` | an account | a password or a hash of it, `{SCHEME}...`; for a next host `user:password` |
 * | `network` | an IP address | none |
 * | `userinfo` | a user | `uid:gid:home` |
 * | `source` | anything | an IP address to connect from |
 * | `address` | an e-mail address | none: being there is all; or who it may be used by, separated by commas |
 * | `addressname` | an IP address | the name to give in EHLO |
 * | `certificate` | a server name | `certificate-file key-file` |
 * | `tls-policy` | a destination | a level and its attributes |
 * | `string` | anything | anything; what is meant without a service |
 */
export const TABLE_SERVICES = [
  "alias",
  "domain",
  "credentials",
  "network",
  "userinfo",
  "source",
  "address",
  "addressname",
  "certificate",
  "tls-policy",
  "string",
] as const;
export type TableService = (typeof TABLE_SERVICES)[number];

export interface TableAsk {
  readonly service?: TableService | undefined;
  /** Gives the lookup up: it then fails. */
  readonly signal?: AbortSignal | undefined;
  /** What `firstExact` is asked for; a table far away may then answer what will be asked next, too. */
  readonly ahead?: AliasAhead | undefined;
  /** Is shown each key that was asked for, and what came of it. */
  readonly onStep?: ((step: TableStep) => void) | undefined;
}

/** An alias is looked up, and what it stands for will be. Plain data. */
export interface AliasAhead {
  /** What stands for something else: `list@example.org`. */
  readonly address: string;
  /** How the table speaks of addresses: `Book.kind` and `Book.delimiters`. */
  readonly book: "primary" | "virtual";
  readonly delimiters: string;
  /** Of names without one. */
  readonly domain: string;
  /** `owner-list` will be asked for. */
  readonly hasOwner: boolean;
}

export interface TableStep {
  readonly key: string;
  readonly answer: TableAnswer;
}

export type TableAnswer<Value = string> =
  | { readonly kind: "found"; readonly value: Value; /** Where it stands: `/etc/aliases:12`. */ readonly where: string }
  | { readonly kind: "none" }
  | {
      readonly kind: "failed";
      readonly text: string;
      /** The table holds passwords, and nobody is told its values. */
      readonly isSecret?: true;
    };

/** One entry as it was written; `where` is `/etc/aliases:12`, `posthorn.yaml:12:5` or the table's name. */
export interface TableEntry {
  readonly key: string;
  readonly value: string | undefined;
  readonly where: string;
}
