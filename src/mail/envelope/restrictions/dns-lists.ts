import { withDeadline } from "../../../foundation/deadline.ts";
import { reply } from "../../../protocol/smtp/reply.ts";
import { addressBytes } from "../../../service/table/network.ts";
import { foldDomain } from "../../../service/table/pattern.ts";
import type { SessionFactsForRules } from "../policy.ts";
import type { DnsList, DnsListSettings } from "./dns-list-settings.ts";
import { ipv4Number } from "./ipv4-number.ts";
import { domainIn } from "./domains.ts";
import { PASS, type Finding, type RestrictionAsk, type RestrictionWorld } from "./restriction.ts";

/**
 * Lists in the DNS (RFC 5782): each that has an entry adds its weight, and the total decides. All are asked at once. A list that
 * fails, or takes too long, counts nothing: lists come and go, and none may stop mail by being away.
 */
export async function dnsListFinding(
  { resolver, clock }: Pick<RestrictionWorld, "resolver" | "clock">,
  settings: DnsListSettings,
  { facts }: RestrictionAsk,
): Promise<Finding> {
  /** What has the client, as far as it is known when the time is over. */
  const hits: Hit[] = [];
  const failed: string[] = [];
  const pending = new Set<string>();
  const one = async (list: DnsList, signal: AbortSignal): Promise<void> => {
    const name = queryName(list, facts);
    if (name === undefined) return;
    pending.add(list.zone);
    const found = await resolver.ipv4(name, signal);
    pending.delete(list.zone);
    if (found.kind === "failed") failed.push(list.zone);
    if (found.kind !== "found") return;
    if (found.records.some(isTrouble)) failed.push(list.zone);
    const answers = found.records.filter((record) => counts(list, record));
    if (answers.length > 0) hits.push({ list, name, answers });
  };
  await inTime(clock, settings.timeout, (signal) => Promise.all(settings.lists.map((list) => one(list, signal))));
  failed.push(...pending);

  const total = hits.reduce((sum, { list }) => sum + list.weight, 0);
  const isRefused = total >= settings.reject;
  const away = failed.length === 0 ? "" : `${[...new Set(failed)].join(", ")} not to be had`;
  if (!isRefused && (settings.defer === undefined || total < settings.defer))
    return hits.length === 0 && away === "" ? PASS : { kind: "pass", aside: joined(summary(hits, total), away) };

  const worst = hits.toSorted((a, b) => b.list.weight - a.list.weight)[0];
  const says = worst === undefined ? "" : await reason(clock, resolver, worst);
  const blocked = `${worst === undefined ? "" : subject(worst.list, facts)} blocked using ${worst?.list.zone ?? ""}`;
  const text = `Service unavailable; ${blocked}${says === "" ? "" : `; ${says}`}`;
  const detail = joined(summary(hits, total), says, away);
  return isRefused
    ? { kind: "refuse", reply: reply(554, "5.7.1", text), detail }
    : { kind: "wait", reply: reply(450, "4.7.1", text), detail, isFound: true };
}

interface Hit {
  readonly list: DnsList;
  readonly name: string;
  readonly answers: readonly string[];
}

/** What is looked up; undefined where there is nothing of the kind. */
export function queryName({ zone, of }: DnsList, facts: SessionFactsForRules): string | undefined {
  const subjectOf = {
    client: () => reversed(facts.clientAddress),
    "client-name": () => facts.clientName,
    helo: () => (facts.helo?.startsWith("[") === true ? undefined : facts.helo),
    sender: () => domainIn(facts.sender),
  };
  const subject = subjectOf[of]();
  if (subject === undefined || subject === "" || subject.startsWith("[")) return undefined;
  const name = `${foldDomain(subject)}.${zone}`;
  // What is no name in the DNS is in no list.
  return name.length <= 253 && name.split(".").every((label) => /^[a-z0-9_-]{1,63}$/.test(label)) ? name : undefined;
}

/** RFC 5782 sections 2.1 and 2.4: octets, or nibbles, from the last to the first. */
function reversed(address: string | undefined): string | undefined {
  const bytes = address === undefined ? undefined : addressBytes(address);
  if (bytes === undefined) return undefined;
  if (bytes.length === 4) return [...bytes].toReversed().join(".");
  return Buffer.from(bytes).toString("hex").split("").toReversed().join(".");
}

/** Answers outside 127.0.0.0/8 are those of resolvers that answer everything. */
function counts({ answers }: DnsList, record: string): boolean {
  if (!record.startsWith("127.") || isTrouble(record)) return false;
  const number = ipv4Number(record);
  return answers === undefined || answers.some(({ from, to }) => from <= number && number <= to);
}

/** By which the lists themselves say that they do not answer us. */
function isTrouble(record: string): boolean {
  return record.startsWith("127.255.255.");
}

const MOST_REASON = 200;
const MOST_REASON_MS = 2000;

/** What the list says about its entry: printable, of a bounded length. */
async function reason(
  clock: RestrictionWorld["clock"],
  resolver: RestrictionWorld["resolver"],
  { name }: Hit,
): Promise<string> {
  const found = await inTime(clock, MOST_REASON_MS, (signal) => resolver.txt(name, signal));
  const [text = ""] = found?.kind === "found" ? found.records : [];
  return text
    .replace(/[^\x20-\x7e]/g, "?")
    .trim()
    .slice(0, MOST_REASON);
}

/** Undefined when it took too long, or failed in a way of its own. */
async function inTime<Value>(
  clock: RestrictionWorld["clock"],
  limitMs: number,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value | undefined> {
  try {
    return await withDeadline(clock, limitMs, "lists in the DNS", work);
  } catch {
    return undefined;
  }
}

function subject({ of }: DnsList, { clientAddress = "", clientName = "", helo = "", sender }: SessionFactsForRules) {
  const texts = {
    client: `Client host [${clientAddress}]`,
    "client-name": `Client host [${clientName}]`,
    helo: `Helo command [${helo}]`,
    sender: `Sender address [${sender}]`,
  };
  return texts[of];
}

function summary(hits: readonly Hit[], total: number): string {
  const each = hits.map(({ list, answers }) => `${list.zone} ${answers.join(" ")} (${list.weight})`);
  return each.length === 0 ? "" : `${each.join(", ")}: ${total}`;
}

function joined(...texts: readonly string[]): string {
  return texts.filter((text) => text !== "").join("; ");
}
