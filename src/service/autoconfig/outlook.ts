import { xmlText, type MailServices, type Service } from "./services.ts";

/**
 * The answer of Outlook's Autodiscover service in its plain XML form (MS-OXDSCLI, "POX", section 2.2.4), with IMAP, POP3
 * and SMTP accounts. `loginName` is the user's, for Outlook fills in nothing.
 */
const RESPONSE = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const OUTLOOK_SCHEMA = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

export function outlookConfig(services: MailServices, loginName: string): string {
  const protocol = (type: string, { host, port, tls }: Service): readonly string[] => [
    "      <Protocol>",
    `        <Type>${type}</Type>`,
    `        <Server>${xmlText(host)}</Server>`,
    `        <Port>${port}</Port>`,
    `        <LoginName>${xmlText(loginName)}</LoginName>`,
    "        <DomainRequired>off</DomainRequired>",
    "        <SPA>off</SPA>",
    // Without <Encryption> "on" means TLS from the first byte; with it the kind is said.
    "        <SSL>on</SSL>",
    `        <Encryption>${tls === "implicit" ? "SSL" : "TLS"}</Encryption>`,
    "        <AuthRequired>on</AuthRequired>",
    ...(type === "SMTP" ? ["        <UsePOPAuth>on</UsePOPAuth>", "        <SMTPLast>off</SMTPLast>"] : []),
    "      </Protocol>",
  ];
  const lines = [
    '<?xml version="1.0" encoding="utf-8"?>',
    `<Autodiscover xmlns="${RESPONSE}">`,
    `  <Response xmlns="${OUTLOOK_SCHEMA}">`,
    "    <User>",
    `      <DisplayName>${xmlText(services.name)}</DisplayName>`,
    "    </User>",
    "    <Account>",
    "      <AccountType>email</AccountType>",
    "      <Action>settings</Action>",
    ...services.imap.flatMap((one) => protocol("IMAP", one)),
    ...services.pop3.flatMap((one) => protocol("POP3", one)),
    ...services.submission.flatMap((one) => protocol("SMTP", one)),
    "    </Account>",
    "  </Response>",
    "</Autodiscover>",
  ];
  return `${lines.join("\n")}\n`;
}

/** MS-OXDSCLI section 2.2.4.1.1.2.2: 600 is an invalid request, 500 an address that nothing is known of. */
export function outlookError(code: 500 | 600, message: string): string {
  return [
    '<?xml version="1.0" encoding="utf-8"?>',
    `<Autodiscover xmlns="${RESPONSE}">`,
    "  <Response>",
    '    <Error Time="00:00:00.0000000" Id="0">',
    `      <ErrorCode>${code}</ErrorCode>`,
    `      <Message>${xmlText(message)}</Message>`,
    "      <DebugData/>",
    "    </Error>",
    "  </Response>",
    "</Autodiscover>",
    "",
  ].join("\n");
}

/**
 * The address in a request's body. Requests are a handful of tags, so the one that matters is looked for instead of
 * parsing XML from strangers: entities other than the five of XML, and anything longer than an address, give undefined.
 */
export function addressOfRequest(body: string): string | undefined {
  const found = /<(?:[A-Za-z]{1,20}:)?EMailAddress>\s{0,50}([^<]{3,500}?)\s{0,50}<\//.exec(body.slice(0, 16_384))?.[1];
  if (found === undefined) return undefined;
  const text = found.replaceAll(/&(amp|lt|gt|quot|apos);/g, (_whole, name: string) => ENTITIES[name] ?? "");
  return /&[#A-Za-z]/.test(found.replaceAll(/&(?:amp|lt|gt|quot|apos);/g, "")) ? undefined : text;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
