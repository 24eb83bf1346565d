import { isIP } from "node:net";
import { canonicalIpText } from "../../protocol/address/ip-address.ts";
import { addressBytes, networkContainsBytes, parseNetwork, type Network } from "./network.ts";

/**
 * Networks as listeners' settings write them (`192.0.2.0/24`, `2001:db8::/32`, one address, `loopback`), and which
 * network an address counts towards. Addresses are compared after `plainAddress`, so that one client has one spelling.
 */
export interface Networks {
  has(address: string): boolean;
}

/** What stands for all addresses of the loopback interface. */
export const LOOPBACK = "loopback";

/** A set of networks; the texts have passed `network()`. */
export function networksOf(texts: readonly string[]): Networks {
  const networks: readonly Network[] = texts
    .flatMap((text) => (text === LOOPBACK ? ["127.0.0.0/8", "::1"] : [text]))
    .flatMap((text) => {
      const parsed = parseNetwork(text);
      return parsed.ok ? [parsed.value] : [];
    });
  if (networks.length === 0) return { has: () => false };
  return {
    has(address) {
      const bytes = addressBytes(address);
      return bytes !== undefined && networks.some((one) => networkContainsBytes(one, bytes));
    },
  };
}

/**
 * One spelling for one client, whoever wrote it: `::ffff:192.0.2.1` and `::ffff:c000:201` (a dual-stack socket's view) are
 * 192.0.2.1; a zone index goes. Text that is no address stays.
 */
export function plainAddress(address: string): string {
  if (!address.includes(":")) return address;
  const zone = address.indexOf("%");
  const text = zone < 0 ? address : address.slice(0, zone);
  return canonicalIpText(text) ?? text;
}

/** The network an address counts towards: its IPv4 /24 or IPv6 /64. Text that is no address is its own network. */
export function networkOf(address: string): string {
  if (isIP(address) === 4) return `${address.slice(0, address.lastIndexOf("."))}.0/24`;
  const bytes = addressBytes(address);
  return bytes === undefined ? address : `${Buffer.from(bytes.subarray(0, 8)).toString("hex")}/64`;
}

/** Whom rates mean by a client: the IPv4 address, or the IPv6 /64, for one host there has as many addresses as it likes. */
export function clientOf(address: string): string {
  return isIP(address) === 4 ? address : networkOf(address);
}

export function isLoopback(address: string): boolean {
  return address === "::1" || (address.startsWith("127.") && isIP(address) === 4);
}
