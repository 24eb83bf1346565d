import type { AccessServer, AutoconfigSettings } from "./settings.ts";

/**
 * Autoconfiguration of mail programs: from one description of a domain's servers, the documents that programs ask for:
 * `thunderbird.ts` (the format of autoconfig.thunderbird.net, version 1.1, which K-9, Evolution, KMail and FairEmail read
 * too), `outlook.ts` (MS-OXDSCLI, POX), `apple.ts` (a configuration profile) and SRV records (RFC 6186, RFC 8314).
 * `answer.ts` says which of them a question over HTTP means.
 */
export interface MailServices {
  readonly domain: string;
  readonly name: string;
  readonly login: "address" | "local-part";
  readonly imap: readonly Service[];
  readonly pop3: readonly Service[];
  readonly submission: readonly Service[];
  readonly help?: string | undefined;
}

export interface Service {
  readonly host: string;
  readonly port: number;
  readonly tls: "implicit" | "starttls";
}

/** A listener of ours that takes mail of users from elsewhere. */
export interface SubmissionListener {
  readonly host: string;
  readonly port: number;
  readonly tls: "implicit" | "starttls";
}

const USUAL_PORTS = {
  imap: { implicit: 993, starttls: 143 },
  pop3: { implicit: 995, starttls: 110 },
  submission: { implicit: 465, starttls: 587 },
} as const;

/** What programs of this domain's users are to be told. The best is first: implicit TLS before STARTTLS (RFC 8314). */
export function mailServices(
  settings: AutoconfigSettings,
  listeners: readonly SubmissionListener[],
  domain: string,
): MailServices {
  const servicesOf = (protocol: keyof typeof USUAL_PORTS, servers: readonly AccessServer[]): readonly Service[] =>
    servers
      .map(({ host, port, tls }) => ({ host, port: port ?? USUAL_PORTS[protocol][tls], tls }))
      .toSorted((a, b) => Number(a.tls === "starttls") - Number(b.tls === "starttls"));
  return {
    domain,
    name: settings.name ?? domain,
    login: settings.login,
    imap: servicesOf("imap", settings.imap),
    pop3: servicesOf("pop3", settings.pop3),
    submission: servicesOf("submission", settings.submission ?? listeners),
    help: settings.help,
  };
}

/** Text between tags or in an attribute. What XML 1.0 cannot hold at all (section 2.2) becomes U+FFFD. */
export function xmlText(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
