import { addressBytes } from "../../../service/table/network.ts";

/** `192.0.2.0/24`, `2001:db8::/64`: the network that an address counts towards. Text that is no address is its own. */
export function networkKey(address: string, ipv4Prefix: number, ipv6Prefix: number): string {
  const bytes = addressBytes(address);
  if (bytes === undefined) return address;
  const bits = bytes.length === 4 ? ipv4Prefix : ipv6Prefix;
  const kept = bytes.map((byte, at) => {
    const within = bits - at * 8;
    return within >= 8 ? byte : within <= 0 ? 0 : byte & (0xff << (8 - within));
  });
  const all = bytes.length * 8;
  return `${addressText(kept)}${bits >= all ? "" : `/${bits}`}`;
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((bytes[at * 2] ?? 0) * 256 + (bytes[at * 2 + 1] ?? 0)).toString(16),
  );
  // The empty groups at the end, which networks have.
  const last = groups.findLastIndex((group) => group !== "0");
  return last >= 6 ? groups.join(":") : `${groups.slice(0, last + 1).join(":")}::`;
}
