import type { FilterMail } from "../filter.ts";
import { headerText } from "../scanner/http-server.ts";
import type { RspamdSettings } from "./settings.ts";

/** The headers of `/checkv2` that tell rspamd what the session knows of a mail. What is not known is left out. */
export function questionHeaders(
  { facts }: Pick<FilterMail, "facts">,
  settings: Pick<RspamdSettings, "settingsId" | "headers">,
  password: string | undefined,
): Record<string, string | string[]> {
  const { mail, client, tls } = facts;
  const given: Readonly<Record<string, string | undefined>> = {
    // A reverse path that is empty is still one.
    From: mail.sender === "" ? "<>" : mail.sender,
    IP: client.address,
    Helo: facts.helo,
    Hostname: client.name,
    User: facts.account,
    "Queue-ID": mail.message,
    "MTA-Name": facts.hostname,
    "TLS-Cipher": tls?.cipher,
    "TLS-Version": tls?.version,
    "TLS-Cert-Issuer": tls?.certificate?.isVerified === true ? tls.certificate.issuer : undefined,
    "Settings-ID": settings.settingsId,
    Password: password,
    // Bodies come behind the answer, without their headers: those are in its `milter` part.
    Flags: "milter,body_block",
    ...settings.headers,
  };
  const headers: Record<string, string | string[]> = {
    "content-type": "application/octet-stream",
    "accept-encoding": "identity",
    "user-agent": "posthorn",
  };
  for (const [name, value] of Object.entries(given))
    if (value !== undefined && value !== "") headers[name] = headerText(value);
  if (mail.recipients.length > 0) headers["Rcpt"] = mail.recipients.map(({ address }) => headerText(address));
  return headers;
}
