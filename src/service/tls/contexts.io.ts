import { constants, createHash } from "node:crypto";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import type { CertificatePair } from "./keeper/certificate.ts";
import { NoCertificate, type CertificateAnswer, type ProfileMaterial } from "./keeper/keeper.ts";
import { foldedName, servingPairs, servingTogether } from "./keeper/name-index.ts";
import { recent, type Recent } from "./recent.ts";
import type { ShownOptions } from "./tls.ts";

/** What a listener's settings say of its contexts. */
export interface ContextTerms {
  readonly listener: string;
  readonly minVersion: Version;
  readonly maxVersion: Version;
  readonly ciphers?: string | undefined;
  readonly groups?: string | undefined;
  readonly hasTickets: boolean;
  readonly ticketLifetimeMs: number;
  /** Contexts of one process that are kept ready. */
  readonly mostContexts: number;
  /** The authorities of client certificates, when any are asked for; what clients are told to choose among. */
  readonly clientAuthorities?: readonly string[] | undefined;
  /**
   * Whatever else a resumed session must not carry over to: sessions are resumed only where this is the same. For client
   * certificates, which are verified in full handshakes only.
   */
  readonly sessionScope?: string | undefined;
}

export type Version = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** What one version of a listener's material gives: options rather than contexts, for servers are made of those (`server.io.ts`). */
export interface Contexts {
  /** For what all of them share; what is shown to who names nobody may be another by then. */
  readonly defaultOptions: SecureContextOptions;
  /** The same object for the same certificates. `offered`: the client's ALPN. Rejects with `NoCertificate`. */
  optionsFor(
    serverName: string | undefined,
    offered?: readonly string[],
  ): SecureContextOptions | Promise<SecureContextOptions>;
}

/** RFC 8737 section 3. */
const ACME_ALPN = "acme-tls/1";
/** What a table said of a name is asked for again after this time, behind a client who is served with it. */
const TABLE_FRESH_MS = 10_000;
/** Older than this it serves only when there is no other answer: a name may not have been asked for in months. */
const TABLE_SERVES_MS = 15_000;
/** A first question has the client waiting. */
const ASK_WITHIN_MS = 10_000;

/** The options of a context. Throws nothing; `createSecureContext` may. */
function contextOptions(
  pairs: readonly Pick<CertificatePair, "certificatePem" | "keyPem">[],
  terms: ContextTerms,
): SecureContextOptions {
  return {
    cert: pairs.map((pair) => pair.certificatePem),
    key: pairs.map((pair) => pair.keyPem),
    minVersion: terms.minVersion,
    maxVersion: terms.maxVersion,
    // A client that has the handshake made again and again would cost us a millisecond each time.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (terms.hasTickets ? 0 : constants.SSL_OP_NO_TICKET),
    sessionIdContext: sessionScopeOf(terms),
    sessionTimeout: Math.max(1, Math.round(terms.ticketLifetimeMs / 1000)),
    ...ciphersOf(terms),
    ...(terms.groups === undefined ? {} : { ecdhCurve: terms.groups }),
    ...(terms.clientAuthorities === undefined ? {} : { ca: [...terms.clientAuthorities] }),
  };
}

/** TLS before 1.2 signs with SHA-1, which OpenSSL 3 does at its lowest level only; a list written by a person says for itself. */
function ciphersOf({ ciphers, minVersion }: ContextTerms): { ciphers?: string } {
  if (ciphers !== undefined) return { ciphers };
  return minVersion === "TLSv1" || minVersion === "TLSv1.1" ? { ciphers: "DEFAULT@SECLEVEL=0" } : {};
}

/** The same in each process, and another one for each listener: a session is good where it was made. At most 32 characters. */
function sessionScopeOf(terms: ContextTerms): string {
  const text = JSON.stringify([terms.listener, terms.sessionScope ?? "", terms.clientAuthorities ?? []]);
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/**
 * Contexts by name: exact, then a wildcard for one label, then what a table has, then the default. Made when they are first
 * needed, and kept while there is room. Throws `NoCertificate` when there is not one certificate that works.
 */
export function makeContexts(parts: {
  material: ProfileMaterial;
  terms: ContextTerms;
  clock: Clock;
  /** Asks the tables; may reject. */
  ask: (serverName: string) => Promise<CertificateAnswer>;
  /** A certificate that cannot be used after all, a table that failed. Never holds a key. */
  onTrouble: (text: string) => void;
}): Contexts {
  const { material, terms, clock, onTrouble } = parts;
  const serving = servingPairs(material.pairs);
  const ready: Recent<ShownOptions> = recent(terms.mostContexts);
  const fromTables: Recent<TableEntry> = recent(terms.mostContexts);
  const asking = new Map<string, Promise<SecureContextOptions>>();

  /** Throws when OpenSSL refuses them. */
  const tried = (pairs: readonly CertificatePair[]): SecureContextOptions => {
    const options = { ...contextOptions(pairs, terms), ...ticketOptions(material, terms) };
    createSecureContext(options);
    return options;
  };
  const optionsOf = (pairs: readonly CertificatePair[]): SecureContextOptions => {
    const label = pairs.map((pair) => pair.version).join(" ");
    const known = ready.get(label);
    if (known !== undefined) return known;
    const made = tried(pairs);
    ready.set(label, made);
    return made;
  };
  /** Only who offers the name gets to these: everybody else's ALPN goes on being nobody's matter (RFC 8737 section 4). */
  const challengeOptionsOf = (pair: CertificatePair): ShownOptions => {
    const label = `${ACME_ALPN} ${pair.version}`;
    const options = ready.get(label) ?? { ...optionsOf([pair]), ALPNProtocols: [ACME_ALPN] };
    ready.set(label, options);
    return options;
  };
  let known: { readonly pair: CertificatePair; readonly options: SecureContextOptions } | undefined;
  for (const pair of material.pairs) {
    try {
      known = { pair, options: optionsOf(serving.asDefault(pair, clock.now())) };
      break;
    } catch (thrown) {
      onTrouble(`${pair.origin} cannot be used: ${messageOf(thrown)}`);
    }
  }
  if (known === undefined) throw new NoCertificate("no-own-certificate", "there is no certificate that can be used");
  const first = known;
  const fallback = (): SecureContextOptions => {
    try {
      return optionsOf(serving.asDefault(first.pair, clock.now()));
    } catch (thrown) {
      onTrouble(`what serves in the place of ${first.pair.origin} cannot be used: ${messageOf(thrown)}`);
      return first.options;
    }
  };
  const challenges = new Map(material.challenges);

  /** What serves until another answer comes. */
  const settle = (name: string, answer: CertificateAnswer, before: TableEntry | undefined): SecureContextOptions => {
    if (answer.kind === "failed") {
      if (before === undefined) throw new NoCertificate("keeper-unavailable", answer.text);
      // It serves on, and not every client is made to wait for an answer that does not come.
      fromTables.set(name, { ...before, askedAtMs: clock.monotonicMs() });
      return before.options ?? fallback();
    }
    const pairs = answer.kind === "none" ? [] : servingTogether(answer.pairs, clock.now());
    const version = pairs.map((pair) => pair.version).join(" ");
    let options: SecureContextOptions | undefined;
    try {
      if (answer.kind === "found") options = before?.version === version ? before.options : tried(pairs);
    } catch (thrown) {
      onTrouble(`the certificate for ${name} cannot be used: ${messageOf(thrown)}`);
    }
    fromTables.set(name, { options, version, askedAtMs: clock.monotonicMs() });
    return options ?? fallback();
  };
  const ask = (name: string, before: TableEntry | undefined): Promise<SecureContextOptions> => {
    const running = asking.get(name);
    if (running !== undefined) return running;
    const asked = withDeadline(parts.ask(name), clock, ASK_WITHIN_MS)
      .catch((thrown: unknown): CertificateAnswer => ({ kind: "failed", text: messageOf(thrown) }))
      .then((answer) => settle(name, answer, before))
      .finally(() => asking.delete(name));
    asking.set(name, asked);
    return asked;
  };

  return {
    defaultOptions: first.options,
    optionsFor(serverName, offered) {
      if (serverName === undefined || serverName === "") return fallback();
      const name = foldedName(serverName);
      const challenge = offered?.includes(ACME_ALPN) === true ? challenges.get(name) : undefined;
      try {
        if (challenge !== undefined) return challengeOptionsOf(challenge);
        const pairs = serving.forName(name, clock.now());
        if (pairs !== undefined) return optionsOf(pairs);
      } catch (thrown) {
        onTrouble(`the certificate for ${name} cannot be used: ${messageOf(thrown)}`);
        return fallback();
      }
      if (!material.hasTables) return fallback();
      const entry = fromTables.get(name);
      const ageMs = entry === undefined ? Number.POSITIVE_INFINITY : clock.monotonicMs() - entry.askedAtMs;
      if (entry === undefined || ageMs >= TABLE_SERVES_MS) return ask(name, entry);
      if (ageMs >= TABLE_FRESH_MS) ask(name, entry).catch((thrown: unknown) => onTrouble(messageOf(thrown)));
      return entry.options ?? fallback();
    },
  };
}

function ticketOptions(material: ProfileMaterial, terms: ContextTerms): { ticketKeys?: Buffer } {
  return terms.hasTickets ? { ticketKeys: Buffer.from(material.tickets.key) } : {};
}

interface TableEntry {
  /** Undefined: the default's. */
  readonly options: SecureContextOptions | undefined;
  readonly version: string;
  readonly askedAtMs: number;
}

function withDeadline<Value>(work: Promise<Value>, clock: Clock, withinMs: number): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(withinMs, () => reject(new Error(`no answer within ${withinMs / 1000} s`)));
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}
