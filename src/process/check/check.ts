import type { Condition } from "../../mail/envelope/condition.ts";
import { ownActions } from "../../mail/envelope/default-rules.ts";
import type { Action } from "../../mail/envelope/action-settings.ts";
import type { Match } from "../../mail/envelope/rule-settings.ts";
import type { ListenerSettings } from "../../mail/connection/settings.ts";
import { clientCertificateOf } from "../../mail/connection/listener-choices.ts";
import { parseRelay } from "../../mail/route/relay.ts";
import { locate, type SettingPath, type SettingsProblem } from "../../service/config/config.ts";
import type { TableOrList } from "../../service/config/kinds.ts";
import { mechanismProblems } from "../../service/account/offered-mechanisms.ts";
import { nearestName } from "../../service/config/names.ts";
import type { ParsedSettings } from "../../service/config/parse.ts";
import type { WrittenSettings } from "../settings/settings.ts";
import { usersProblems } from "./users.ts";
import { acmeProblems } from "../settings/acme-files.ts";
import { contentFilterProblems } from "./content-filters.ts";
import { filterProblems } from "./filters.ts";
import { inlineTableProblems } from "./inline-tables.ts";
import { signingProblems } from "../settings/signing-files.ts";
import { ruleProblems } from "./rules.ts";
import { recipientProblems } from "./recipients.ts";
import { LOCAL_LISTENER } from "../settings/local-users.ts";
import { accountProblems, backendPath } from "./accounts.ts";
import { restrictionProblems } from "./restrictions.ts";
import { LONGEST_TOLD } from "../../service/tls/told.ts";
import { rewritingProblems } from "./rewriting.ts";
import { certificateTablesOf } from "../settings/tls-files.ts";

/** What no single declaration can see: names that nobody defined, ports taken twice, rules that open the relay. */
export function checkSettings(parsed: ParsedSettings<WrittenSettings>): readonly SettingsProblem[] {
  const { settings } = parsed;
  const problems: SettingsProblem[] = [];
  const tell = (path: SettingPath, text: string, severity?: "error" | "warning"): void => {
    problems.push(parsed.problemAt(path, text, severity));
  };
  const actions = { ...ownActions, ...settings.actions };
  const known = (kind: string, name: string, names: readonly string[], path: SettingPath): void => {
    if (names.includes(name)) return;
    const nearest = nearestName(name, names);
    const hint =
      nearest !== undefined ? `; did you mean ${nearest}?` : names.length > 0 ? `; there are: ${names.join(", ")}` : "";
    tell(path, `there is no ${kind} ${name}${hint}`);
  };
  const tableNames = Object.keys(settings.tables);
  const certificateTables = certificateTablesOf(settings);
  const knownTable = (name: string, path: SettingPath): void => {
    known("table", name, tableNames, path);
    if (certificateTables.has(name)) tell(path, `table ${name} holds certificates: only the keeper of keys reads it`);
  };
  const knownList = (setting: TableOrList | undefined, path: SettingPath): void => {
    if (setting?.kind === "table") knownTable(setting.name, path);
  };

  knownList(settings.local.domains, ["local", "domains"]);
  knownList(settings.local.users, ["local", "users"]);
  for (const [at, backend] of (settings.accounts?.backends ?? []).entries())
    if ("table" in backend) knownTable(backend.table, backendPath(parsed.origins, at, backend.kind));
  for (const problem of mechanismProblems(settings.accounts, settings.accounts?.mechanisms ?? []))
    tell(["accounts", "mechanisms"], problem);
  for (const { path, text } of inlineTableProblems(settings, (path) => locate(parsed.origins, path))) tell(path, text);

  const labels = [...new Set(settings.certificates.flatMap(({ label }) => label ?? []))];
  for (const [at, source] of settings.certificates.entries())
    if (source.kind === "table") known("table", source.table, tableNames, ["certificates", at, "table"]);
  for (const [at, listener] of settings.listeners.entries())
    knownList(listener.etrn.domains, ["listeners", at, "etrn", "domains"]);
  for (const [at, listener] of settings.listeners.entries())
    for (const [place, label] of (listener.certificates ?? []).entries())
      known("certificate", label, labels, ["listeners", at, "certificates", place]);

  for (const { path, text, severity } of acmeProblems(settings)) tell(path, text, severity);
  for (const { path, text, severity } of usersProblems(settings, process.getuid?.() === 0)) tell(path, text, severity);
  for (const { path, text, severity } of accountProblems(settings, parsed.origins)) tell(path, text, severity);
  for (const { path, text, severity } of rewritingProblems(settings)) tell(path, text, severity);
  const names = {
    table: knownTable,
    action: (name: string, path: SettingPath): void => known("action", name, Object.keys(actions), path),
  };
  for (const { path, text, severity } of contentFilterProblems(settings)) tell(path, text, severity);
  const filterNames = Object.keys(settings.filters);
  const inFilters = {
    ...names,
    filter: (name: string, path: SettingPath): void => known("filter", name, filterNames, path),
  };
  for (const { path, text, severity } of filterProblems(settings, inFilters)) tell(path, text, severity);
  for (const { path, text } of signingProblems(settings)) tell(path, text);
  for (const [name, { authenticate }] of Object.entries(settings.filters))
    if (authenticate?.reports === true && settings.dmarcReports === undefined)
      tell(
        ["filters", name, "authenticate", "reports"],
        "nobody sends these reports: `dmarc-reports` says from whom",
        "warning",
      );
  for (const { path, text, severity } of recipientProblems(settings, names)) tell(path, text, severity);
  for (const { path, text, severity } of restrictionProblems(settings, knownTable)) tell(path, text, severity);
  if (settings.journal.enabled && settings.journal.buffer <= 2 * LONGEST_TOLD)
    tell(
      ["journal", "buffer"],
      `details of a TLS connection take up to ${LONGEST_TOLD / 1024} KiB and get half of this at most: those of long handshakes are left out`,
      "warning",
    );
  knownList(settings.verp.senders, ["verp", "senders"]);
  knownList(settings.autoconfig.domains, ["autoconfig", "domains"]);

  const seenListeners = new Map<string, number>();
  for (const [at, listener] of settings.listeners.entries()) {
    const where = listener.path ?? `${listener.address ?? "*"}:${listener.port}`;
    for (const [key, words] of [
      [`name ${listener.name}`, `a listener called ${listener.name}`],
      ...(listener.port === 0 ? [] : [[where, `a listener on ${where}`] as const]),
    ] as const) {
      const earlier = seenListeners.get(key);
      if (earlier === undefined) seenListeners.set(key, at);
      else tell(["listeners", at], `there is ${words} already: listeners[${earlier}]`);
    }
    // Rights and mail of users of this host go by that name, and somebody's account here is not theirs.
    if (listener.name === LOCAL_LISTENER)
      tell(
        ["listeners", at, "name"],
        `${LOCAL_LISTENER} is the name of the socket for users of this host; take another`,
      );
    checkClientCertificates(listener, ["listeners", at]);
    for (const problem of mechanismProblems(settings.accounts, listener.authMechanisms ?? []))
      tell(["listeners", at, "authMechanisms"], problem);
    if (
      listener.auth === "require" &&
      listener.clientIdentities === undefined &&
      listener.clientAccount === "none" &&
      settings.accounts === undefined
    )
      tell(["listeners", at, "auth"], "nobody can log in: there are no `accounts`", "warning");
  }

  for (const [name, action] of Object.entries(settings.actions)) checkAction(name, action);
  for (const [at, rule] of (settings.rules ?? []).entries()) {
    const path = ["rules", at];
    known("action", rule.action, Object.keys(actions), [...path, "action"]);
    checkConditions(rule.match, [...path, "match"]);
    checkConditions(rule.match.not ?? {}, [...path, "match", "not"]);
    if (actions[rule.action]?.kind === "relay" && isOpen(rule.match))
      tell(
        path,
        "relays for everybody to everywhere: an open relay. Say who may use it (from, auth, tag or listener), or for which domains; from: any if that is what you want",
      );
  }
  for (const { path, text, severity } of ruleProblems(settings)) tell(path, text, severity);
  return problems;

  function checkClientCertificates(listener: ListenerSettings, path: SettingPath): void {
    const { tls, clientCertificate, clientAuthorities, clientIdentities, clientAccount } = listener;
    if (clientIdentities !== undefined) {
      knownTable(clientIdentities, [...path, "clientIdentities"]);
    }
    const mode = clientCertificateOf(listener);
    if (mode === "verify" && clientAuthorities === undefined)
      tell([...path, "clientCertificate"], "nothing can be verified: set `client-authorities`");
    if (clientAccount !== "none" && clientAuthorities === undefined)
      tell([...path, "clientAccount"], "only verified certificates name accounts: set `client-authorities`");
    if (mode === "none" && (clientAuthorities !== undefined || clientIdentities !== undefined))
      tell(
        [...path, "clientCertificate"],
        "no client is asked for a certificate, so the rest has no effect",
        "warning",
      );
    if (tls === "off" && clientCertificate !== undefined && clientCertificate !== "none")
      tell([...path, "clientCertificate"], "there is no TLS here in which a certificate could be shown", "warning");
  }

  function checkAction(name: string, action: Action): void {
    if (action.kind !== "relay") return;
    const path = ["actions", name, "relay"];
    for (const [at, url] of action.to.entries()) {
      const relay = parseRelay(url);
      const urlPath = action.to.length === 1 ? [...path, "to"] : [...path, "to", at];
      if (!relay.ok) tell(urlPath, `expected ${relay.problem.expected}, got ${JSON.stringify(url)}`);
      else if (relay.value.credentials !== undefined)
        known("credentials entry", relay.value.credentials, Object.keys(settings.credentials), urlPath);
    }
    if (action.credentials !== undefined)
      known("credentials entry", action.credentials, Object.keys(settings.credentials), [...path, "credentials"]);
  }

  function checkConditions(match: Omit<Match, "not">, path: SettingPath): void {
    for (const [name, conditions] of Object.entries(match)) {
      if (!Array.isArray(conditions)) continue;
      // Each list in a match is one of conditions; Object.entries forgets that.
      for (const [at, condition] of (conditions as readonly Condition[]).entries())
        if (condition.kind === "table") knownTable(condition.name, [...path, name, at]);
    }
  }
}

/** Says neither who gives the mail nor where it goes. `from: any` is said on purpose. */
function isOpen(match: Match): boolean {
  const restrictsTarget = (match.for ?? []).some((condition) => condition.kind !== "any") || match.rcptTo !== undefined;
  const namesSource = [
    match.from,
    match.auth,
    match.tag,
    match.listener,
    match.certificateFingerprint,
    match.certificateName,
    match.certificateSubject,
  ].some((list) => list !== undefined);
  return !restrictsTarget && !namesSource && match.certificateVerified !== true;
}
