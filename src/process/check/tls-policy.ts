import { createSecureContext } from "node:tls";
import { messageOf } from "../../foundation/error.ts";
import { oldestVersion } from "../../mail/delivery/tls-policy/demand.ts";
import { policyEntryProblem } from "../../mail/delivery/tls-policy/find-policy.ts";
import { parsePolicy, requiresTls, type TlsPolicy } from "../../mail/delivery/tls-policy/policy.ts";
import { policyKey, policyKeys } from "../../mail/delivery/tls-policy/policy-key.ts";
import { parseRelay, type Relay } from "../../mail/route/relay.ts";
import type { SettingPath, SettingsProblem } from "../../service/config/config.ts";
import type { ParsedSettings } from "../../service/config/parse.ts";
import { cipherGap } from "../../service/tls/cipher-list.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import { parseTableText } from "../../service/table/text.ts";
import type { WrittenSettings } from "../settings/settings.ts";
import { authoritiesOf } from "../settings/tls-files.ts";

/** What is wrong with TLS towards next hosts, beyond what each field can say of itself: tables, labels, ciphers, relays. */
export function checkTlsPolicy(
  parsed: ParsedSettings<WrittenSettings>,
  tableTexts: Readonly<Record<string, string>>,
): readonly SettingsProblem[] {
  const { settings } = parsed;
  const { policy: policies, policyTable, ciphers } = settings.delivery.tls;
  const problems: SettingsProblem[] = [];
  const tell = (path: SettingPath, text: string, severity?: "error" | "warning"): void => {
    problems.push(parsed.problemAt(path, text, severity));
  };
  // What a table names does not tell the keeper what it may read: the settings do.
  const known = new Set(authoritiesOf(settings).map(({ file }) => file));
  const labels = new Set(settings.certificates.flatMap(({ label }) => label ?? []));
  const contentProblem = (policy: TlsPolicy): string | undefined => {
    if (policy.certificate !== undefined && !labels.has(policy.certificate))
      return `there is no certificate labelled ${policy.certificate}`;
    const { minVersion, maxVersion } = policy;
    // What it takes over as a whole is told once, where it stands.
    if (policy.ciphers === undefined && minVersion === undefined && maxVersion === undefined) return undefined;
    const oldest = oldestVersion(policy, settings.delivery.tls.minVersion);
    return cipherProblem(policy.ciphers ?? ciphers, oldest, maxVersion);
  };

  const wrongCiphers = cipherProblem(ciphers, settings.delivery.tls.minVersion);
  if (wrongCiphers !== undefined) tell(["delivery", "tls", "ciphers"], wrongCiphers);
  for (const [key, policy] of Object.entries(policies)) {
    const problem = contentProblem(policy);
    if (problem !== undefined) tell(["delivery", "tls", "policy", key], problem);
  }
  checkTable();
  for (const [name, action] of Object.entries(settings.actions)) {
    if (action.kind !== "relay") continue;
    for (const [at, url] of action.to.entries()) {
      const relay = parseRelay(url);
      const path = ["actions", name, "relay", "to", ...(action.to.length === 1 ? [] : [at])];
      if (relay.ok) checkRelay(relay.value, action, path);
    }
  }
  return problems;

  function checkTable(): void {
    if (policyTable === undefined) return;
    const source = settings.tables[policyTable];
    if (source === undefined) {
      const names = Object.keys(settings.tables);
      const known = names.length === 0 ? "" : `; there are: ${names.join(", ")}`;
      tell(["delivery", "tls", "policyTable"], `there is no table ${policyTable}${known}`);
      return;
    }
    if (source.kind === "file") {
      if (source.syntax !== undefined) return;
      for (const { line, key, value } of parseTableText(tableTexts[policyTable] ?? "").entries) {
        const text = entryProblem(key, value);
        if (text !== undefined)
          problems.push({ file: source.file, place: { line, column: 1 }, path: "", text, severity: "error" });
      }
      return;
    }
    // What a backend has is judged when it is asked.
    if (isBackendSource(source)) return;
    const entries: readonly (readonly [string, string | undefined])[] =
      source.kind === "map" ? Object.entries(source.entries) : source.items.map((key) => [key, undefined] as const);
    for (const [at, [key, value]] of entries.entries()) {
      const text = entryProblem(key, value);
      if (text !== undefined)
        tell(["tables", policyTable, ...(source.kind === "map" ? ["map", key] : ["list", at])], text);
    }
  }

  function entryProblem(key: string, value: string | undefined): string | undefined {
    const problem = policyEntryProblem(key, value);
    if (problem !== undefined) return problem;
    const policy = parsePolicy(value ?? "");
    if (!policy.ok) return policy.problem;
    const { caFile } = policy.value;
    if (caFile !== undefined && !known.has(caFile))
      return `ca-file ${caFile} is not read unless the settings name it too: add it to delivery.tls.ca-files`;
    return contentProblem(policy.value);
  }

  /** A relay that can never work, or that says something else than its policy. */
  function checkRelay(
    relay: Relay,
    action: { readonly credentials?: string | undefined; readonly verify?: boolean | undefined },
    path: SettingPath,
  ): void {
    if (relay.tls !== "never" || relay.to.kind === "unix") return;
    if (action.verify === true)
      tell(path, "smtp:// is plaintext, where no certificate can verify: its mail would wait for ever", "warning");
    else if (action.credentials !== undefined || relay.credentials !== undefined)
      tell(path, "smtp:// is plaintext, in which credentials never travel: its mail would wait for ever", "warning");
    if (relay.to.kind !== "host") return;
    const { host, port = relay.defaultPort } = relay.to;
    const written = new Map(Object.keys(policies).map((key) => [keyOf(key), key] as const));
    const key = policyKeys({ destination: host, port }).find((one) => written.has(one));
    const name = key === undefined ? undefined : written.get(key);
    const policy = name === undefined ? undefined : policies[name];
    if (policy !== undefined && requiresTls(policy.level))
      tell(path, `smtp:// is plaintext, but the TLS policy of ${name} is ${policy.level}: that one holds`, "warning");
  }
}

function keyOf(written: string): string | undefined {
  const key = policyKey(written);
  return key.ok ? key.value : undefined;
}

function cipherProblem(ciphers: string | undefined, minVersion: string, maxVersion?: string): string | undefined {
  if (ciphers === undefined) return undefined;
  try {
    createSecureContext({ ciphers });
    const gap = cipherGap(ciphers, minVersion, maxVersion);
    return gap === undefined ? undefined : `ciphers: ${gap}`;
  } catch (thrown) {
    return `ciphers: ${messageOf(thrown)}`;
  }
}
