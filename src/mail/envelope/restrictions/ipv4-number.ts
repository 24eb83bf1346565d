import { parseIpv4 } from "../../../protocol/address/ip-address.ts";

/** 0 for what is no IPv4 address. */
export function ipv4Number(text: string): number {
  return [...(parseIpv4(text)?.bytes ?? [])].reduce((sum, byte) => sum * 256 + byte, 0);
}
