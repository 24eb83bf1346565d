import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { sleep, type Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import type { SaslAnswer, SaslQuestion } from "../../protocol/sasl/question.ts";
import { isScramProof, SCRAM_HASHES, scramHmac } from "../../protocol/sasl/scram.ts";
import { SCRAM_ITERATIONS, type Authenticator, type ScramKeysFound } from "./authenticator.ts";
import type { LoginClient, Logins, LoginsAdmin } from "./logins.ts";
import { LoginThrottle } from "./throttle.ts";
import { scramSalt } from "./scram-salt.ts";
import type { ThrottleSettings } from "./throttle-settings.ts";

/** `Logins` over an authenticator, in the process where that one is. */
export interface ThrottledLogins extends Logins, LoginsAdmin {
  /** What has been counted stays. */
  reconfigure(authenticator: Authenticator, settings: ThrottleSettings): void;
}

export interface LoginsParts {
  readonly clock: Clock;
  readonly authenticator: Authenticator;
  readonly throttle: ThrottleSettings;
  /**
   * Makes up the salts of users that do not exist, always the same for the same name: at least 16 octets that nobody
   * else knows, and that outlive a restart, or a restart would tell who exists.
   */
  readonly secret: Uint8Array;
}

/** Keys between the two steps of SCRAM: accounts at most, and how long. */
const MOST_KEYS = 1000;
const KEYS_MS = 60_000;

type PasswordQuestion = Extract<SaslQuestion, { kind: "password" | "token" | "digest" }>;
type ProofQuestion = Extract<SaslQuestion, { kind: "scram-proof" }>;
type KeysFound = Exclude<ScramKeysFound, { kind: "failed" }>;
type SaltQuestion = Extract<SaslQuestion, { kind: "scram-salt" }>;

export function throttledLogins(parts: LoginsParts): ThrottledLogins {
  const { clock, secret } = parts;
  let { authenticator } = parts;
  let { waiting: mostWaiting } = parts.throttle;
  const throttle = new LoginThrottle(clock, parts.throttle);
  const keysKept = new Map<string, { readonly found: KeysFound; readonly untilAt: number }>();
  /** Marks of passwords that were wrong are good for nothing but comparing, in this process. */
  const markKey = randomBytes(32);
  let waiting = 0;

  async function decide(question: PasswordQuestion | ProofQuestion, from: LoginClient): Promise<SaslAnswer> {
    if (BLANK_AT_AN_END.test(question.user)) return { kind: "wrong", because: "a blank at an end of the login name" };
    switch (question.kind) {
      case "password":
        return authenticator.checkPassword(question.user, question.password, undefined, from);
      case "token": {
        if (authenticator.checkToken === undefined) return { kind: "wrong", because: "no backend takes tokens" };
        return authenticator.checkToken(question.user, question.token);
      }
      case "digest":
        return checkDigest(question);
      case "scram-proof":
        return checkProof(question);
    }
  }

  async function checkDigest({
    user,
    challenge,
    digest,
  }: Extract<SaslQuestion, { kind: "digest" }>): Promise<SaslAnswer> {
    const found = (await authenticator.plainPassword?.(user)) ?? NO_SUCH_FORM;
    if (found.kind === "failed") return found;
    const password = found.kind === "found" ? found.password : "";
    const right = createHmac("md5", password).update(challenge).digest();
    const given = Buffer.from(digest, "hex");
    const isRight = given.length === right.length && timingSafeEqual(given, right) && found.kind === "found";
    if (isRight) return { kind: "right", account: found.account };
    return { kind: "wrong", because: found.kind === "none" ? found.because : undefined };
  }

  /** Kept whether there is such a user or not: the second step takes as long for both. */
  async function saltOf({ user, hash }: SaltQuestion): Promise<SaslAnswer> {
    const isAsked = !BLANK_AT_AN_END.test(user);
    const found = (isAsked ? await authenticator.scramKeys?.(user, hash) : undefined) ?? NO_SUCH_FORM;
    if (found.kind === "failed") return found;
    const { salt, iterations } =
      found.kind === "found" ? found.keys : { salt: scramSalt(secret, hash, user), iterations: SCRAM_ITERATIONS };
    const written = Buffer.from(salt).toString("base64");
    const name = keptName(user, hash, `s=${written},i=${iterations}`);
    keysKept.delete(name);
    keysKept.set(name, { found, untilAt: clock.monotonicMs() + KEYS_MS });
    for (const oldest of keysKept.keys()) {
      if (keysKept.size <= MOST_KEYS) break;
      keysKept.delete(oldest);
    }
    return { kind: "salt", salt: written, iterations };
  }

  /** The keys that the salt was of: they may have changed since, or be made with another salt each time. */
  async function checkProof({ user, hash, authMessage, proof }: ProofQuestion): Promise<SaslAnswer> {
    const salted = /,r=[^,]+,(s=[^,]+,i=\d+)(?=,c=)/.exec(authMessage)?.[1] ?? "";
    const name = keptName(user, hash, salted);
    const kept = keysKept.get(name);
    keysKept.delete(name);
    const isKept = kept !== undefined && kept.untilAt > clock.monotonicMs();
    const found = isKept ? kept.found : ((await authenticator.scramKeys?.(user, hash)) ?? NO_SUCH_FORM);
    if (found.kind === "failed") return found;
    const bytes = Buffer.from(proof, "base64");
    const storedKey = found.kind === "found" ? found.keys.storedKey : Buffer.alloc(SCRAM_HASHES[hash].bytes);
    const isRight = isScramProof(hash, storedKey, authMessage, bytes);
    if (found.kind === "none") return { kind: "wrong", because: found.because };
    if (!isRight) return { kind: "wrong" };
    const serverSignature = scramHmac(hash, found.keys.serverKey, authMessage).toString("base64");
    return { kind: "right", account: found.account, serverSignature };
  }

  /** A secret that is sent again and again is one failure; what SCRAM and CRAM-MD5 send is another each time. */
  function markOf(question: PasswordQuestion | ProofQuestion): string | undefined {
    if (question.kind !== "password" && question.kind !== "token") return undefined;
    const tried = question.kind === "password" ? question.password : question.token;
    return createHmac("sha256", markKey).update(`${question.user.toLowerCase()}\0${tried}`).digest("base64");
  }

  async function afterDelay(question: PasswordQuestion | ProofQuestion, from: LoginClient): Promise<SaslAnswer> {
    const admitted = throttle.admit(from, question.user);
    if (admitted.kind === "blocked") return admitted;
    try {
      if (admitted.delayMs > 0) {
        if (waiting >= mostWaiting) return { kind: "failed", text: "too many slowed down logins are waiting already" };
        waiting++;
        await sleep(clock, admitted.delayMs).finally(() => waiting--);
        // Others have gone on guessing meanwhile: many that wait together are no more guesses than one after the other.
        const block = throttle.blockFor(from, question.user);
        if (block !== undefined) return { kind: "blocked", block };
      }
      const answer = await decide(question, from);
      if (answer.kind === "right") throttle.succeeded(from, question.user === "" ? answer.account : question.user);
      if (answer.kind !== "wrong") return answer;
      const began = throttle.failed(from, question.user, markOf(question));
      return began.length === 0 ? answer : { ...answer, began };
    } finally {
      admitted.done();
    }
  }

  return {
    async answer(question, from): Promise<SaslAnswer> {
      try {
        if (question.kind !== "scram-salt") return await afterDelay(question, from);
        const admitted = throttle.admit(from, question.user);
        if (admitted.kind === "blocked") return admitted;
        admitted.done();
        return await saltOf(question);
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },
    shown: () => Promise.resolve(throttle.shown()),
    clear: (which) => Promise.resolve({ cleared: throttle.clear(which) }),
    reconfigure(next, settings) {
      authenticator = next;
      mostWaiting = settings.waiting;
      throttle.reconfigure(settings);
      keysKept.clear();
    },
  };
}

/**
 * Of the name or of what stands before or behind its @. Databases and directories leave such blanks out, and `jane ` would be an
 * account beside jane for all that goes by an account's name. Nobody's name needs them.
 */
const BLANK_AT_AN_END = /(?:^|@)\s|\s(?:@|$)/u;

const NO_SUCH_FORM = { kind: "none", because: "no backend keeps passwords in a form for this mechanism" } as const;

/** Passwords are not in it: names of an entry in memory. */
function keptName(user: string, hash: string, salted: string): string {
  return createHash("sha256").update(`${user.toLowerCase()}\0${hash}\0${salted}`).digest("base64");
}
