import { z } from "zod";
import { hostName, port, tableOrList } from "../config/kinds.ts";

const accessServer = z.strictObject({
  host: hostName().describe("The server's name, as programs connect to it and as its certificate says."),
  port: port().optional().describe("The port. Left out: the protocol's usual one for this kind of TLS."),
  tls: z.enum(["implicit", "starttls"]).default("implicit").describe("TLS from the first byte, or by STARTTLS."),
});
export type AccessServer = z.output<typeof accessServer>;

/** What users' mail programs are told, so that an address and a password are all that is typed. */
export const autoconfigSettings = z
  .strictObject({
    name: z.string().min(1).max(100).optional().describe("What programs call the account. Left out: the mail domain."),
    domains: tableOrList()
      .optional()
      .describe("The domains whose users are served. Left out: the local domains; others get 404."),
    login: z
      .enum(["address", "local-part"])
      .default("address")
      .describe("What users log in with: their whole address, or what is before the @."),
    imap: z
      .array(accessServer)
      .max(8)
      .default([])
      .describe("Where users read their mail by IMAP: another server's place."),
    pop3: z.array(accessServer).max(8).default([]).describe("The same by POP3."),
    submission: z
      .array(accessServer)
      .max(8)
      .optional()
      .describe(
        "Where users hand in mail. Left out: this server's submission listeners, those on loopback addresses aside, by its host name.",
      ),
    help: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe("A page of yours that explains the settings to people."),
  })
  .prefault({})
  .describe("What users' mail programs are told by `posthorn autoconfig` and by listeners with `protocol: http`.");
export type AutoconfigSettings = z.output<typeof autoconfigSettings>;
