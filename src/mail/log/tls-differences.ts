import type { Flight } from "../../service/tls/flight/flight.ts";
import type { TlsReason } from "../../service/tls/finding/finding.ts";
import { cipherName, extensionName, groupName, isGrease, signatureName } from "../../service/tls/flight/wire-names.ts";
import type { TlsRecord } from "./tls-journal.ts";

/** One thing about two connections. What neither of them tells is not among the differences. */
export interface Difference {
  readonly what: string;
  readonly one: string;
  readonly other: string;
  readonly isSame: boolean;
}

/**
 * Two connections side by side, a failing and a working one as a rule: what differs comes first, and of that what bears on
 * the reason of the failure. Lists show what only one of them has.
 */
export function differencesOf(one: TlsRecord, other: TlsRecord): readonly Difference[] {
  const found: Difference[] = [];
  const text = (what: string, of: (record: TlsRecord) => string | undefined): void => {
    const [a, b] = [of(one), of(other)];
    if (a === undefined && b === undefined) return;
    found.push({ what, one: a ?? "not known", other: b ?? "not known", isSame: a === b });
  };
  const list = (what: string, of: (flight: Flight) => readonly string[] | undefined): void => {
    const [a, b] = [one.flight, other.flight].map((flight) => (flight === undefined ? undefined : of(flight)));
    if (a === undefined || b === undefined) return;
    found.push({ what, ...sideBySide(a, b) });
  };
  text("result", resultOf);
  text("direction", ({ row }) => (row.direction === "in" ? "the peer came to us" : "we went to the peer"));
  text("peer", ({ row }) => row.peer);
  text("listener or relay", ({ row }) => row.place);
  text("rule", ({ row }) => row.rule);
  text("client software (JA4)", ja4Of);
  text("server name asked for", (record) => serverNameOf(record) ?? (record.flight === undefined ? undefined : "none"));
  text("our certificate", certificateOf);
  list("versions offered", ({ hello }) => hello?.versions);
  list("ciphers offered", ({ hello }) => named(hello?.ciphers, cipherName));
  list("groups offered", ({ hello }) => named(hello?.groups, groupName));
  list("key shares sent", ({ hello }) => named(hello?.keyShares, groupName));
  list("signatures accepted", ({ hello }) => named(hello?.signatures, signatureName));
  list("extensions sent", ({ hello }) => named(hello?.extensions, extensionName));
  list("ALPN offered", ({ hello }) => hello?.alpn);
  text("resumption offered", ({ flight }) => yesOrNo(flight?.hello?.offersResumption));
  text("server chose version", (record) => record.flight?.serverHello?.version ?? factOf(record, "version"));
  text("server chose cipher", (record) => {
    const cipher = record.flight?.serverHello?.cipher;
    return cipher === undefined ? factOf(record, "cipher") : cipherName(cipher);
  });
  text("server chose group", (record) => {
    const group = record.flight?.serverHello?.group;
    return group === undefined ? factOf(record, "group") : groupName(group);
  });
  text("hello had to be repeated", ({ flight }) => yesOrNo(flight?.serverHello?.wasRetried));
  text("last from the peer", (record) => lastOf(record, "in"));
  text("last from us", (record) => lastOf(record, "out"));
  const bearing = new Set(one.kind === "failure" ? BEARING[one.row.finding.reason] : []);
  const rank = (difference: Difference): number => (difference.isSame ? 2 : bearing.has(difference.what) ? 0 : 1);
  const [result, ...rest] = found;
  return [...(result === undefined ? [] : [result]), ...rest.sort((a, b) => rank(a) - rank(b))];
}

/** What to look at first, by the reason of the failure. */
const BEARING: Readonly<Partial<Record<TlsReason, readonly string[]>>> = {
  "version-mismatch": ["versions offered", "client software (JA4)"],
  "no-shared-cipher": ["ciphers offered", "our certificate", "versions offered"],
  "no-shared-group": ["groups offered", "key shares sent"],
  "no-shared-signature": ["signatures accepted", "our certificate"],
  "alpn-mismatch": ["ALPN offered"],
  "no-certificate-for-name": ["server name asked for", "our certificate"],
  "certificate-unknown-authority": ["our certificate", "server name asked for"],
  "certificate-expired": ["our certificate"],
  "certificate-rejected": ["our certificate", "server name asked for"],
  "peer-closed": ["our certificate", "client software (JA4)", "last from us"],
  "peer-reset": ["our certificate", "client software (JA4)", "last from us"],
  "peer-alert": ["our certificate", "client software (JA4)", "last from us"],
  stalled: ["client software (JA4)", "key shares sent", "last from us"],
};

function resultOf(record: TlsRecord): string {
  if (record.kind === "failure") return `failed: ${record.row.finding.reason}`;
  const { version, cipher, isResumed } = record.row.facts;
  return `worked: ${version}, ${cipher}${isResumed ? ", resumed" : ""}`;
}

function factOf(record: TlsRecord, fact: "version" | "cipher" | "group"): string | undefined {
  return record.kind === "session" ? record.row.facts[fact] : undefined;
}

function ja4Of(record: TlsRecord): string | undefined {
  return record.flight?.hello?.ja4 ?? (record.kind === "session" ? record.row.facts.clientFingerprint : record.row.ja4);
}

function serverNameOf(record: TlsRecord): string | undefined {
  return (
    record.flight?.hello?.serverName ??
    (record.kind === "session" ? record.row.facts.serverName : record.row.serverName)
  );
}

function certificateOf(record: TlsRecord): string | undefined {
  const fingerprint = record.kind === "session" ? record.row.facts.ownCertificate?.fingerprint : record.row.certificate;
  return fingerprint?.slice(0, 16);
}

function lastOf({ flight }: TlsRecord, direction: "in" | "out"): string | undefined {
  if (flight === undefined) return undefined;
  return flight.events.findLast((event) => event.direction === direction)?.what ?? "nothing";
}

function yesOrNo(value: boolean | undefined): string | undefined {
  return value === undefined ? undefined : value ? "yes" : "no";
}

/** GREASE values (RFC 8701) are made up anew each time and mean nothing. */
function named(
  numbers: readonly number[] | undefined,
  name: (number: number) => string,
): readonly string[] | undefined {
  return numbers?.filter((number) => !isGrease(number)).map(name);
}

/** Lists so short are shown whole. */
const SHORT = 6;
const MOST_NAMED = 12;

function some(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return more > 0 ? `${names.slice(0, MOST_NAMED).join(" ")} and ${more} more` : names.join(" ");
}

function sideBySide(one: readonly string[], other: readonly string[]): Omit<Difference, "what"> {
  const isSame = one.length === other.length && one.every((each, at) => each === other[at]);
  const common = one.filter((each) => other.includes(each)).length;
  const only = (mine: readonly string[], theirs: readonly string[]): string => {
    if (mine.length === 0) return "none";
    const own = mine.filter((each) => !theirs.includes(each));
    if (one.length <= SHORT && other.length <= SHORT) return mine.join(" ");
    if (own.length === 0)
      return mine.length === theirs.length ? `the same in this order: ${some(mine)}` : `only the ${common} in common`;
    return `${common === 0 ? "" : `the ${common} in common and `}${some(own)}`;
  };
  const same = `${one.length}: ${one.join(" ")}`;
  return isSame ? { one: same, other: same, isSame } : { one: only(one, other), other: only(other, one), isSame };
}
