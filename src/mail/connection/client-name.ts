import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import type { Resolver } from "../../protocol/dns/resolver.ts";
import { addressBytes } from "../../service/table/network.ts";
import { isLoopback } from "../../service/table/networks.ts";

/** Names of one address that are looked at; an address with more has none that means much. */
const MOST_NAMES = 3;

/** Who comes from this host needs no DNS to have a name; undefined: the client comes from elsewhere. */
export function nameOfThisHost(address: string | undefined): string | undefined {
  return address === undefined || isLoopback(address) ? "localhost" : undefined;
}

/**
 * The client's name when the DNS says it both ways: the address has the name, and the name has the address (RFC 8601
 * section 2.7.3 calls that iprev). Undefined when there is no such name or the answer does not come in `limitMs`.
 */
export async function clientName(
  resolver: Resolver,
  clock: Clock,
  address: string,
  limitMs: number,
): Promise<string | undefined> {
  try {
    return await withDeadline(clock, limitMs, "the client's name", (signal) => confirmed(resolver, address, signal));
  } catch {
    return undefined;
  }
}

async function confirmed(resolver: Resolver, address: string, signal: AbortSignal): Promise<string | undefined> {
  const names = await resolver.ptr(address, signal);
  const own = addressBytes(address);
  if (names.kind !== "found" || own === undefined) return undefined;
  for (const name of names.records.slice(0, MOST_NAMES)) {
    if (!/^[a-z0-9_](?:[a-z0-9_.-]{0,252})$/i.test(name)) continue;
    const found = own.length === 4 ? await resolver.ipv4(name, signal) : await resolver.ipv6(name, signal);
    if (found.kind !== "found") continue;
    const isConfirmed = found.records.some((record) => {
      const bytes = addressBytes(record);
      return bytes !== undefined && Buffer.compare(bytes, own) === 0;
    });
    if (isConfirmed) return name.replace(/\.$/, "").toLowerCase();
  }
  return undefined;
}
