import { formatIpAddress, type IpAddress } from "../address/ip-address.ts";

/** What macros stand for (RFC 7208 section 7). */
export interface SpfMacroFacts {
  readonly sender: { readonly local: string; readonly domain: string };
  /** The one whose record is read. */
  readonly domain: string;
  readonly address: IpAddress;
  readonly helo: string;
  /** Our name, for explanations. */
  readonly receiver: string;
  readonly nowSeconds: number;
  /** The client's validated name, or `unknown`. */
  readonly clientName: string;
}

const MACRO = /%(?:([%_-])|\{([slodiphcrtv])([0-9]*)(r?)([.\-+,/_=]*)\})/gi;

/** `text` has been found to be a macro string. */
export function expandSpf(text: string, facts: SpfMacroFacts): string {
  return text.replace(MACRO, (_, escape?: string, letter?: string, digits = "", reversed = "", delimiters = "") => {
    if (escape !== undefined) return escape === "%" ? "%" : escape === "_" ? " " : "%20";
    if (letter === undefined) return "";
    const value = transformed(valueOf(letter.toLowerCase(), facts), digits, reversed !== "", delimiters);
    // A capital letter asks for the form that URLs have.
    return letter >= "A" && letter <= "Z" ? encoded(value) : value;
  });
}

/** Whether `%{p}` stands in it, which alone asks the DNS. */
export function needsClientName(text: string): boolean {
  return /%\{p/i.test(text);
}

/** A domain made of macros, cut from the left until it fits the DNS (RFC 7208 section 7.3), without a final dot. */
export function expandSpfDomain(text: string, facts: SpfMacroFacts): string {
  let name = expandSpf(text, facts).replace(/\.$/, "");
  while (name.length > 253) {
    const dot = name.indexOf(".");
    if (dot < 0) return name;
    name = name.slice(dot + 1);
  }
  return name;
}

function valueOf(letter: string, facts: SpfMacroFacts): string {
  switch (letter) {
    case "s":
      return `${facts.sender.local}@${facts.sender.domain}`;
    case "l":
      return facts.sender.local;
    case "o":
      return facts.sender.domain;
    case "d":
      return facts.domain;
    case "i":
      return dotted(facts.address);
    case "p":
      return facts.clientName;
    case "v":
      return facts.address.family === 4 ? "in-addr" : "ip6";
    case "h":
      return facts.helo;
    case "c":
      return formatIpAddress(facts.address);
    case "r":
      return facts.receiver;
    default:
      return String(facts.nowSeconds);
  }
}

/** IPv6 nibble by nibble. */
function dotted(address: IpAddress): string {
  if (address.family === 4) return formatIpAddress(address);
  return Array.from(address.bytes, (byte) => `${(byte >> 4).toString(16)}.${(byte & 15).toString(16)}`)
    .join(".")
    .toUpperCase();
}

function transformed(value: string, digits: string, isReversed: boolean, delimiters: string): string {
  if (digits === "" && !isReversed && delimiters === "") return value;
  let parts = [""];
  for (const character of value) {
    if ((delimiters === "" ? "." : delimiters).includes(character)) parts.push("");
    else parts[parts.length - 1] += character;
  }
  if (isReversed) parts = parts.toReversed();
  const count = digits === "" ? parts.length : Math.min(parts.length, Number(digits));
  return parts.slice(parts.length - count).join(".");
}

function encoded(value: string): string {
  return Array.from(Buffer.from(value, "latin1"), (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}
