import { xmlText, type MailServices, type Service } from "./services.ts";

/**
 * The document at `/mail/config-v1.1.xml`, in the format that Thunderbird documents as "autoconfig" version 1.1. Programs
 * put the user's address in place of `%EMAILADDRESS%` themselves, so it is the same for everybody in a domain.
 */
export function thunderbirdConfig(services: MailServices): string {
  const user = services.login === "address" ? "%EMAILADDRESS%" : "%EMAILLOCALPART%";
  const server = (tag: "incomingServer" | "outgoingServer", type: string, { host, port, tls }: Service): string =>
    [
      `    <${tag} type="${type}">`,
      `      <hostname>${xmlText(host)}</hostname>`,
      `      <port>${port}</port>`,
      `      <socketType>${tls === "implicit" ? "SSL" : "STARTTLS"}</socketType>`,
      "      <authentication>password-cleartext</authentication>",
      `      <username>${user}</username>`,
      `    </${tag}>`,
    ].join("\n");
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<clientConfig version="1.1">',
    `  <emailProvider id="${xmlText(services.domain)}">`,
    `    <domain>${xmlText(services.domain)}</domain>`,
    `    <displayName>${xmlText(services.name)}</displayName>`,
    `    <displayShortName>${xmlText(services.name)}</displayShortName>`,
    ...services.imap.map((one) => server("incomingServer", "imap", one)),
    ...services.pop3.map((one) => server("incomingServer", "pop3", one)),
    ...services.submission.map((one) => server("outgoingServer", "smtp", one)),
    ...(services.help === undefined
      ? []
      : [
          `    <documentation url="${xmlText(services.help)}">`,
          `      <descr lang="en">${xmlText(services.name)}</descr>`,
          "    </documentation>",
        ]),
    "  </emailProvider>",
    "</clientConfig>",
  ];
  return `${lines.join("\n")}\n`;
}
