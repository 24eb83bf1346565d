import { X509Certificate } from "node:crypto";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Table, TableEntry } from "../../table/table.ts";
import { markOfAnchors, readAnchors } from "./anchors.io.ts";
import { ageText, parsePair, servesName, type CertificatePair, type RequestedKeyKind } from "./certificate.ts";
import {
  SYSTEM_ANCHORS,
  type Anchors,
  type HeldCertificate,
  type Keeper,
  type KeeperChange,
  type KeeperStore,
} from "./keeper.ts";
import { keyFingerprintOf } from "../fingerprint.ts";
import { keptCertificates } from "./kept-certificates.io.ts";
import { foldedName } from "./name-index.ts";
import { ownCertificate } from "./own-certificate.io.ts";
import { recent } from "../recent.ts";
import type { CertificateSource } from "../settings.ts";
import { loadDirectory, loadPair, markOfDirectory, markOfFiles, namingFile, type LoadedPairs } from "./source.io.ts";
import { tableCertificates } from "./table-certificates.io.ts";
import type { TicketKeys } from "./tickets.ts";

/** A changed file is in force this long after the change plus once more, for it is read when it has come to rest. */
const LOOK_EVERY_MS = 1000;
/**
 * What could not be read is read again without a change, too: there may have been no descriptors, or a file server was away.
 * After twice the time before, each time: it may be for good, and a folder is read whole.
 */
const TRY_AGAIN_MS = 30_000;
const LONGEST_TRY_AGAIN_MS = 600_000;
const TELL_AGAIN_MS = 600_000;
const DAY_MS = 86_400_000;
/** Of each table, each day. */
const MOST_AGES_TOLD = 100;

/** What the keeper needs of the settings. */
export interface KeeperSettings {
  readonly certificates: readonly CertificateSource[];
  readonly listeners: readonly { readonly name: string; readonly certificates?: readonly string[] | undefined }[];
  /** Files of authorities that may be asked for; the system's store always may. */
  readonly authorities: readonly string[];
  /** Where it keeps what it made itself or was given, and for which names it makes itself a certificate. */
  readonly directory: string;
  readonly ownNames: readonly string[];
  readonly expiryWarningMs: number;
}

/** What the operator should know. Never holds a key. */
export type KeeperFinding =
  | { readonly kind: "trouble"; readonly source: string; readonly text: string }
  | { readonly kind: "taken"; readonly source: string; readonly names: readonly string[]; readonly notAfterAt: number }
  | { readonly kind: "age"; readonly source: string; readonly text: string };

export interface KeeperParts {
  readonly settings: KeeperSettings;
  readonly clock: Clock;
  readonly table: (name: string) => Table | undefined;
  readonly tickets: TicketKeys;
  readonly onFinding: (finding: KeeperFinding) => void;
}

export interface RunningKeeper extends Keeper, KeeperStore {
  /** It is told of nothing any more, and tells nothing; what it knows can still be asked for. */
  close(): void;
}

/** One source of pairs that is there by itself, watched. */
interface Watched {
  readonly label: string | undefined;
  readonly name: string;
  readonly mark: () => Promise<string>;
  readonly load: () => Promise<Pick<LoadedPairs, "pairs" | "problems" | "isUnread">>;
  /** Of an authority's certificates, which the check of the settings does not open. */
  readonly isKept?: boolean | undefined;
  pairs: readonly CertificatePair[];
  /** Of what is in force, and of the look before. */
  taken: string;
  seen: string;
  trouble: string;
  again: Again;
}

/** When what could not be read is read again, by the monotonic clock, and after which pause. */
interface Again {
  readonly atMs: number;
  readonly pauseMs: number;
}

const NOT_AGAIN: Again = { atMs: Number.POSITIVE_INFINITY, pauseMs: 0 };

function nextTry(before: Again, nowMs: number): Again {
  const pauseMs = Math.min(LONGEST_TRY_AGAIN_MS, Math.max(TRY_AGAIN_MS, before.pauseMs * 2));
  return { atMs: nowMs + pauseMs, pauseMs };
}

interface WatchedAnchors {
  readonly mark: string;
  readonly value: Anchors;
  /** Why the file is not what is in force, and when it is read again. */
  readonly trouble?: { readonly text: string; readonly again: Again } | undefined;
}

/**
 * The keeper itself. Reads everything once and watches it: what has changed and holds together replaces what was there, as a
 * whole and at once; what does not is told, and the version before stays. Throws only when the server's own certificate is
 * needed and cannot be made.
 */
export async function startKeeper(parts: KeeperParts): Promise<RunningKeeper> {
  const { settings, clock, onFinding, tickets } = parts;
  const listening = new Set<(change: KeeperChange) => void>();
  const challenges = new Map<string, CertificatePair>();
  const anchors = new Map<string, WatchedAnchors>();
  const tables = settings.certificates.flatMap((source) =>
    source.kind === "table"
      ? [{ ...source, certificates: tableCertificates(source.table, parts.table(source.table), source.directory) }]
      : [],
  );
  const kept = keptCertificates(settings.directory);
  let sources: Watched[] = [];
  let own: CertificatePair | undefined;
  let timer: Timer | undefined;
  let isClosed = false;
  let agesToldAt = clock.now();

  /** Told once in a while, however many clients ask for a name that is in trouble. */
  const toldTroubles = recent<{ readonly text: string; readonly atMs: number }>(100);
  const tableTrouble = (source: string, text: string): void => {
    const before = toldTroubles.get(text);
    if (before !== undefined && clock.monotonicMs() - before.atMs < TELL_AGAIN_MS) return;
    toldTroubles.set(text, { text, atMs: clock.monotonicMs() });
    onFinding({ kind: "trouble", source, text });
  };
  const toldAges = recent<number>(MOST_AGES_TOLD * 10);
  const tell = (change: KeeperChange): void => {
    for (const each of listening) each(change);
  };
  const trouble = (source: Watched, text: string): void => {
    if (source.trouble === text) return;
    source.trouble = text;
    if (text === "") return;
    const stays = source.pairs.length === 0 ? "" : "; the version before stays in force";
    onFinding({ kind: "trouble", source: source.name, text: `${text}${stays}` });
  };
  /** Takes a source anew. A pair that is broken among whole ones does not keep those back. */
  const take = async (source: Watched, mark: string): Promise<boolean> => {
    const { pairs, problems, isUnread } = await source.load();
    const before = mark === source.taken ? source.again : NOT_AGAIN;
    source.taken = mark;
    source.again = isUnread === true ? nextTry(before, clock.monotonicMs()) : NOT_AGAIN;
    if (problems.length > 0) {
      trouble(source, problems.slice(0, 5).join("; "));
      // Files that belong together in one entry are all right or all wrong; in a folder each pair is by itself.
      const lost = source.pairs.filter((pair) => !pairs.some((other) => other.origin === pair.origin));
      const merged = [...pairs, ...lost];
      const isChanged = !areSame(merged, source.pairs);
      source.pairs = merged;
      return isChanged;
    }
    source.trouble = "";
    const isChanged = !areSame(pairs, source.pairs);
    source.pairs = pairs;
    return isChanged;
  };
  const watched = (
    label: string | undefined,
    name: string,
    work: Pick<Watched, "mark" | "load" | "isKept">,
  ): Watched => ({
    label,
    name,
    ...work,
    pairs: [],
    taken: "",
    seen: "",
    trouble: "",
    again: NOT_AGAIN,
  });
  const staticSources = (): Watched[] =>
    settings.certificates.flatMap((source): Watched[] => {
      if (source.kind === "table") return [];
      if (source.kind === "acme") return source.keyKinds.map((kind) => keptSource(source.label, kind));
      if (source.kind === "directory")
        return [
          watched(source.label, source.directory, {
            mark: () => markOfDirectory(source.directory),
            load: () => loadDirectory(source.directory),
          }),
        ];
      return [watched(source.label, source.certificate, fromFiles(source))];
    });
  const keptSource = (label: string, kind: RequestedKeyKind): Watched => {
    const file = kept.fileOf(label, kind);
    return watched(label, file, { mark: () => markOfFiles([file]), load: () => kept.load(label, kind), isKept: true });
  };

  const pairsOf = (labels: readonly string[] | undefined): readonly CertificatePair[] =>
    labels === undefined
      ? sources.flatMap((source) => source.pairs)
      : labels.flatMap((label) => sources.flatMap((source) => (source.label === label ? source.pairs : [])));
  const tablesOf = (labels: readonly string[] | undefined) =>
    labels === undefined ? tables : tables.filter(({ label }) => label !== undefined && labels.includes(label));
  const labelsOf = (listener: string): readonly string[] | undefined =>
    settings.listeners.find(({ name }) => name === listener)?.certificates;
  /** Made when somebody would otherwise have nothing to show. */
  const makeOwn = async (): Promise<void> => {
    const isNeeded =
      sources.every((source) => source.pairs.length === 0) ||
      settings.listeners.some((listener) => pairsOf(listener.certificates).length === 0);
    if (isNeeded) own = await ownCertificate(settings.directory, settings.ownNames, clock);
  };

  const look = async (): Promise<void> => {
    let isChanged = false;
    for (const source of sources) {
      const mark = await source.mark();
      const isAtRest = mark === source.seen;
      source.seen = mark;
      // Half of a renewal is no certificate: what has just changed may be changing still.
      const isDue = mark !== source.taken || clock.monotonicMs() >= source.again.atMs;
      if (!isDue || !isAtRest) continue;
      const before = source.pairs;
      if (!(await take(source, mark))) continue;
      isChanged = true;
      for (const pair of source.pairs)
        if (!before.some((other) => other.version === pair.version))
          onFinding({ kind: "taken", source: pair.origin, names: pair.names, notAfterAt: pair.notAfterAt });
    }
    for (const [source, known] of anchors) {
      const mark = await markOfAnchors(source);
      const before = mark === known.mark ? (known.trouble?.again ?? NOT_AGAIN) : NOT_AGAIN;
      if (mark === known.mark && clock.monotonicMs() < before.atMs) continue;
      const value = await readAnchors(source);
      if (value.pems.length === 0 && known.value.pems.length > 0) {
        const text = `${value.problem ?? "holds no certificate"}; the version before stays in force`;
        if (text !== known.trouble?.text) onFinding({ kind: "trouble", source, text });
        const again = value.isUnread === true ? nextTry(before, clock.monotonicMs()) : NOT_AGAIN;
        anchors.set(source, { mark, value: known.value, trouble: { text, again } });
        continue;
      }
      anchors.set(source, { mark, value });
      tell("anchors");
    }
    if (clock.now() - agesToldAt >= DAY_MS) {
      if (own !== undefined) await makeOwn();
      tellAges(false);
      await tellTableAges();
      isChanged ||= own !== undefined;
    }
    if (isChanged) tell("certificates");
  };
  /** At the start the check of the settings has told of what it opened. */
  const tellAges = (isStart: boolean): void => {
    agesToldAt = clock.now();
    for (const { pairs, isKept } of sources)
      for (const pair of isStart && isKept !== true ? [] : pairs) {
        const text = ageText(pair, clock.now(), settings.expiryWarningMs);
        if (text !== undefined) onFinding({ kind: "age", source: pair.origin, text });
      }
  };
  /** Each entry of the tables, as the check of the settings does at a start. Of many only the first are told. */
  const tellTableAges = async (): Promise<void> => {
    for (const { table, certificates } of tables) {
      let count = 0;
      const tellEntry = (pair: CertificatePair, { key, where }: TableEntry): void => {
        const text = ageText(pair, clock.now(), settings.expiryWarningMs);
        if (text === undefined || ++count > MOST_AGES_TOLD) return;
        onFinding({ kind: "age", source: where, text: `the certificate of ${key} ${text}` });
      };
      await certificates.each(tellEntry, (text) => tableTrouble(table, text));
      if (count <= MOST_AGES_TOLD) continue;
      const text = `holds ${count - MOST_AGES_TOLD} more certificates that expire soon or have expired`;
      onFinding({ kind: "age", source: `table ${table}`, text });
    }
  };
  /** Of a table that cannot be gone through: when a client asks for the name, once a day. */
  const tellAskedAge = (pair: CertificatePair): void => {
    const text = ageText(pair, clock.now(), settings.expiryWarningMs);
    const toldAtMs = toldAges.get(pair.fingerprint) ?? Number.NEGATIVE_INFINITY;
    if (text === undefined || clock.monotonicMs() - toldAtMs < DAY_MS) return;
    toldAges.set(pair.fingerprint, clock.monotonicMs());
    onFinding({ kind: "age", source: pair.origin, text: `the certificate of ${pair.names.join(", ")} ${text}` });
  };
  const watch = (): void => {
    timer = clock.after(LOOK_EVERY_MS, () => {
      void look()
        .catch((thrown: unknown) => onFinding({ kind: "trouble", source: "keeper", text: messageOf(thrown) }))
        .then(() => {
          if (!isClosed) watch();
        });
    });
  };

  const forgetTickets = tickets.onRotated(() => tell("tickets"));
  await kept.sweep(clock.now());
  sources = staticSources();
  for (const source of sources) {
    source.seen = await source.mark();
    await take(source, source.seen);
  }
  await makeOwn();
  tellAges(true);
  watch();

  return {
    async profile(listener) {
      const labels = labelsOf(listener);
      const pairs = pairsOf(labels);
      return {
        pairs: pairs.length > 0 || own === undefined ? pairs : [own],
        hasTables: tablesOf(labels).length > 0,
        challenges: [...challenges],
        tickets: tickets.current(),
      };
    },
    async certificateFor(serverName, listener) {
      const name = foldedName(serverName);
      for (const source of tablesOf(labelsOf(listener))) {
        const answer = await source.certificates.find(name);
        if (answer.kind === "failed") tableTrouble(source.table, answer.text);
        if (answer.kind === "found" && !source.certificates.canGoThrough)
          for (const pair of answer.pairs) tellAskedAge(pair);
        if (answer.kind !== "none") return answer;
      }
      return { kind: "none" };
    },
    async anchors(source) {
      const known = anchors.get(source);
      if (known !== undefined && known.value.pems.length > 0) return known.value;
      if (source !== SYSTEM_ANCHORS && !settings.authorities.includes(source))
        return {
          pems: [],
          origin: source,
          problem: `${source} is read for nobody unless the settings name it, in \`delivery.tls.ca-files\` say`,
        };
      const mark = await markOfAnchors(source);
      const value = await readAnchors(source);
      anchors.set(source, { mark, value });
      return value;
    },
    async clientCertificate(label) {
      const pairs = pairsOf([label]);
      return pairs.length > 0 ? { pairs } : { pairs, problem: `there is no certificate ${label} that can be used` };
    },
    onChange(listener) {
      listening.add(listener);
      return () => listening.delete(listener);
    },
    async listing() {
      const listed = sources.flatMap(({ label, pairs }) => pairs.map((pair) => ({ label, pair })));
      if (own !== undefined) listed.push({ label: undefined, pair: own });
      return listed.map(({ label, pair }) => {
        const showing = settings.listeners.filter(({ certificates }) => {
          const shown = pairsOf(certificates);
          return shown.length > 0 ? shown.includes(pair) : pair === own;
        });
        const named = label === undefined ? {} : { label };
        const keyFingerprint = keyFingerprintOf(new X509Certificate(pair.certificatePem));
        return {
          ...named,
          ...withoutKey(pair),
          keyFingerprint,
          origin: pair.origin,
          listeners: showing.map(({ name }) => name),
        };
      });
    },
    async held(label) {
      return pairsOf([label]).map(withoutKey);
    },
    requestFor: (label, kind, names) => kept.request(label, kind, names),
    async keepChain(label, kind, chainPem) {
      const source = sources.find((each) => each.name === kept.fileOf(label, kind));
      if (source === undefined) return `the settings have no certificate ${label} with a key of this kind`;
      const stored = await kept.keep(label, kind, chainPem);
      if ("problem" in stored) return stored.problem;
      source.seen = await source.mark();
      await take(source, source.seen);
      const { pair } = stored;
      onFinding({ kind: "taken", source: label, names: pair.names, notAfterAt: pair.notAfterAt });
      tell("certificates");
      return undefined;
    },
    accountKey: (directoryUrl) => kept.accountKey(directoryUrl),
    notes: () => kept.notes(),
    keepNotes: (text) => kept.keepNotes(text),
    async setChallenge(name, pair) {
      if (pair === undefined) challenges.delete(foldedName(name));
      else {
        const parsed = parsePair({ ...pair, origin: "acme-tls/1" });
        if (!parsed.ok) return `the ${parsed.problem.part} ${parsed.problem.text}`;
        if (!servesName(parsed.value, name)) return `the certificate is not for ${name}`;
        challenges.set(foldedName(name), parsed.value);
      }
      tell("certificates");
      return undefined;
    },
    close() {
      isClosed = true;
      forgetTickets();
      timer?.cancel();
    },
  };
}

function withoutKey(pair: CertificatePair): HeldCertificate {
  const { names, keyKind, notBeforeAt, notAfterAt, fingerprint } = pair;
  return { names, keyKind, notBeforeAt, notAfterAt, fingerprint };
}

function fromFiles(files: {
  readonly certificate: string;
  readonly key: string;
  readonly names?: readonly string[] | undefined;
}): Pick<Watched, "mark" | "load"> {
  return {
    mark: () => markOfFiles([files.certificate, files.key]),
    async load() {
      const loaded = await loadPair(files);
      if (loaded.ok) return { pairs: [loaded.value.pair], problems: [] };
      const { isUnread } = loaded.problem;
      return { pairs: [], problems: [namingFile(loaded.problem, files.certificate, files.key)], isUnread };
    },
  };
}

function areSame(some: readonly CertificatePair[], others: readonly CertificatePair[]): boolean {
  const mark = (pairs: readonly CertificatePair[]): string =>
    pairs.map((pair) => `${pair.version} ${pair.names.join(",")}`).join("\n");
  return mark(some) === mark(others);
}
