import { timingSafeEqual } from "node:crypto";
import { messageOf } from "../../foundation/error.ts";
import { cryptPasswordHere } from "../../foundation/ffi/crypt.io.ts";
import { askPam } from "../../foundation/ffi/pam.io.ts";
import { findShadow } from "../../foundation/ffi/shadow.io.ts";
import type { PasswordVerdict } from "./authenticator.ts";
import { shadowRefusal } from "./shadow.ts";
import type { SystemQuestion } from "./system-passwords.ts";

/** For users that do not exist, so that it takes as long: Debian's own scheme at its usual cost. */
const NOBODY = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC";

/**
 * Answers on this thread, which waits. The account is the user's name as it was given, folded: mail knows no case.
 * `today` is the day since the epoch.
 */
export function answerSystemQuestion(question: SystemQuestion, today: number): PasswordVerdict {
  const { by, user, password } = question;
  // A login is never without a password, whatever the system would say to one.
  if (user === "" || password === "" || user.length > 255 || /[\0\n:/]/.test(user)) return { kind: "wrong" };
  try {
    return by === "pam" ? byPam(question) : byShadow(user, password, today);
  } catch (thrown) {
    return { kind: "failed", text: messageOf(thrown) };
  }
}

function byShadow(user: string, password: string, today: number): PasswordVerdict {
  const entry = findShadow(user);
  const refusal = entry === undefined ? undefined : shadowRefusal(entry, today);
  const isUsable = entry !== undefined && refusal === undefined;
  const hash = isUsable ? entry.hash : NOBODY;
  const made = cryptPasswordHere(password, hash);
  if (made === undefined && isUsable)
    return { kind: "failed", text: `the password of ${user} is kept in a form that crypt(3) does not know here` };
  if (!isUsable) return { kind: "wrong", ...(refusal === undefined ? {} : { because: refusal }) };
  const [given, kept] = [Buffer.from(made ?? ""), Buffer.from(hash)];
  const isRight = given.length === kept.length && timingSafeEqual(given, kept);
  return isRight ? { kind: "right", account: user.toLowerCase() } : { kind: "wrong" };
}

/** What of PAM's answers is a no. All else is trouble: a module that is missing, a server that is away. */
const REFUSALS = new Set([
  "PAM_AUTH_ERR",
  "PAM_USER_UNKNOWN",
  "PAM_MAXTRIES",
  "PAM_PERM_DENIED",
  "PAM_ACCT_EXPIRED",
  "PAM_NEW_AUTHTOK_REQD",
  "PAM_AUTHTOK_EXPIRED",
  "PAM_CRED_INSUFFICIENT",
]);

function byPam({ service, user, password }: SystemQuestion): PasswordVerdict {
  const { step, status, text } = askPam(service, user, password);
  if (status === "PAM_SUCCESS" && step === "account") return { kind: "right", account: user.toLowerCase() };
  if (REFUSALS.has(status)) return { kind: "wrong", because: `PAM: ${text}` };
  return { kind: "failed", text: `PAM (service ${service}): ${text} (${status})` };
}
