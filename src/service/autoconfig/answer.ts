import { appleProfile } from "./apple.ts";
import { addressOfRequest, outlookConfig, outlookError } from "./outlook.ts";
import type { MailServices } from "./services.ts";
import { thunderbirdConfig } from "./thunderbird.ts";

/**
 * What a question over HTTP is answered with: where mail programs look for their settings, and a domain's MTA-STS policy
 * (RFC 8461 section 3.3). Everything else is 404. Nothing is said about whether an address exists.
 */
export interface WebQuestion {
  readonly method: string;
  /** Path and query, as the request has them, or a whole URL. */
  readonly target: string;
  /** The Host field, without a port, lower case; `""` when there is none. */
  readonly host: string;
  readonly body: string;
}

export interface WebAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** More header fields. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

export interface WebSources {
  /** What is known of a mail domain (A-labels, lower case); "failed" when a table could not be asked. */
  services(domain: string): Promise<MailServices | "none" | "failed">;
  /** The text of a domain's MTA-STS policy. */
  policy(domain: string): Promise<{ readonly text: string } | "none" | "failed">;
}

const THUNDERBIRD = new Set(["/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"]);
const OUTLOOK = "/autodiscover/autodiscover.xml";
const OUTLOOK_JSON = "/autodiscover/autodiscover.json";
const APPLE = new Set(["/email.mobileconfig", "/.well-known/email.mobileconfig"]);
const POLICY = "/.well-known/mta-sts.txt";

export async function answerWeb(question: WebQuestion, sources: WebSources): Promise<WebAnswer> {
  const url = URL.parse(question.target, "http://host");
  if (url === null) return plain(400, "not a path");
  // RFC 9112 section 3.2.2: a whole URL says which host is meant, and the field does not.
  const host = /^https?:\/\//i.test(question.target) ? url.hostname : question.host;
  const path = url.pathname.toLowerCase().replace(/(?<!\/)\/+$/, "");
  const isRead = question.method === "GET" || question.method === "HEAD";
  if (path === OUTLOOK) {
    if (question.method !== "POST") return notAllowed("POST");
    return forOutlook(question.body, sources);
  }
  if (path === OUTLOOK_JSON) return isRead ? whereOutlook(url, host) : notAllowed("GET, HEAD");
  if (path === POLICY) return isRead ? policyOf(host, sources) : notAllowed("GET, HEAD");
  if (THUNDERBIRD.has(path)) return isRead ? forThunderbird(url, host, sources) : notAllowed("GET, HEAD");
  if (APPLE.has(path)) return isRead ? forApple(url, sources) : notAllowed("GET, HEAD");
  return plain(404, "nothing here");
}

async function forThunderbird(url: URL, host: string, sources: WebSources): Promise<WebAnswer> {
  const asked = parameter(url, "emailaddress");
  // autoconfig.DOMAIN/mail/…, or DOMAIN/.well-known/…: both name the domain where the address is not given.
  const domain = asked === undefined ? host.replace(/^autoconfig\./, "") : domainOf(asked);
  const services = domain === undefined || domain === "" ? "none" : await sources.services(domain);
  if (typeof services === "string") return unknown(services);
  return { status: 200, type: "text/xml; charset=utf-8", body: thunderbirdConfig(services) };
}

async function forOutlook(body: string, sources: WebSources): Promise<WebAnswer> {
  const xml = (text: string): WebAnswer => ({ status: 200, type: "text/xml; charset=utf-8", body: text });
  const address = addressOfRequest(body);
  const domain = address === undefined ? undefined : domainOf(address);
  if (address === undefined || domain === undefined) return xml(outlookError(600, "Invalid Request"));
  const services = await sources.services(domain);
  if (services === "failed") return unknown(services);
  if (services === "none") return xml(outlookError(500, "The email address can't be found."));
  return xml(outlookConfig(services, loginNameOf(services, address)));
}

/** Newer Outlooks ask first where the XML form is. */
function whereOutlook(url: URL, host: string): WebAnswer {
  const isXml = parameter(url, "protocol")?.toLowerCase() === "autodiscoverv1";
  const json = (status: number, value: object): WebAnswer => ({
    status,
    type: "application/json",
    body: `${JSON.stringify(value)}\n`,
  });
  if (!isXml || host === "")
    return json(400, { ErrorCode: "ProtocolNotSupported", ErrorMessage: "only AutodiscoverV1 is spoken here" });
  return json(200, { Protocol: "AutodiscoverV1", Url: `https://${host}${OUTLOOK}` });
}

async function forApple(url: URL, sources: WebSources): Promise<WebAnswer> {
  const address = parameter(url, "email");
  const domain = address === undefined ? undefined : domainOf(address);
  if (address === undefined || domain === undefined) return plain(400, "expected ?email=user@domain");
  const services = await sources.services(domain);
  if (typeof services === "string") return unknown(services);
  const body = appleProfile(services, address, loginNameOf(services, address));
  if (body === undefined) return plain(404, "there is no server to read mail from in the settings");
  const fields = { "content-disposition": 'attachment; filename="email.mobileconfig"' };
  return { status: 200, type: "application/x-apple-aspen-config; charset=utf-8", body, fields };
}

async function policyOf(host: string, sources: WebSources): Promise<WebAnswer> {
  if (!host.startsWith("mta-sts.")) return plain(404, "nothing here");
  const policy = await sources.policy(host.slice("mta-sts.".length));
  if (typeof policy === "string") return unknown(policy);
  return { status: 200, type: "text/plain; charset=utf-8", body: policy.text };
}

/** What the user of an address logs in with. */
export function loginNameOf(services: MailServices, address: string): string {
  return services.login === "address" ? address : address.slice(0, address.lastIndexOf("@"));
}

/** The domain of an address that may be one: lower case, A-labels. */
export function domainOf(address: string): string | undefined {
  const at = address.lastIndexOf("@");
  if (at < 1 || address.length > 320 || /[\u0000-\u0020\u007f<>"]/.test(address)) return undefined;
  const host = URL.parse(`http://${address.slice(at + 1)}`)?.hostname;
  return host !== undefined && /^[a-z0-9.-]+$/.test(host) ? host.replace(/\.$/, "") : undefined;
}

/** Programs write these names in any case. */
function parameter(url: URL, name: string): string | undefined {
  for (const [key, value] of url.searchParams) if (key.toLowerCase() === name && value !== "") return value;
  return undefined;
}

function unknown(why: "none" | "failed"): WebAnswer {
  return why === "failed"
    ? { ...plain(503, "this cannot be found out now"), fields: { "retry-after": "60" } }
    : plain(404, "nothing is known of this domain here");
}

function notAllowed(allow: string): WebAnswer {
  return { ...plain(405, "not with this method"), fields: { allow } };
}

function plain(status: number, text: string): WebAnswer {
  return { status, type: "text/plain; charset=utf-8", body: `${text}\n` };
}
