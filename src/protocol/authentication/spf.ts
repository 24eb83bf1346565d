import { networkContains, parseIpAddress, unmapped, type IpAddress } from "../address/ip-address.ts";
import type { DnsAnswer, Resolver } from "../dns/resolver.ts";
import { expandSpf, expandSpfDomain, needsClientName, type SpfMacroFacts } from "./spf-macro.ts";
import { isMacroString, isSpfRecord, parseSpfRecord, type SpfDirective, type SpfRecord } from "./spf-record.ts";

/**
 * Whether a domain lets an address send in its name (RFC 7208): `check_host` with its limits. A record may ask for ten
 * further lookups, of which two may find nothing; a name has at most ten exchangers, an address ten names.
 */
export type SpfResultKind = "none" | "neutral" | "pass" | "fail" | "softfail" | "temperror" | "permerror";

export interface SpfResult {
  readonly result: SpfResultKind;
  /** The term that decided, or what went wrong. */
  readonly because?: string | undefined;
  /** The domain's own words to those it rejects, of printable ASCII. */
  readonly explanation?: string | undefined;
}

export interface SpfQuestion {
  readonly address: string;
  /** Of the sender, or the name in HELO. */
  readonly domain: string;
  readonly sender: { readonly local: string; readonly domain: string };
  readonly helo: string;
  readonly receiver: string;
  readonly nowSeconds: number;
}

const MOST_LOOKUPS = 10;
const MOST_VOID_LOOKUPS = 2;
const MOST_NAMES = 10;
/** Longer records and explanations are nobody's. */
const LONGEST_EXPLANATION = 500;
const HOST = /^[^.\x00-\x1f]{1,63}(?:\.[^.\x00-\x1f]{1,63})+\.?$/;

/** Ends the evaluation, from whatever depth. */
class SpfStop extends Error {
  readonly result: "temperror" | "permerror";

  constructor(result: SpfStop["result"], text: string) {
    super(text);
    this.result = result;
  }
}

/** Waits for work, and no longer than it may take. */
export type NamesWithin = (work: (signal?: AbortSignal) => Promise<void>) => Promise<void>;

/**
 * Rejects with the signal's reason only. `namesWithin` bounds the search for the client's names: it is the client's own DNS that
 * is asked there, and what that makes of it must not decide over the domain.
 */
export async function checkSpf(
  question: SpfQuestion,
  resolver: Resolver,
  signal?: AbortSignal,
  namesWithin: NamesWithin = (work) => work(signal),
): Promise<SpfResult> {
  const parsed = parseIpAddress(question.address);
  if (parsed === undefined) return { result: "none", because: "the client has no address" };
  const address = unmapped(parsed);
  // RFC 7208 section 4.3: what is no name of two labels has no record.
  if (!isHostName(question.domain)) return { result: "none", because: `${question.domain} is no domain name` };
  const check = new SpfCheck(question, address, resolver, signal, namesWithin);
  try {
    return await check.of(question.domain);
  } catch (thrown) {
    if (thrown instanceof SpfStop) return { result: thrown.result, because: thrown.message };
    throw thrown;
  }
}

interface ClientNames {
  readonly names: string[];
  /** There is none in the DNS. */
  isVoid: boolean;
}

class SpfCheck {
  readonly #question: SpfQuestion;
  readonly #address: IpAddress;
  readonly #resolver: Resolver;
  readonly #signal: AbortSignal | undefined;
  readonly #namesWithin: NamesWithin;
  #lookups = 0;
  #voids = 0;
  #clientName: string | undefined;
  #client: ClientNames | undefined;

  constructor(
    question: SpfQuestion,
    address: IpAddress,
    resolver: Resolver,
    signal: AbortSignal | undefined,
    namesWithin: NamesWithin,
  ) {
    this.#question = question;
    this.#address = address;
    this.#resolver = resolver;
    this.#signal = signal;
    this.#namesWithin = namesWithin;
  }

  async of(domain: string, isIncluded = false): Promise<SpfResult> {
    const record = await this.#record(domain);
    if (record === undefined) return { result: "none", because: `${domain} has no record` };
    for (const directive of record.directives) {
      // RFC 7208 section 5: in turn; a later one is not looked up when an earlier one decides.
      // oxlint-disable-next-line no-await-in-loop
      if (!(await this.#matches(directive, domain))) continue;
      const explanation =
        directive.result === "fail" && record.explanation !== undefined && !isIncluded
          ? await this.#explanation(record.explanation, domain)
          : undefined;
      return { result: directive.result, because: directive.text, explanation };
    }
    if (record.redirect === undefined) return { result: "neutral", because: "no term matches" };
    this.#countLookup();
    const target = await this.#expand(record.redirect, domain);
    const redirected = isHostName(target) ? await this.of(target, isIncluded) : { result: "none" as const };
    if (redirected.result === "none") throw new SpfStop("permerror", `redirect=${target} leads to no record`);
    return redirected;
  }

  async #record(domain: string): Promise<SpfRecord | undefined> {
    const answer = await this.#resolver.txt(domain.replace(/\.$/, ""), this.#signal);
    const records = this.#recordsOf(answer).filter(isSpfRecord);
    const [only, more] = records;
    if (only === undefined) return undefined;
    if (more !== undefined) throw new SpfStop("permerror", `${domain} has more than one record`);
    const record = parseSpfRecord(only);
    if (record === undefined) throw new SpfStop("permerror", `the record of ${domain} is malformed`);
    return record;
  }

  async #matches({ mechanism }: SpfDirective, domain: string): Promise<boolean> {
    switch (mechanism.kind) {
      case "all":
        return true;
      case "ip":
        return networkContains(mechanism.network, this.#address);
      case "include": {
        this.#countLookup();
        const target = await this.#expand(mechanism.domain, domain);
        const included = isHostName(target) ? await this.of(target, true) : ({ result: "none" } as const);
        if (included.result === "none") throw new SpfStop("permerror", `include:${target} leads to no record`);
        return included.result === "pass";
      }
      case "exists": {
        this.#countLookup();
        const target = await this.#expand(mechanism.domain, domain);
        return isHostName(target) && this.#counted(await this.#resolver.ipv4(target, this.#signal)).length > 0;
      }
      case "a": {
        this.#countLookup();
        const target = await this.#target(mechanism.domain, domain);
        return target !== undefined && this.#isAmong(await this.#addresses(target, true), mechanism);
      }
      case "mx": {
        this.#countLookup();
        const target = await this.#target(mechanism.domain, domain);
        if (target === undefined) return false;
        const exchangers = this.#counted(await this.#resolver.mx(target, this.#signal));
        if (exchangers.length > MOST_NAMES) throw new SpfStop("permerror", `${target} has too many exchangers`);
        for (const { exchange } of exchangers) {
          // oxlint-disable-next-line no-await-in-loop -- as above
          if (exchange !== "" && this.#isAmong(await this.#addresses(exchange, false), mechanism)) return true;
        }
        return false;
      }
      case "ptr": {
        this.#countLookup();
        const target = await this.#target(mechanism.domain, domain);
        if (target === undefined) return false;
        const wanted = target.toLowerCase();
        return (await this.#validatedNames()).some((name) => name === wanted || name.endsWith(`.${wanted}`));
      }
    }
  }

  async #target(spec: string | undefined, domain: string): Promise<string | undefined> {
    const target = spec === undefined ? domain.replace(/\.$/, "") : await this.#expand(spec, domain);
    return isHostName(target) ? target : undefined;
  }

  /** Of the client's family. */
  async #addresses(host: string, isCounted: boolean): Promise<readonly string[]> {
    const answer =
      this.#address.family === 4
        ? await this.#resolver.ipv4(host, this.#signal)
        : await this.#resolver.ipv6(host, this.#signal);
    return isCounted ? this.#counted(answer) : this.#recordsOf(answer);
  }

  #isAmong(texts: readonly string[], prefixes: { readonly prefix4: number; readonly prefix6: number }): boolean {
    const prefixBits = this.#address.family === 4 ? prefixes.prefix4 : prefixes.prefix6;
    return texts.some((text) => {
      const address = parseIpAddress(text);
      return address !== undefined && networkContains({ address, prefixBits }, this.#address);
    });
  }

  /**
   * Names of the client whose addresses include it (section 5.5). Trouble here only means that there is no name. They are looked
   * for once, however often the record asks.
   */
  async #validatedNames(): Promise<readonly string[]> {
    if (this.#client !== undefined) return this.#client.names;
    const client: ClientNames = { names: [], isVoid: false };
    await this.#namesWithin((signal) => this.#findNames(client, signal));
    this.#client = client;
    if (client.isVoid) this.#countVoid();
    return client.names;
  }

  /** What is found is there as soon as it is found. */
  async #findNames(client: ClientNames, signal: AbortSignal | undefined): Promise<void> {
    const answer = await this.#resolver.ptr(this.#question.address, signal);
    client.isVoid = answer.kind === "none";
    if (answer.kind !== "found") return;
    for (const name of answer.records.slice(0, MOST_NAMES)) {
      const host = name.replace(/\.$/, "");
      // oxlint-disable-next-line no-await-in-loop -- a client with many names is not worth many questions at once
      const addresses = await (this.#address.family === 4
        ? this.#resolver.ipv4(host, signal)
        : this.#resolver.ipv6(host, signal));
      if (addresses.kind === "found" && this.#isAmong(addresses.records, { prefix4: 32, prefix6: 128 }))
        client.names.push(host.toLowerCase());
    }
  }

  async #expand(spec: string, domain: string): Promise<string> {
    return expandSpfDomain(spec, await this.#facts(spec, domain));
  }

  async #facts(spec: string, domain: string): Promise<SpfMacroFacts> {
    const { sender, helo, receiver, nowSeconds } = this.#question;
    if (needsClientName(spec)) this.#clientName ??= await this.#preferredName(domain);
    return {
      sender: { local: sender.local === "" ? "postmaster" : sender.local, domain: sender.domain },
      domain,
      address: this.#address,
      helo,
      receiver,
      nowSeconds,
      clientName: this.#clientName ?? "unknown",
    };
  }

  /** Section 7.3: the domain itself, then one below it, then any. */
  async #preferredName(domain: string): Promise<string> {
    const names = await this.#validatedNames();
    const wanted = domain.toLowerCase();
    return (
      names.find((name) => name === wanted) ??
      names.find((name) => name.endsWith(`.${wanted}`)) ??
      names[0] ??
      "unknown"
    );
  }

  /** Section 6.2: whatever goes wrong here, there is none. */
  async #explanation(spec: string, domain: string): Promise<string | undefined> {
    try {
      const target = await this.#expand(spec, domain);
      if (!isHostName(target)) return undefined;
      const answer = await this.#resolver.txt(target, this.#signal);
      if (answer.kind !== "found" || answer.records.length !== 1) return undefined;
      const [text = ""] = answer.records;
      if (!text.split(" ").every(isMacroString)) return undefined;
      const said = expandSpf(text, await this.#facts(text, domain));
      return /^[\x20-\x7e]+$/.test(said) ? said.slice(0, LONGEST_EXPLANATION) : undefined;
    } catch (thrown) {
      if (thrown instanceof SpfStop) return undefined;
      throw thrown;
    }
  }

  #countLookup(): void {
    if (++this.#lookups > MOST_LOOKUPS) throw new SpfStop("permerror", `more than ${MOST_LOOKUPS} lookups`);
  }

  #countVoid(): void {
    if (++this.#voids > MOST_VOID_LOOKUPS)
      throw new SpfStop("permerror", `more than ${MOST_VOID_LOOKUPS} lookups that find nothing`);
  }

  #counted<Value>(answer: DnsAnswer<readonly Value[]>): readonly Value[] {
    if (answer.kind === "none") this.#countVoid();
    return this.#recordsOf(answer);
  }

  #recordsOf<Value>(answer: DnsAnswer<readonly Value[]>): readonly Value[] {
    if (answer.kind === "failed") throw new SpfStop("temperror", answer.finding.text);
    return answer.kind === "found" ? answer.records : [];
  }
}

function isHostName(text: string): boolean {
  return text.length <= 254 && HOST.test(text);
}
