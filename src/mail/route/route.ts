import { isIP } from "node:net";
import type { NextHost } from "./next-host.ts";
import { limited, type Limited } from "./limited.ts";
import { noPenalty, type Penalty } from "./penalty.ts";

/**
 * The route stage: a route is one source address to one address of one next host. Before it: scheduler, which chooses
 * among routes; after it: delivery, which connects.
 *
 * A route knows how many connections it has and may have, and its penalty. Because a route is one *address*, an IPv4
 * failure says nothing about the host's IPv6 address, nor the other way round. Slow start: one connection until a
 * session worked, then one more for each transaction that did, up to the limit; after a failure one again.
 */
export interface Route {
  readonly key: string;
  readonly source: string | undefined;
  readonly name: string;
  /** `name[ip]:port`, for people. */
  readonly text: string;
  /** `ip:port`, `[ip]:port`, or a socket's path. */
  readonly address: string;
  /** Connections now, against `allowed` of slow start (never above the route's limit). */
  readonly connections: Limited;
  readonly penalty: Penalty;
  /** Sessions opened, for the shares of our addresses at this one of the host; counted anew after failures. */
  opened: number;
  /** Who was refused there in a row, by words about our address. */
  verdicts?: Verdicts | undefined;
}

export interface Verdicts {
  readonly senders: Set<string>;
  readonly recipients: Set<string>;
  /** They were several: the next one is enough. */
  readonly isBelieved: boolean;
}

export function addressText(host: NextHost): string {
  if ("path" in host.address) return host.address.path;
  const { ip, port } = host.address;
  return isIP(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** As the log shows a next host: `name[ip]:port`, or `name[/path]`. */
export function hostText(host: NextHost): string {
  return "path" in host.address
    ? `${host.name}[${host.address.path}]`
    : `${host.name}[${host.address.ip}]:${host.address.port}`;
}

/** As the log names it: our address in front, where settings chose it. */
export function routeText({ source, text }: Pick<Route, "source" | "text">): string {
  return source === undefined ? text : `${source} > ${text}`;
}

/** `address`: the host's, as `addressText` writes it. */
export function routeKey(source: string | undefined, host: NextHost, address = addressText(host)): string {
  return `${source ?? "*"}>${address}`;
}

/** Our addresses that can reach the host: of its family. With none configured the system chooses: `[undefined]`. */
export function sourcesFor<Own extends { readonly address: string }>(
  host: NextHost,
  sources: readonly Own[],
): readonly (Own | undefined)[] {
  if ("path" in host.address || sources.length === 0) return SYSTEM_CHOOSES;
  const family = isIP(host.address.ip);
  return sources.filter(({ address }) => isIP(address) === family);
}

const SYSTEM_CHOOSES: readonly undefined[] = [undefined];

export function newRoute(key: string, source: string | undefined, host: NextHost, address = addressText(host)): Route {
  return {
    key,
    source,
    name: host.name,
    text: hostText(host),
    address,
    connections: limited(1),
    penalty: noPenalty(),
    opened: 0,
  };
}

/** A transaction went through: slow start goes one step on. */
export function growRoute(route: Route, mostConnections: number): void {
  route.connections.limit = Math.min(route.connections.limit + 1, mostConnections);
}

/** A connection or session failed: slow start begins again. */
export function shrinkRoute(route: Route): void {
  route.connections.limit = 1;
}
