import { splitAddress } from "../../../protocol/address/mailbox.ts";
import type { DnsFinding, MxRecord, DnsAnswer } from "../../../protocol/dns/resolver.ts";
import { foldDomain } from "../../../service/table/pattern.ts";
import { addressBytes } from "../../../service/table/network.ts";
import type { RestrictionWorld } from "./restriction.ts";

/** What the DNS says of a name. `failed` is never a no: who asks makes the mail wait. */
export type Known = { readonly kind: "yes" | "no" | "null-mx" } | { readonly kind: "failed"; readonly text: string };

type Dns = RestrictionWorld["resolver"];

const YES: Known = { kind: "yes" };
const NO: Known = { kind: "no" };

/** Whether mail can be sent to the domain (RFC 5321 section 5.1, RFC 7505). Literals need no DNS. */
export async function takesMail(dns: Dns, written: string): Promise<Known> {
  if (written.startsWith("[")) return YES;
  const domain = foldDomain(written);
  const mx: DnsAnswer<readonly MxRecord[]> = await dns.mx(domain);
  if (mx.kind === "found") return mx.records.every(({ exchange }) => exchange === "") ? { kind: "null-mx" } : YES;
  if (mx.kind === "failed") return failed(mx.finding);
  return mx.because === "no-such-name" ? NO : hasAddress(dns, domain);
}

/** Whether the name has an address of either kind. */
export async function hasAddress(dns: Dns, name: string): Promise<Known> {
  const [four, six] = await Promise.all([dns.ipv4(name), dns.ipv6(name)]);
  if (four.kind === "found" || six.kind === "found") return YES;
  if (four.kind === "failed") return failed(four.finding);
  return six.kind === "failed" ? failed(six.finding) : NO;
}

/** Names of one address that are looked at. */
const MOST_NAMES = 3;

/** Whether the address has a name, and whether one of its names has the address. */
export async function nameOf(dns: Dns, address: string): Promise<{ readonly has: Known; readonly confirmed: Known }> {
  const names = await dns.ptr(address);
  if (names.kind === "none") return { has: NO, confirmed: NO };
  if (names.kind === "failed") return { has: failed(names.finding), confirmed: failed(names.finding) };
  const own = addressBytes(address);
  let trouble: Known | undefined;
  for (const name of names.records.slice(0, MOST_NAMES)) {
    const found = own?.length === 4 ? await dns.ipv4(name) : await dns.ipv6(name);
    if (found.kind === "failed") trouble ??= failed(found.finding);
    if (found.kind !== "found" || own === undefined) continue;
    const isSame = (record: string): boolean => Buffer.compare(addressBytes(record) ?? Buffer.of(), own) === 0;
    if (found.records.some(isSame)) return { has: YES, confirmed: YES };
  }
  return { has: YES, confirmed: trouble ?? NO };
}

/** The domain of an address; `""` for the null sender and for names without one. */
export function domainIn(address: string): string {
  return splitAddress(address).domain;
}

function failed({ name, type, text }: DnsFinding): Known {
  return { kind: "failed", text: `${name} ${type}: ${text}` };
}
