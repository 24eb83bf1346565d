import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import type { Random } from "../../foundation/random.ts";
import type { AcmeFinding, AcmeStatus } from "../../service/acme/acme.ts";
import { startAcme, type AcmeParts, type RunningAcme } from "../../service/acme/acme.io.ts";
import { alpnAnswerer } from "../../service/acme/alpn-answerer.io.ts";
import { httpAnswerer, type ListeningAnswerer } from "../../service/acme/http-answerer.io.ts";
import type { Answerer } from "../../service/acme/obtain.io.ts";
import { ordersOver, type OrderParts } from "../../service/acme/order.io.ts";
import type { KeeperStore } from "../../service/tls/keeper/keeper.ts";
import { boundInPlaceOf, type Listening } from "../split/bound-sockets.ts";
import { acmeItemsOf, acmePlaceOf } from "../settings/acme-files.ts";
import * as events from "../events.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { version } from "../version.ts";

/**
 * Certificates from an authority: speaks with it and answers its questions. Holds the account's key, which is good for
 * nothing but orders; the keys of certificates stay with the keeper.
 */
export interface AcmeRole {
  readonly listening: readonly string[];
  status(): readonly AcmeStatus[];
  /** Asks for certificates anew; gives their labels. */
  renew(label?: string): readonly string[];
  /**
   * Listens where other settings say, and changes nothing else until `commit`. Throws when a port cannot be had. `listeners`:
   * those of this process that go and stay with them.
   */
  prepare(
    loaded: LoadedSettings,
    store: RoleStore,
    listeners: { readonly going: readonly Listening[]; readonly staying: readonly Listening[] },
  ): Promise<Prepared>;
  close(): Promise<void>;
}

export interface Prepared {
  /** What no longer listens after `commit`. */
  readonly going: readonly Listening[];
  commit(): Promise<void>;
  discard(): Promise<void>;
}

export type RoleStore = AcmeParts["store"] & OrderParts["store"] & Pick<KeeperStore, "setChallenge">;

export interface AcmeRoleParts {
  readonly loaded: LoadedSettings;
  readonly store: RoleStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: Emit;
  /** Sockets that somebody else bound, by name. */
  readonly inherited: ReadonlyMap<string, number>;
  readonly onStatus?: (() => void) | undefined;
}

/** Keeper to listeners: a message between processes, and a context made. */
const CHALLENGE_SPREADS_MS = 500;

export async function startAcmeRole(parts: AcmeRoleParts): Promise<AcmeRole> {
  const { clock, emit } = parts;
  let open = await answererFor(parts.loaded, parts.inherited, undefined, NOBODY);
  let running = start(parts.loaded, parts.store);

  function start(loaded: LoadedSettings, store: RoleStore): RunningAcme {
    const settings = loaded.settings.acme;
    const order = ordersOver({
      settings,
      bindingKey: loaded.secrets.acmeBindingKey,
      store,
      answerer: open?.answerer ?? listenersAnswer(store, clock),
      clock,
      userAgent: `posthorn/${version}`,
    });
    return startAcme({
      settings,
      items: acmeItemsOf(loaded.settings),
      store,
      order,
      clock,
      random: parts.random,
      onFinding: (finding) => tellFinding(emit, finding, clock.now()),
      onStatus: parts.onStatus,
    });
  }
  return {
    get listening() {
      return open === undefined ? [] : [`${open.name}=${open.address ?? "*"}:${open.answerer.port}`];
    },
    status: () => running.status(),
    renew: (label) => running.renew(label),
    async prepare(loaded, store, listeners) {
      const before = open;
      const next = await answererFor(loaded, parts.inherited, before, listeners);
      return {
        going: before === undefined || before === next ? [] : [listeningOf(before)],
        async commit() {
          // An order that runs is given up: nothing is to be answered for it, and others may have its port.
          if (before !== next) await before?.answerer.close();
          await running.close();
          open = next;
          running = start(loaded, store);
        },
        async discard() {
          if (before !== next) await next?.answerer.close();
        },
      };
    },
    async close() {
      await running.close();
      await open?.answerer.close();
    },
  };
}

interface OpenAnswerer {
  readonly name: string;
  readonly address?: string | undefined;
  readonly port: number;
  readonly answerer: ListeningAnswerer;
}

const NOBODY = { going: [], staying: [] };

function listeningOf({ answerer, address, port }: OpenAnswerer): Listening {
  return { socket: answerer.fd === undefined ? undefined : { fd: answerer.fd, place: { address, port } } };
}

/** `before` goes on where the place is the same. Undefined when no port of its own is needed. */
async function answererFor(
  { settings }: LoadedSettings,
  inherited: ReadonlyMap<string, number>,
  before: OpenAnswerer | undefined,
  { going, staying }: Parameters<AcmeRole["prepare"]>[2],
): Promise<OpenAnswerer | undefined> {
  const place = acmePlaceOf(settings);
  if (typeof place !== "object") return undefined;
  if (before !== undefined && (["name", "address", "port"] as const).every((part) => before[part] === place[part]))
    return before;
  const ours = before === undefined ? [] : [listeningOf(before)];
  const fd = inherited.get(place.name) ?? boundInPlaceOf(place, [...ours, ...going], staying);
  const at = fd === undefined ? place : { fd };
  const answerer = place.name === "acme-http" ? await httpAnswerer(at) : await alpnAnswerer(at);
  return { ...place, answerer };
}

/** The listeners show the challenge's certificate: the keeper tells them. */
function listenersAnswer(store: RoleStore, clock: Clock): Answerer {
  return {
    async show({ name, certificate }) {
      const problem = await store.setChallenge(name, certificate);
      if (problem !== undefined) throw new Error(`the challenge's certificate cannot be shown: ${problem}`);
      await new Promise<void>((resolve) => {
        clock.after(CHALLENGE_SPREADS_MS, resolve);
      });
      return async () => {
        await store.setChallenge(name, undefined);
      };
    },
  };
}

function tellFinding(emit: Emit, finding: AcmeFinding, nowAt: number): void {
  if (finding.kind === "trouble") {
    emit(events.acmeTrouble, { problem: finding.text });
    return;
  }
  const { label, kind: keyKind, names } = finding.item;
  if (finding.kind !== "issued") {
    const { type, text, cure } = finding.problem;
    emit(finding.kind === "failed" ? events.certificateNotIssued : events.certificateDueAgain, {
      certificate: label,
      keyKind,
      names,
      reason: type,
      problem: text,
      cure,
      failures: finding.failures,
      nextAt: finding.nextAt,
      nextInMs: Math.max(0, finding.nextAt - nowAt),
    });
    return;
  }
  const until = new Date(finding.notAfterAt).toISOString().slice(0, 10);
  const told = { certificate: label, keyKind, names, because: finding.because, until, tookMs: finding.tookMs };
  emit(finding.because === "first" ? events.certificateIssued : events.certificateRenewed, told);
}
