import { bodyOpener } from "./open-body.ts";
import { networkInterfaces } from "node:os";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import type { NetworkDelivery } from "../../mail/delivery/delivery.ts";
import { createNetworkDelivery } from "../../mail/delivery/smtp/network-delivery.io.ts";
import { tcpDial } from "../../mail/delivery/smtp/tcp-dial.io.ts";
import { policyFinder } from "../../mail/delivery/tls-policy/find-policy.ts";
import { locate } from "../../service/config/config.ts";
import { createResolver } from "../../service/dns/resolver.io.ts";
import type { Table } from "../../service/table/table.ts";
import type { Keeper } from "../../service/tls/keeper/keeper.ts";
import type { Tracer } from "../../service/tls/tracer/tracer.ts";
import type { Folders } from "../folders.ts";
import { tablesOf } from "./tables-of-settings.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import type { LookupPort } from "./lookup.ts";
import type { Topics } from "../topics.ts";

/** Sending over the network, with a resolver of its own. */
export interface EgressRole extends AsyncDisposable {
  readonly port: NetworkDelivery;
  /** Whoever called `port` is gone, and its sessions are nobody's. */
  forsake(): void;
}

export function startEgress(parts: {
  loaded: LoadedSettings;
  folders: Folders;
  clock: Clock;
  emit: Emit;
  keeper: Keeper;
  lookup: LookupPort;
  tracer: Tracer;
  topics: Topics;
}): EgressRole {
  const { clock, emit } = parts;
  const { settings, secrets } = parts.loaded;
  const resolver = createResolver({ clock, settings: settings.dns, trace: parts.topics.of("dns") });
  const { policy: policies, policyTable } = settings.delivery.tls;
  const delivery = createNetworkDelivery({
    clock,
    emit,
    keeper: parts.keeper,
    tracer: parts.tracer,
    trace: parts.topics.of("mta"),
    policies: policyFinder({
      policies,
      whereIs: (key) => locate(parts.loaded.origins, ["delivery", "tls", "policy", key]),
      table: policyTable === undefined ? undefined : oneTable(parts.loaded, policyTable, clock, emit, parts.lookup),
    }),
    random: systemRandom,
    settings: settings.delivery,
    resolver,
    dial: tcpDial,
    openBody: bodyOpener(parts.folders),
    credentials: (label) => secrets.credentials[label],
    hostname: settings.hostname,
    localAddresses: Object.values(networkInterfaces()).flatMap((addresses) =>
      (addresses ?? []).map(({ address }) => address),
    ),
  });
  return {
    port: delivery,
    forsake: () => delivery.forsake(),
    async [Symbol.asyncDispose]() {
      await delivery[Symbol.asyncDispose]();
      await resolver[Symbol.asyncDispose]();
    },
  };
}

/** The only table that this role may read. */
function oneTable(
  loaded: LoadedSettings,
  name: string,
  clock: Clock,
  emit: Emit,
  lookup: LookupPort,
): Table | undefined {
  const source = loaded.settings.tables[name];
  if (source === undefined) return undefined;
  const settings = { ...loaded.settings, tables: { [name]: source } };
  return tablesOf({ ...loaded, settings }, clock, emit, lookup).get(name);
}
