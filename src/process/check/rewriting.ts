import { ownActions } from "../../mail/envelope/default-rules.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { nearestName } from "../../service/config/names.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface RewritingProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity?: "error" | "warning";
}

/** What the settings of `as`, SRS, VERP and masquerading cannot mean, or will not do. */
export function rewritingProblems(settings: WrittenSettings): readonly RewritingProblem[] {
  const problems: RewritingProblem[] = [];
  const { srs, masquerade, listeners } = settings;
  const actions = { ...ownActions, ...settings.actions };

  for (const [name, { sender, kind }] of Object.entries(settings.actions)) {
    if (sender?.srs !== undefined && srs === undefined)
      problems.push({
        path: ["actions", name, "srs"],
        text: "has no effect: SRS is off until `srs` is set (srs: {} is enough)",
        severity: "warning",
      });
    if (sender?.srs === true && kind !== "relay")
      problems.push({
        path: ["actions", name, "srs"],
        text: "has no effect: only mail that is relayed leaves with a sender that must be ours",
        severity: "warning",
      });
    if (sender?.as !== undefined && sender.srs === true)
      problems.push({
        path: ["actions", name, "srs"],
        text: "as goes before srs: the sender is never rewritten here",
        severity: "warning",
      });
  }
  for (const [at, rule] of (settings.rules ?? []).entries())
    if (rule.as !== undefined && actions[rule.action]?.kind === "reject")
      problems.push({ path: ["rules", at, "as"], text: "what is refused has no sender" });
  for (const [at, name] of (masquerade.listeners ?? []).entries()) {
    const names = listeners.map((listener) => listener.name);
    if (names.includes(name)) continue;
    const nearest = nearestName(name, names);
    const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
    problems.push({ path: ["masquerade", "listeners", at], text: `there is no listener ${name}${hint}` });
  }
  const masked = new Map(masquerade.domains.map((domain, at) => [domain, at] as const));
  for (const [at, domain] of masquerade.domains.entries()) {
    // The first entry that a name is below decides.
    const above = masquerade.domains.findIndex(
      (other, before) => before < at && domain.replace(/^!/, "").endsWith(`.${other.replace(/^!/, "")}`),
    );
    const twin = masked.get(domain);
    const reason = above >= 0 ? masquerade.domains[above] : twin !== at ? domain : undefined;
    if (reason !== undefined)
      problems.push({
        path: ["masquerade", "domains", at],
        text: `is never reached: ${reason} in front of it decides for all names below it`,
        severity: "warning",
      });
  }
  return problems;
}
