import { messageOf } from "../../../foundation/error.ts";
import { canonicalIpText } from "../../../protocol/address/ip-address.ts";
import { foldKey } from "../../../service/table/pattern.ts";
import type { Table } from "../../../service/table/table.ts";
import { parsePolicy, type TlsPolicy } from "./policy.ts";
import { policyKey, policyKeys, spellingsOf, type PolicySubject } from "./policy-key.ts";

/** A policy with the rule it comes from. */
export interface FoundPolicy {
  readonly policy: TlsPolicy;
  /** The key as it was written. */
  readonly key: string;
  /** `posthorn.yaml:12:5`, `/etc/posthorn/tls-policy:3`. */
  readonly where: string;
}

export type PolicyAnswer =
  | { readonly kind: "found"; readonly found: FoundPolicy }
  | { readonly kind: "none" }
  /** The table could not be asked, or says something nobody understands: never "no policy". */
  | { readonly kind: "failed"; readonly text: string };

export interface PolicySources {
  /** As in the settings, by the key as written. */
  readonly policies: Readonly<Record<string, TlsPolicy>>;
  /** Where the settings have the policy of a key. */
  readonly whereIs: (key: string) => string;
  readonly table?: Table | undefined;
}

export interface PolicyFinder {
  find(subject: PolicySubject, signal?: AbortSignal): Promise<PolicyAnswer>;
}

/** The most specific key decides; of the same key in both places, the settings' is taken. */
export function policyFinder(sources: PolicySources): PolicyFinder {
  const written = new Map<string, string>();
  for (const key of Object.keys(sources.policies)) {
    const known = policyKey(key);
    if (known.ok && !written.has(known.value)) written.set(known.value, key);
  }
  const { table } = sources;
  return {
    async find(subject, signal) {
      for (const key of policyKeys(subject)) {
        const inSettings = written.get(key);
        const policy = inSettings === undefined ? undefined : sources.policies[inSettings];
        if (inSettings !== undefined && policy !== undefined)
          return { kind: "found", found: { policy, key: inSettings, where: sources.whereIs(inSettings) } };
        if (table === undefined) continue;
        for (const spelling of spellingsOf(key)) {
          const answer = await table.exact(spelling, { service: "tls-policy", signal });
          if (answer.kind === "failed") return { kind: "failed", text: `table ${table.name}: ${answer.text}` };
          if (answer.kind === "none") continue;
          const parsed = parsePolicy(answer.value);
          if (!parsed.ok) return { kind: "failed", text: `${answer.where}: ${parsed.problem}` };
          return { kind: "found", found: { policy: parsed.value, key: spelling, where: answer.where } };
        }
      }
      return { kind: "none" };
    },
  };
}

/** A finder that breaks is one that does not know. Never rejects. */
export async function askPolicy(finder: PolicyFinder, subject: PolicySubject): Promise<PolicyAnswer> {
  try {
    return await finder.find(subject);
  } catch (thrown) {
    return { kind: "failed", text: messageOf(thrown) };
  }
}

/** Tables are asked for a few spellings, and the settings' keys are all read: what stands there in another one would be no policy. */
function isFoundAs(written: string, key: string): boolean {
  if (canonicalIpText(written) !== undefined) return true;
  return spellingsOf(key).some((spelling) => foldKey(spelling) === foldKey(written));
}

/** What is wrong with an entry of a policy table; undefined when nothing is. */
export function policyEntryProblem(key: string, value: string | undefined): string | undefined {
  const known = policyKey(key);
  if (!known.ok) return known.problem;
  if (!isFoundAs(key.trim(), known.value)) return `is never found in a table as it is written; write ${known.value}`;
  if (value === undefined) return "expected a level behind the key, such as may or secure";
  const parsed = parsePolicy(value);
  return parsed.ok ? undefined : parsed.problem;
}
