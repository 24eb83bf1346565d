import { isReferral } from "../../protocol/dns/answer.ts";
import type { DnsData } from "../../protocol/dns/message.ts";
import type { Exchanged } from "./dns.ts";

const RCODES: Readonly<Record<number, string>> = {
  0: "NOERROR",
  1: "FORMERR",
  2: "SERVFAIL",
  3: "NXDOMAIN",
  4: "NOTIMP",
  5: "REFUSED",
};
const MOST_SHOWN = 10;

/** A server's answer in a few words, for traces: `NOERROR ad: MX 10 mx1.example, MX 20 mx2.example`. */
export function exchangedText(exchanged: Exchanged): string {
  if (!exchanged.ok) return `${exchanged.reason}: ${exchanged.text}`;
  const { rcode, isAuthenticated, answers, extendedError } = exchanged.message;
  const shown = answers.slice(0, MOST_SHOWN).map(({ data, ttlSeconds }) => `${dataText(data)} (${ttlSeconds} s)`);
  const more = answers.length > MOST_SHOWN ? [`and ${answers.length - MOST_SHOWN} more`] : [];
  const error = extendedError === undefined ? "" : ` (extended error ${extendedError.code} ${extendedError.text})`;
  const head = `${RCODES[rcode] ?? `code ${rcode}`}${isAuthenticated ? " ad" : ""}${error}`;
  if (isReferral(exchanged.message)) return `${head}, a referral`;
  return answers.length === 0 ? `${head}, no records` : `${head}: ${[...shown, ...more].join(", ")}`;
}

function dataText(data: DnsData): string {
  switch (data.type) {
    case "A":
    case "AAAA":
      return `${data.type} ${data.address}`;
    case "CNAME":
    case "PTR":
      return `${data.type} ${data.name}`;
    case "MX":
      return `MX ${data.preference} ${data.exchange}`;
    case "TXT":
      return `TXT ${JSON.stringify(data.text.slice(0, 80))}`;
    case "SOA":
    case "NS":
      return data.type;
    case "TLSA":
      return `TLSA ${data.usage} ${data.selector} ${data.match}`;
    case "SRV":
      return `SRV ${data.priority} ${data.weight} ${data.port} ${data.target}`;
    case "other":
      return `TYPE${data.code}`;
  }
}
