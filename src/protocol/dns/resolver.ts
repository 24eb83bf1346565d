/**
 * What the rest of Posthorn asks of the DNS. The network resolver is `service/dns`; tests use a zone in memory.
 * "There is none" and "could not find out" are different answers: the second is always temporary.
 */
export type DnsAnswer<Records> =
  | { readonly kind: "found"; readonly records: Records; readonly ttlMs: number; readonly secure: boolean }
  /** The name does not exist (NXDOMAIN), or exists without such records (NODATA). */
  | {
      readonly kind: "none";
      readonly because: "no-such-name" | "no-such-record";
      readonly ttlMs: number;
      readonly secure: boolean;
    }
  | { readonly kind: "failed"; readonly finding: DnsFinding };

/** Why an answer could not be had, with its evidence. */
export interface DnsFinding {
  readonly reason: "timeout" | "servfail" | "refused" | "bogus" | "malformed" | "unreachable" | "cname-loop";
  readonly name: string;
  readonly type: string;
  /** The resolver asked, `address:port`. */
  readonly server: string;
  readonly text: string;
}

/** For the operator: with the server that was asked. */
export function dnsFindingText({ reason, server, text }: DnsFinding): string {
  if (server === "" || text.includes(server)) return text;
  const hasAnswered = reason !== "timeout" && reason !== "unreachable";
  return hasAnswered ? `${text} from ${server}` : `${text} (${server} was asked)`;
}

export interface MxRecord {
  readonly preference: number;
  /** Lower case, no final dot; `""` is the null MX (RFC 7505). */
  readonly exchange: string;
}

export interface Resolver {
  mx(domain: string, signal?: AbortSignal): Promise<DnsAnswer<readonly MxRecord[]>>;
  /** A and AAAA follow CNAMEs; the addresses are text as `node:net` writes them. */
  ipv4(host: string, signal?: AbortSignal): Promise<DnsAnswer<readonly string[]>>;
  ipv6(host: string, signal?: AbortSignal): Promise<DnsAnswer<readonly string[]>>;
  ptr(address: string, signal?: AbortSignal): Promise<DnsAnswer<readonly string[]>>;
  txt(name: string, signal?: AbortSignal): Promise<DnsAnswer<readonly string[]>>;
}
