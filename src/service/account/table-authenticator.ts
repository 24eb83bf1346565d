import { messageOf } from "../../foundation/error.ts";
import type { ScramHash } from "../../protocol/sasl/question.ts";
import { saslprep } from "../../protocol/sasl/saslprep.ts";
import { scramVerifier } from "../../protocol/sasl/scram.ts";
import { foldKey } from "../table/pattern.ts";
import type { Table } from "../table/table.ts";
import {
  SCRAM_ITERATIONS,
  type Authenticator,
  type PasswordVerdict,
  type PlainPasswordFound,
  type ScramKeysFound,
} from "./authenticator.ts";
import { parsePasswordHash, type PasswordHash } from "./password.ts";
import type { RememberedLogins } from "./remembered-logins.ts";
import { scramSalt } from "./scram-salt.ts";
import type { Turns } from "../../foundation/turns.ts";

/** Longer ones are an attack on the hash function, not a password. */
const MOST_PASSWORD_LENGTH = 1024;

export interface TableAuthenticatorParts {
  /** Whether a password is the hash's; `password-check.io.ts` has it. */
  readonly isPassword: (password: string, known: PasswordHash) => Promise<boolean>;
  /** PBKDF2, for the keys of SCRAM where the table has the password itself. */
  readonly pbkdf2: (password: Buffer, salt: Buffer, iterations: number, hash: ScramHash) => Promise<Buffer>;
  readonly turns: Turns;
  /** With the hash in it: a password that was changed counts at once. */
  readonly remembered: RememberedLogins;
  /** Whether hashes that are built on MD5 or DES count. */
  readonly allowsWeak: boolean;
  /** Of which salts are made up. */
  readonly secret: Uint8Array;
}

/** Checks passwords against a table of user and password hash. Users are compared without regard to case. */
export function tableAuthenticator(accounts: Table, parts: TableAuthenticatorParts): Authenticator {
  const { remembered } = parts;
  /** What is worked on for users that do not exist: the last hash that was dear, for one of its kind is what others have. */
  let usual: PasswordHash = OURS;

  /** The hash of a user; a text: why nobody can tell. */
  const find = async (
    user: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly hash: PasswordHash; readonly text: string } | "none" | { readonly failed: string }> => {
    if (user === "") return "none";
    const answer = await accounts.lookup(user, { service: "credentials", signal });
    if (answer.kind === "none") return "none";
    if (answer.kind === "failed") return { failed: answer.text };
    const hash = parsePasswordHash(answer.value.trim());
    if (hash === undefined)
      return { failed: `${answer.where}: the password is in no form that we know, or too dear to check` };
    if ("isWeak" in hash && hash.isWeak && !parts.allowsWeak)
      return {
        failed: `${answer.where}: the password is hashed by a weak scheme (MD5 or DES); accounts.weak-hashes would allow it`,
      };
    return { hash, text: answer.value };
  };
  /** What a table says that compares passwords itself; undefined: it does not. */
  const compared = async (
    user: string,
    password: string,
    signal: AbortSignal | undefined,
  ): Promise<PasswordVerdict | undefined> => {
    if (accounts.checkPassword === undefined) return undefined;
    if (user === "" || password === "" || password.length > MOST_PASSWORD_LENGTH) return WRONG;
    const account = foldKey(user);
    if (remembered.find(account, accounts.name, password) !== undefined) return { kind: "right", account };
    const answer = await accounts.checkPassword(user, password, signal);
    if (answer.kind === "unable") return undefined;
    if (answer.kind === "failed") return { kind: "failed", text: answer.text };
    if (answer.kind === "none") return WRONG;
    remembered.add(account, account, accounts.name, password);
    return { kind: "right", account };
  };
  const isRight = async (password: string, hash: PasswordHash): Promise<boolean | undefined> =>
    parts.turns.tryTake(() => parts.isPassword(password, hash));

  /** The last account that SCRAM asked for had its password as it is: then one that does not exist takes as long as that. */
  let isHashedForScram = false;
  const saltedFor = (user: string, hash: ScramHash, password: string): Promise<Buffer | undefined> =>
    parts.turns.tryTake(() =>
      parts.pbkdf2(
        Buffer.from(saslprep(password) ?? password),
        scramSalt(parts.secret, hash, user),
        SCRAM_ITERATIONS,
        hash,
      ),
    );

  return {
    async checkPassword(user, password, signal): Promise<PasswordVerdict> {
      try {
        const told = await compared(user, password, signal);
        if (told !== undefined) return told;
        const found = password.length > MOST_PASSWORD_LENGTH || password === "" ? "none" : await find(user, signal);
        if (found === "none") {
          await isRight("", usual);
          return WRONG;
        }
        if ("failed" in found) return { kind: "failed", text: found.failed };
        const { hash, text } = found;
        const account = foldKey(user);
        if (remembered.find(account, text, password) !== undefined) return { kind: "right", account };
        const isCheap = hash.kind === "plain" || hash.kind === "digest";
        const right = await isRight(password, hash);
        // The usual work is done, so that a cheap entry does not tell by its speed that the user exists.
        if (isCheap) await isRight("", usual);
        else usual = hash;
        if (right === undefined) return TOO_MANY;
        if (!right) return WRONG;
        remembered.add(account, account, text, password);
        return { kind: "right", account };
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },

    async scramKeys(user, hash, signal): Promise<ScramKeysFound> {
      try {
        const found = await find(user, signal);
        if (found === "none") {
          if (isHashedForScram) await saltedFor(user, hash, "");
          return { kind: "none" };
        }
        if ("failed" in found) return { kind: "failed", text: found.failed };
        const account = foldKey(user);
        const known = found.hash;
        isHashedForScram = known.kind === "plain";
        if (known.kind === "scram" && known.hash === hash) return { kind: "found", account, keys: known };
        if (known.kind !== "plain")
          return { kind: "none", because: "the password is kept in a form that SCRAM cannot use" };
        const salt = scramSalt(parts.secret, hash, user);
        const salted = await saltedFor(user, hash, known.password);
        if (salted === undefined) return TOO_MANY;
        return { kind: "found", account, keys: { salt, iterations: SCRAM_ITERATIONS, ...scramVerifier(hash, salted) } };
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },

    async plainPassword(user, signal): Promise<PlainPasswordFound> {
      const found = await find(user, signal);
      if (found === "none") return { kind: "none" };
      if ("failed" in found) return { kind: "failed", text: found.failed };
      if (found.hash.kind !== "plain") return { kind: "none", because: "the password is not kept as it is" };
      return { kind: "found", account: foldKey(user), password: found.hash.password };
    },

    mechanisms: [
      "SCRAM-SHA-256-PLUS",
      "SCRAM-SHA-1-PLUS",
      "SCRAM-SHA-256",
      "SCRAM-SHA-1",
      "PLAIN",
      "LOGIN",
      "CRAM-MD5",
    ],
  };
}

const WRONG = { kind: "wrong" } as const;
const TOO_MANY = { kind: "failed", text: "too many password checks wait" } as const;

/** Of the kind that we write, and of nobody's password. */
const OURS: PasswordHash = {
  kind: "scrypt",
  cost: { logN: 15, r: 8, p: 1 },
  salt: Buffer.alloc(16),
  hash: Buffer.alloc(32),
};

/** Without accounts nobody may log in. */
export const nobodyMayLogIn: Authenticator = {
  checkPassword: () => Promise.resolve(WRONG),
};
