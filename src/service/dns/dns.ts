import type { Clock } from "../../foundation/clock.ts";
import { noTrace, type LineTrace } from "../../foundation/line-trace.ts";
import { isReferral, readAnswer, MOST_ALIASES } from "../../protocol/dns/answer.ts";
import type { DnsData, DnsMessage, QuestionType } from "../../protocol/dns/message.ts";
import { canonicalName, encodeName, reverseName } from "../../protocol/dns/name.ts";
import type { DnsAnswer, DnsFinding, MxRecord, Resolver } from "../../protocol/dns/resolver.ts";
import { DnsCache } from "./cache.ts";
import { elapsedBy } from "./elapsed.ts";
import { exchangedText } from "./exchanged-text.ts";
import { serverText, type DnsServer, type KnownServers } from "./servers.ts";
import type { DnsSettings } from "./settings.ts";
import { ZoneTurns } from "./zone-turns.ts";

/**
 * The DNS service: a stub resolver over recursive servers, with its own cache.
 *
 * Invariants: a lookup settles within `timeout`, whatever servers do; it never rejects except for the caller's own
 * signal; "there is none" is only said on a server's word, every other trouble is a finding; `secure` is only said when a
 * server whose AD bit is believed set it on every part of the answer. The same question asked twice at once is sent once.
 *
 * RFC 1034, 1035, 2181, 2308 (negative answers), 6604 (codes of alias chains), 6840 (AD), 6891 (EDNS), 8914 (extended
 * errors), 9520 (failures are remembered). The network is `exchange.io.ts`.
 */

/** One question to one server: sends it, repeats it over TCP when the answer was cut short, and waits at most `limitMs`. */
export type Exchange = (server: DnsServer, name: string, type: QuestionType, limitMs: number) => Promise<Exchanged>;

export type Exchanged =
  | { readonly ok: true; readonly message: DnsMessage }
  | { readonly ok: false; readonly reason: "timeout" | "malformed" | "unreachable"; readonly text: string };

export interface DnsResolver extends Resolver {
  /** Records as a zone file has them, names with a final dot, TXT without quotes: for people who compare. */
  texts(name: string, type: ZoneType, signal?: AbortSignal): Promise<DnsAnswer<readonly string[]>>;
  /** Forgets every remembered answer. */
  forget(): void;
  readonly counters: { readonly asked: number; readonly remembered: number; readonly joined: number };
}

type Answer = DnsAnswer<readonly DnsData[]>;

/** RFC 8914: the codes with which a validating server says that the DNSSEC chain is broken. */
const BOGUS_CODES = new Set([1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 25, 27]);
const RCODE_NAMES: Readonly<Record<number, string>> = { 1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED" };
const REFERRED = "no answer but a referral to other servers (recursion is not offered)";
/** A server that did not answer is asked last for this long. */
const REST_MS = 30_000;

export function createDnsResolver(parts: {
  clock: Clock;
  settings: DnsSettings;
  /** Asked for at each question: they may change. */
  servers: () => KnownServers;
  exchange: Exchange;
  /** Shows questions and answers while somebody wants to see them. */
  trace?: LineTrace | undefined;
}): DnsResolver {
  const { clock, settings, servers, exchange, trace = noTrace } = parts;
  const cache = new DnsCache<readonly DnsData[]>(settings.cacheSize);
  const elapsedMs = elapsedBy(clock);
  const running = new Map<string, Promise<Answer>>();
  const restingUntil = new WeakMap<DnsServer, number>();
  const turns = new ZoneTurns(clock, settings.inFlight);
  const counters = { asked: 0, remembered: 0, joined: 0 };

  const isTrusted = (server: DnsServer): boolean =>
    settings.trustAuthenticated === "always" || (settings.trustAuthenticated === "loopback" && server.isLoopback);

  const lookUp = (name: string, type: QuestionType, signal?: AbortSignal): Promise<Answer> => {
    const question = `${type} ${name}`;
    const known = cache.get(question, elapsedMs());
    if (known !== undefined) {
      counters.remembered++;
      if (trace.isOn) trace.show(`${type} ${name}: remembered, ${known.kind}`);
      return Promise.resolve(known);
    }
    let work = running.get(question);
    if (work === undefined) {
      work = resolve(name, type).finally(() => running.delete(question));
      running.set(question, work);
    } else counters.joined++;
    return signal === undefined ? work : untilAborted(work, signal);
  };

  const resolve = async (name: string, type: QuestionType): Promise<Answer> => {
    const answer = await follow(name, type);
    const now = elapsedMs();
    const question = `${type} ${name}`;
    if (answer.kind === "failed") cache.put(question, answer, settings.failureTtl, answer.finding.text.length, now);
    else cache.put(question, answer, answer.ttlMs, answer.kind === "found" ? weight(answer.records) : 0, now);
    return answer;
  };

  /** Asks, and asks again for the target of an alias that the answer left open. */
  const follow = async (name: string, type: QuestionType): Promise<Answer> => {
    const endsAt = clock.monotonicMs() + settings.timeout;
    let owner = name;
    let ttlSeconds = Number.MAX_SAFE_INTEGER;
    let isSecure = true;
    for (let links = 0; links <= MOST_ALIASES;) {
      const asked = await askServers(owner, type, endsAt);
      if (asked.kind === "failed") return asked;
      const reading = readAnswer(asked.message, owner, type);
      switch (reading.kind) {
        case "found": {
          isSecure &&= reading.isAuthenticated && isTrusted(asked.server);
          const ttlMs = Math.min(Math.min(ttlSeconds, reading.ttlSeconds) * 1000, settings.longestTtl);
          return { kind: "found", records: reading.data, ttlMs, secure: isSecure };
        }
        case "none": {
          isSecure &&= reading.isAuthenticated && isTrusted(asked.server);
          const ttlMs = Math.min(Math.min(ttlSeconds, reading.ttlSeconds ?? 0) * 1000, settings.longestNegativeTtl);
          return { kind: "none", because: reading.because, ttlMs, secure: isSecure };
        }
        case "alias":
          isSecure &&= reading.isAuthenticated && isTrusted(asked.server);
          ttlSeconds = Math.min(ttlSeconds, reading.ttlSeconds);
          links += reading.links;
          owner = reading.to;
          break;
        case "loop":
          links = MOST_ALIASES + 1;
          break;
        case "failed":
          return failed("malformed", owner, type, serverText(asked.server), `response code ${reading.rcode}`);
      }
    }
    return failed("cname-loop", name, type, "", `the aliases of ${name} lead nowhere`);
  };

  type Asked = { readonly kind: "answered"; readonly message: DnsMessage; readonly server: DnsServer };

  /** The first usable answer of any server: all are asked in turn, those that stayed silent again, within the bounds. */
  const askServers = async (
    name: string,
    type: QuestionType,
    endsAt: number,
  ): Promise<Asked | Extract<Answer, { kind: "failed" }>> => {
    const known = servers();
    if (known.servers.length === 0)
      return failed("unreachable", name, type, "", known.says ?? "dns.servers names no DNS server");
    let last: Extract<Answer, { kind: "failed" }> | undefined;
    let triesBefore = 0;
    const hopeless = new Set<DnsServer>();
    for (let round = 0; round < settings.tries; round++) {
      for (const server of inOrder(known.servers)) {
        if (hopeless.has(server)) continue;
        const leftMs = endsAt - clock.monotonicMs();
        if (leftMs <= 0) return last ?? failed("timeout", name, type, serverText(server), "no answer in time");
        const leave = await turns.take(name, triesBefore++, leftMs);
        if (leave === undefined) return last ?? failed("timeout", name, type, "", noTurn(settings.inFlight));
        const askedAt = clock.monotonicMs();
        const limitMs = Math.max(1, Math.min(endsAt - askedAt, settings.tryTimeout));
        counters.asked++;
        const exchanged = await exchange(server, name, type, limitMs).finally(leave);
        if (trace.isOn)
          trace.show(
            `${type} ${name} @${serverText(server)}: ${exchangedText(exchanged)}, ${Math.round(clock.monotonicMs() - askedAt)} ms`,
          );
        if (!exchanged.ok) {
          // Silence counts against a server that had its time, not where the lookup's end cut it short.
          if (exchanged.reason !== "timeout" || limitMs >= Math.min(settings.tryTimeout, settings.timeout / 2))
            restingUntil.set(server, clock.monotonicMs() + REST_MS);
          const text = known.says === undefined ? exchanged.text : `${exchanged.text}; ${known.says}`;
          last = failed(exchanged.reason, name, type, serverText(server), text);
          continue;
        }
        restingUntil.delete(server);
        if (isReferral(exchanged.message)) {
          hopeless.add(server);
          last = failed("refused", name, type, serverText(server), REFERRED);
          continue;
        }
        const { rcode, extendedError } = exchanged.message;
        if (rcode === 0 || rcode === 3) return { kind: "answered", message: exchanged.message, server };
        const told =
          extendedError === undefined ? "" : ` (extended error ${extendedError.code} ${extendedError.text})`.trimEnd();
        const text = `${RCODE_NAMES[rcode] ?? `response code ${rcode}`}${told}`;
        // A validator's refusal must not be outvoted by a server that does not validate.
        if (rcode === 2 && extendedError !== undefined && BOGUS_CODES.has(extendedError.code))
          return failed("bogus", name, type, serverText(server), text);
        hopeless.add(server);
        const reason = rcode === 2 ? "servfail" : rcode === 5 || rcode === 4 ? "refused" : "malformed";
        last = failed(reason, name, type, serverText(server), text);
      }
    }
    return last ?? failed("timeout", name, type, "", "no server answered");
  };

  const inOrder = (all: readonly DnsServer[]): readonly DnsServer[] => {
    const now = clock.monotonicMs();
    const isResting = (server: DnsServer): boolean => (restingUntil.get(server) ?? 0) > now;
    return [...all.filter((server) => !isResting(server)), ...all.filter(isResting)];
  };

  const ask = async <Record>(
    name: string,
    type: QuestionType,
    pick: (data: DnsData) => Record | undefined,
    signal?: AbortSignal,
  ): Promise<DnsAnswer<readonly Record[]>> => {
    const canonical = canonicalName(name);
    const local = answerLocally(canonical, type);
    const answer = local ?? (await lookUp(canonical, type, signal));
    if (answer.kind !== "found") return answer;
    return { ...answer, records: answer.records.flatMap((data) => pick(data) ?? []) };
  };

  const addressOf = (data: DnsData): string | undefined => ("address" in data ? data.address : undefined);

  return {
    counters,
    forget: () => cache.clear(),
    mx: (domain, signal) =>
      ask(
        domain,
        "MX",
        (data): MxRecord | undefined =>
          data.type === "MX" ? { preference: data.preference, exchange: data.exchange } : undefined,
        signal,
      ),
    ipv4: (host, signal) => ask(host, "A", addressOf, signal),
    ipv6: (host, signal) => ask(host, "AAAA", addressOf, signal),
    ptr: (address, signal) =>
      ask(reverseName(address) ?? "", "PTR", (data) => (data.type === "PTR" ? data.name : undefined), signal),
    txt: (name, signal) => ask(name, "TXT", (data) => (data.type === "TXT" ? data.text : undefined), signal),
    texts: (name, type, signal) =>
      ask(name, type, (data) => (data.type === type && isZoneData(data) ? zoneText(data) : undefined), signal),
  };
}

/** What needs no server: names that no message can carry, and the special ones of RFC 6761 sections 6.3 and 6.4. */
function answerLocally(name: string, type: QuestionType): Answer | undefined {
  const none = (because: "no-such-name" | "no-such-record"): Answer => ({
    kind: "none",
    because,
    ttlMs: 0,
    secure: false,
  });
  if (name === "" || encodeName(name) === undefined) return none("no-such-name");
  if (name === "invalid" || name.endsWith(".invalid")) return none("no-such-name");
  if (name !== "localhost" && !name.endsWith(".localhost")) return undefined;
  if (type !== "A" && type !== "AAAA") return none("no-such-record");
  const address = type === "A" ? "127.0.0.1" : "::1";
  return { kind: "found", records: [{ type, address }], ttlMs: 0, secure: false };
}

function noTurn(inFlight: number): string {
  return `its turn did not come in time: too many questions are on the way, or too many about this domain (dns.in-flight: ${inFlight})`;
}

function failed(
  reason: DnsFinding["reason"],
  name: string,
  type: QuestionType,
  server: string,
  text: string,
): Extract<Answer, { kind: "failed" }> {
  return { kind: "failed", finding: { reason, name, type, server, text } };
}

/** The data of a record as in a zone file (RFC 1035 section 5.1). */
function zoneText(data: Extract<DnsData, { type: ZoneType }>): string {
  switch (data.type) {
    case "MX":
      return `${data.preference} ${data.exchange}.`;
    case "TXT":
      return data.text;
    case "SRV":
      return `${data.priority} ${data.weight} ${data.port} ${data.target}.`;
    case "TLSA":
      return `${data.usage} ${data.selector} ${data.match} ${Buffer.from(data.data).toString("hex")}`;
  }
}

function isZoneData(data: DnsData): data is Extract<DnsData, { type: ZoneType }> {
  return ZONE_TYPES.has(data.type);
}

type ZoneType = "MX" | "TXT" | "SRV" | "TLSA";
const ZONE_TYPES: ReadonlySet<string> = new Set<ZoneType>(["MX", "TXT", "SRV", "TLSA"]);

function weight(records: readonly DnsData[]): number {
  let bytes = 0;
  for (const data of records) {
    bytes += 100;
    if (data.type === "TXT") bytes += data.text.length * 2;
    else if (data.type === "MX") bytes += data.exchange.length;
    else if (data.type === "CNAME" || data.type === "PTR") bytes += data.name.length;
    else if (data.type === "SRV") bytes += data.target.length;
    else if (data.type === "TLSA") bytes += data.data.length;
  }
  return bytes;
}

/** The caller stops waiting; the work goes on for whoever else asked, within its own bounds. */
function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
