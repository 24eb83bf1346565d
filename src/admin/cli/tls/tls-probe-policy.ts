import type { PolicyReport } from "../../../mail/delivery/tls-policy/policy-report.ts";
import type { Verdict } from "../../../service/tls/facts.ts";
import { decidingTrial, type ProbeReport, type ProbeTrial } from "./tls-probe-plan.ts";

/** What the running server's policy for a host comes to, after what a probe saw of it. */
export interface ProbedPolicy {
  /** `verify, by posthorn.yaml:12:5 (key mx.example)`, or that none is about it. */
  readonly rule: string;
  /** What becomes of mail, in words; `wouldGo` is undefined where a probe cannot tell. */
  readonly outcome: string;
  readonly wouldGo?: boolean | undefined;
}

/** The handshake that a delivery would make; undefined where that is the usual one, or none. */
export function policyTrial(report: PolicyReport): ProbeTrial | undefined {
  if (report.kind === "failed" || report.terms === undefined) return undefined;
  if (report.kind === "found" && report.policy.level === "none") return undefined;
  const { serverName, ...terms } = report.terms;
  const isUsual = terms.minVersion === "TLSv1.2" && terms.maxVersion === undefined && terms.ciphers === undefined;
  if (isUsual && serverName === undefined) return undefined;
  const name = report.kind === "found" ? "as the policy says" : "as the settings say";
  return { name, about: "policy", terms, serverName };
}

/**
 * A probe verifies with the authorities it was given and for the name it was given: where a policy has others of its own,
 * its outcome is not known from here, and that is said.
 */
export function probedPolicy(report: PolicyReport, probe: ProbeReport): ProbedPolicy {
  if (report.kind === "failed")
    return { rule: `cannot be found out: ${report.text}`, outcome: "mail would wait", wouldGo: false };
  if (report.kind === "none")
    return { rule: "no policy is about it", outcome: "the relay's URL decides; see posthorn tls policy" };
  const { policy, where, key } = report;
  const rule = `${policy.level}, by ${where} (key ${key})`;
  if (policy.level === "none") return { rule, outcome: "mail would go in plaintext", wouldGo: true };
  const tried = decidingTrial(probe.trials);
  if (tried === undefined) return { rule, outcome: "nothing could be tried" };
  if (!tried.ok && tried.stage === "terms") return { rule, outcome: `mail would wait: ${tried.text}`, wouldGo: false };
  if (!tried.ok && policy.certificate !== undefined)
    return { rule, outcome: `not told by this probe, which has not the certificate ${policy.certificate} to show` };
  if (!tried.ok)
    return policy.level === "may"
      ? { rule, outcome: "mail would go in plaintext, for encryption fails", wouldGo: true }
      : { rule, outcome: "mail would wait, for encryption fails", wouldGo: false };
  const { facts } = tried;
  if (policy.level === "may" || policy.level === "encrypt")
    return { rule, outcome: "mail would go encrypted", wouldGo: true };
  if (policy.level === "fingerprint") {
    const shown = facts.peerCertificate;
    const isKnown =
      shown !== undefined &&
      policy.fingerprints?.some((one) => one === shown.fingerprint || one === shown.keyFingerprint) === true;
    return isKnown
      ? { rule, outcome: "mail would go encrypted: the fingerprint is the policy's", wouldGo: true }
      : { rule, outcome: "mail would wait: the fingerprint is none of the policy's", wouldGo: false };
  }
  return verified(rule, facts.verdict, policy.caFile, policy.match);
}

function verified(
  rule: string,
  verdict: Verdict,
  caFile: string | undefined,
  names: readonly string[] | undefined,
): ProbedPolicy {
  const others = [
    ...(caFile === undefined ? [] : [`the authorities in ${caFile} (--ca-file)`]),
    ...(names === undefined || names.length === 0 ? [] : [`the name ${names.join(" or ")} (--name)`]),
  ];
  if (others.length > 0)
    return { rule, outcome: `not told by this probe unless it verified by ${others.join(" and for ")}` };
  return verdict.result === "OK"
    ? { rule, outcome: "mail would go encrypted and verified", wouldGo: true }
    : {
        rule,
        outcome: `mail would wait: ${verdict.problem?.text ?? "the certificate does not verify"}`,
        wouldGo: false,
      };
}
