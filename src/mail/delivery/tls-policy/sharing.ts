import type { NextHost } from "../../route/next-host.ts";
import { askPolicy, type PolicyAnswer, type PolicyFinder } from "./find-policy.ts";
import { policyKey } from "./policy-key.ts";
import type { TlsPolicy } from "./policy.ts";

/**
 * May sessions to these hosts carry mail of this domain as well as of any other that has the same hosts? Only when no TLS
 * policy was written for the domain, and none that holds for a host asks for a name made of the domain. What could not
 * be found out is a no: the domain then has sessions of its own, which ask again.
 */
export async function maySharePolicy(
  finder: PolicyFinder,
  domain: string,
  port: number,
  hosts: readonly NextHost[],
): Promise<boolean> {
  const ofDomain = await askPolicy(finder, { destination: domain, port });
  if (ofDomain.kind === "failed") return false;
  // Without a host nothing but the domain's own keys and `*` were asked for.
  if (ofDomain.kind === "found" && !isForAll(ofDomain.found.key)) return false;
  const subjects = new Map<string, Parameters<PolicyFinder["find"]>[0]>();
  for (const { name, address } of hosts) {
    if ("path" in address) continue;
    subjects.set(`${name} ${address.ip}`, {
      destination: domain,
      hostName: name,
      address: address.ip,
      port: address.port,
    });
  }
  const answers = await Promise.all([...subjects.values()].map((subject) => askPolicy(finder, subject)));
  return [ofDomain, ...answers].every((answer) => !isAboutDomain(answer));
}

function isForAll(key: string): boolean {
  const known = policyKey(key);
  return known.ok && known.value === "*";
}

function isAboutDomain(answer: PolicyAnswer): boolean {
  if (answer.kind === "none") return false;
  return answer.kind === "failed" || asksForDomain(answer.found.policy);
}

/** The names that a certificate must be for are made of the next hop: `demand.ts`. */
function asksForDomain({ level, match }: TlsPolicy): boolean {
  if (match === undefined) return level === "secure";
  return match.includes("nexthop") || match.includes("dot-nexthop");
}
