import type { SaslMechanism } from "../../protocol/sasl/question.ts";
import type { Authenticator, PasswordVerdict, PlainPasswordFound, ScramKeysFound } from "./authenticator.ts";

/**
 * Several authenticators as one: asked in their order until one says yes. When none does, but one could not be asked, then
 * nobody knows: `failed`.
 */
export function firstOf(backends: readonly Authenticator[]): Authenticator {
  const [only] = backends;
  if (only !== undefined && backends.length === 1) return only;
  const verdict = async (
    ask: (backend: Authenticator) => Promise<PasswordVerdict> | undefined,
  ): Promise<PasswordVerdict> => {
    let failed: PasswordVerdict | undefined;
    let because: string | undefined;
    for (const backend of backends) {
      const answer = await ask(backend);
      if (answer?.kind === "right") return answer;
      if (answer?.kind === "failed") failed ??= answer;
      if (answer?.kind === "wrong") because ??= answer.because;
    }
    return failed ?? { kind: "wrong", ...(because === undefined ? {} : { because }) };
  };
  const found = async <Found extends ScramKeysFound | PlainPasswordFound>(
    ask: (backend: Authenticator) => Promise<Found> | undefined,
    none: Found,
  ): Promise<Found> => {
    let failed: Found | undefined;
    let unfit: Found | undefined;
    for (const backend of backends) {
      const answer = await ask(backend);
      if (answer?.kind === "found") return answer;
      if (answer?.kind === "failed") failed ??= answer;
      if (answer?.kind === "none" && answer.because !== undefined) unfit ??= answer;
    }
    return failed ?? unfit ?? none;
  };
  const has = (method: "scramKeys" | "plainPassword" | "checkToken"): boolean =>
    backends.some((backend) => backend[method] !== undefined);
  const mechanisms = [...new Set(backends.flatMap((backend) => backend.mechanisms ?? PASSWORD_ONLY))];
  return {
    checkPassword: (user, password, signal, from) =>
      verdict((backend) => backend.checkPassword(user, password, signal, from)),
    ...(has("scramKeys")
      ? {
          scramKeys: (user, hash, signal) =>
            found((backend) => backend.scramKeys?.(user, hash, signal), { kind: "none" }),
        }
      : {}),
    ...(has("plainPassword")
      ? { plainPassword: (user, signal) => found((backend) => backend.plainPassword?.(user, signal), { kind: "none" }) }
      : {}),
    ...(has("checkToken")
      ? { checkToken: (user, token, signal) => verdict((backend) => backend.checkToken?.(user, token, signal)) }
      : {}),
    mechanisms,
  };
}

const PASSWORD_ONLY: readonly SaslMechanism[] = ["PLAIN", "LOGIN"];
