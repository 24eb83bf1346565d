import { isLoopback, parseIpAddress } from "../../../protocol/address/ip-address.ts";
import type { FilterFacts } from "../filter.ts";

/** Whether somebody who logged in, or who is on this host: whose mail is his own, and not brought along from elsewhere. */
export function isOwnClient({ account, client }: FilterFacts): boolean {
  if (account !== undefined || client.address === undefined) return true;
  const address = parseIpAddress(client.address);
  return address !== undefined && isLoopback(address);
}
