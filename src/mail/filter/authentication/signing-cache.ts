import { createPrivateKey } from "node:crypto";
import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { SigningKey } from "../../../protocol/authentication/dkim-sign.ts";
import type { SigningKeeper } from "../../../service/signing/signing-keys.ts";

export type KnownKeys =
  | { readonly kind: "found"; readonly domain: string; readonly keys: readonly SigningKey[] }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string };

/** A changed key or table is in use this long after. */
const KEPT_MS = 60_000;
/** What failed is asked for again soon. */
const FAILURE_KEPT_MS = 5_000;
const MOST_DOMAINS = 2_000;

/** The keys of the domains that send through us, asked for once a minute. Never rejects. */
export function signingCache(
  keeper: SigningKeeper,
  filter: string,
  clock: Clock,
): (domain: string) => Promise<KnownKeys> {
  const kept = new Map<string, { readonly known: Promise<KnownKeys>; untilMs: number }>();
  const ask = async (domain: string): Promise<KnownKeys> => {
    try {
      const answer = await keeper.signingKeys(filter, domain);
      if (answer.kind !== "found") return answer;
      const keys = answer.keys.map(({ selector, pem, kind }) => ({
        domain: answer.domain,
        selector,
        kind,
        key: createPrivateKey(pem),
      }));
      return { kind: "found", domain: answer.domain, keys };
    } catch (thrown) {
      return { kind: "failed", text: messageOf(thrown) };
    }
  };
  return async (domain) => {
    const now = clock.monotonicMs();
    const before = kept.get(domain);
    if (before !== undefined && before.untilMs > now) return before.known;
    kept.delete(domain);
    const oldest = kept.size >= MOST_DOMAINS ? kept.keys().next().value : undefined;
    if (oldest !== undefined) kept.delete(oldest);
    const entry = { known: ask(domain), untilMs: now + KEPT_MS };
    kept.set(domain, entry);
    const known = await entry.known;
    if (known.kind === "failed") entry.untilMs = clock.monotonicMs() + FAILURE_KEPT_MS;
    return known;
  };
}
