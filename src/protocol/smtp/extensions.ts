import type { Reply } from "./reply.ts";

/** What a server offers in its answer to EHLO or LHLO (RFC 5321 section 4.1.1.1). Keywords are in upper case. */
export interface Extensions {
  /** The name that the server gave itself; possibly `""`. */
  readonly name: string;
  readonly keywords: ReadonlyMap<string, readonly string[]>;
}

/** One line of the answer: `SIZE 1000` is `{ keyword: "SIZE", parameters: ["1000"] }`. */
export interface Extension {
  readonly keyword: string;
  readonly parameters?: readonly string[] | undefined;
}

/** RFC 9422: limits that the server announces; absent means not announced. */
export interface AnnouncedLimits {
  readonly mailMax?: number | undefined;
  readonly rcptMax?: number | undefined;
  readonly rcptDomainMax?: number | undefined;
}

export const noExtensions: Extensions = { name: "", keywords: new Map() };

export function parseExtensions(reply: Reply): Extensions {
  const [first = "", ...lines] = reply.lines;
  const keywords = new Map<string, readonly string[]>();
  for (const line of lines) {
    // `AUTH=LOGIN PLAIN` is how clients of the nineties wanted it; some servers still say nothing else.
    const words = line.replace(/^AUTH=/i, "AUTH ").split(/[ \t]+/);
    const keyword = (words.shift() ?? "").toUpperCase();
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(keyword)) continue;
    const parameters = words.filter((word) => word !== "");
    keywords.set(keyword, [...(keywords.get(keyword) ?? []), ...parameters]);
  }
  return { name: /^\S*/.exec(first)?.[0] ?? "", keywords };
}

/** The lines of an answer to EHLO; `reply(250, undefined, ...lines)` makes it whole. */
export function formatExtensions(greeting: string, extensions: readonly Extension[]): readonly string[] {
  return [greeting, ...extensions.map(({ keyword, parameters = [] }) => [keyword, ...parameters].join(" "))];
}

export function offers(extensions: Extensions, keyword: string): boolean {
  return extensions.keywords.has(keyword);
}

/** RFC 1870: the largest message in octets. Undefined when SIZE is not offered, or without a (fixed) limit. */
export function sizeLimit(extensions: Extensions): number | undefined {
  const value = extensions.keywords.get("SIZE")?.[0];
  if (value === undefined || !/^\d{1,20}$/.test(value)) return undefined;
  // RFC 1870 section 3: zero means that there is no fixed maximum. Its twenty digits are more than a number here can tell apart.
  return Number(value) === 0 ? undefined : Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}

/** RFC 4954: mechanism names in upper case, in the server's order. */
export function authMechanisms(extensions: Extensions): readonly string[] {
  return [...new Set((extensions.keywords.get("AUTH") ?? []).map((name) => name.toUpperCase()))];
}

export function announcedLimits(extensions: Extensions): AnnouncedLimits {
  const found = new Map<string, number>();
  for (const parameter of extensions.keywords.get("LIMITS") ?? []) {
    const match = /^([A-Z0-9-]+)=([1-9]\d{0,5})$/i.exec(parameter);
    // RFC 9422 section 3: what a client does not understand it ignores.
    if (match !== null) found.set((match[1] ?? "").toUpperCase(), Number(match[2]));
  }
  return {
    mailMax: found.get("MAILMAX"),
    rcptMax: found.get("RCPTMAX"),
    rcptDomainMax: found.get("RCPTDOMAINMAX"),
  };
}

export function limitsExtension(limits: AnnouncedLimits): Extension | undefined {
  const parameters: string[] = [];
  if (limits.mailMax !== undefined) parameters.push(`MAILMAX=${limits.mailMax}`);
  if (limits.rcptMax !== undefined) parameters.push(`RCPTMAX=${limits.rcptMax}`);
  if (limits.rcptDomainMax !== undefined) parameters.push(`RCPTDOMAINMAX=${limits.rcptDomainMax}`);
  return parameters.length === 0 ? undefined : { keyword: "LIMITS", parameters };
}
