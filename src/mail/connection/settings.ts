import { z } from "zod";
import { count, duration, ipAddress, path, port, tableName, tableOrList } from "../../service/config/kinds.ts";
import { listenerTlsSettings } from "../../service/tls/settings.ts";
import { saslMechanisms } from "../../service/account/sasl-mechanisms.ts";
import { contentFilterSetting } from "../envelope/content-filter-settings.ts";
import { senderRightsSettings } from "../envelope/settings.ts";
import { restrictionsSettings } from "../envelope/restrictions/settings.ts";
import { filteredBySettings } from "../filter/settings.ts";
import { sessionOverrides } from "../session/settings.ts";
import { network } from "../../service/table/network-setting.ts";

/** How many, and how fast. Rates are per client (an IPv4 address, or an IPv6 /64) and minute; 0 is any number. */
export const limitSettings = z
  .strictObject({
    connections: count({ min: 1, max: 1_000_000 })
      .prefault(5000)
      .describe("Open connections in all; those beyond get 421."),
    connectionsPerAddress: count({ min: 0, max: 1_000_000 })
      .prefault(50)
      .describe("Open connections of one address; 0 is any number."),
    connectionsPerNetwork: count({ min: 0, max: 1_000_000 })
      .prefault(200)
      .describe("Open connections of one network: an IPv4 /24, an IPv6 /64; 0 is any number."),
    connectionRate: count({ min: 0, max: 1_000_000 })
      .prefault(300)
      .describe("New connections of one client in a minute."),
    commandRate: count({ min: 0, max: 10_000_000 }).prefault(12_000).describe("Commands of one client in a minute."),
    messageRate: count({ min: 0, max: 10_000_000 }).prefault(1200).describe("Messages of one client in a minute."),
    recipientRate: count({ min: 0, max: 10_000_000 })
      .prefault(12_000)
      .describe("Recipients asked for by one client in a minute, refused ones included."),
    handshakeRate: count({ min: 0, max: 1_000_000 })
      .prefault(300)
      .describe("TLS handshakes of one client in a minute; each costs a millisecond or more of our time."),
    handshakesPerSecond: count({ min: 0, max: 100_000 })
      .prefault(30)
      .describe("TLS handshakes of one client in a second, STARTTLS and implicit TLS together."),
    authenticationFailureRate: count({ min: 0, max: 1_000_000 })
      .prefault(20)
      .describe("Wrong passwords of one client in a minute; beyond that AUTH gets 454."),
    etrnRate: count({ min: 0, max: 1_000_000 })
      .prefault(30)
      .describe("How often one client may ask with ETRN in a minute; beyond that it gets 458."),
    exempt: z
      .array(network())
      .prefault(["loopback"])
      .describe("Networks whose clients only the limit of connections in all applies to."),
  })
  .prefault({});
export type LimitSettings = z.output<typeof limitSettings>;

export const listenerSettings = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, { error: "expected letters, digits, dot, dash or underscore" })
      .describe("The listener's name in the log, in rules and in commands."),
    address: ipAddress().optional().describe("The address to listen on; left out, all addresses of this machine."),
    port: port().optional().describe("The TCP port; 0 takes any free one."),
    path: path()
      .refine((text) => text.length <= 100, { error: "expected a path of at most 100 characters, for a socket" })
      .optional()
      .describe("A unix socket instead of address and port."),
    pathMode: z
      .string()
      .regex(/^0?[0-7]{3}$/, { error: "expected a file mode such as 0660" })
      .prefault("0660")
      .describe("The file mode of the unix socket: who may connect."),
    backlog: count({ min: 1, max: 65_535 })
      .prefault(511)
      .describe("Connections that the system keeps waiting until we take them."),
    protocol: z
      .enum(["smtp", "submission", "lmtp", "http"])
      .prefault("smtp")
      .describe(
        "smtp is between servers, submission (RFC 6409) is for users' programs, lmtp is RFC 2033; http gives mail programs their settings (`autoconfig`) and other servers the MTA-STS policy.",
      ),
    hostname: z.string().min(1).max(255).optional().describe("The name we greet with here, instead of the server's."),
    tls: z
      .enum(["off", "offer", "require", "implicit"])
      .prefault("offer")
      .describe(
        "offer and require are STARTTLS; require refuses mail without it; implicit is TLS from the first byte.",
      ),
    ...listenerTlsSettings,
    auth: z
      .enum(["off", "offer", "require"])
      .optional()
      .describe("Left out: require on submission listeners, off on others."),
    authMechanisms: saslMechanisms().optional().describe("How clients may log in here. Left out: as `accounts` says."),
    authWithoutTls: z
      .enum(["never", "loopback"])
      .prefault("never")
      .describe("Whether passwords are taken without TLS from clients on this machine."),
    senderRights: senderRightsSettings
      .optional()
      .describe(
        "Which addresses clients that have logged in may give as theirs; `{}`: only their own. Left out: any, but RFC 6409 asks for better.",
      ),
    clientCertificate: z
      .enum(["none", "ask", "require", "verify"])
      .optional()
      .describe(
        "Certificates of clients: not asked for, asked for, required, or required and verified by `client-authorities`. Left out: ask where `client-authorities` or `client-identities` are set, else none.",
      ),
    clientAuthorities: path()
      .optional()
      .describe("A PEM file of the authorities whose client certificates count as verified. Without it none does."),
    clientIdentities: tableName()
      .optional()
      .describe(
        "Who clients are by their certificates, a table: SHA-256 fingerprints of certificates or keys, and for verified ones e-mail addresses and subjects. With a value the key is that account (AUTH EXTERNAL); without one it may relay without a login.",
      ),
    clientAccount: z
      .enum(["none", "email", "common-name"])
      .prefault("none")
      .describe("What of a verified certificate is an account by itself, for AUTH EXTERNAL."),
    tag: z.string().min(1).max(63).optional().describe("A word that rules can match."),
    proxyFrom: z
      .array(network())
      .prefault([])
      .describe("Proxies: each connection from here begins with a PROXY header (version 1 or 2). Others have none."),
    proxyTimeout: duration({ min: "100ms", max: "1m" }).prefault("5s").describe("How long the PROXY header may take."),
    xclientFrom: z
      .array(network())
      .prefault([])
      .describe("Clients that may say with XCLIENT for whom they speak; use for content filters and proxies only."),
    xforwardFrom: z
      .array(network())
      .prefault([])
      .describe(
        "Clients that may tell with XFORWARD who gave them a mail: content filters and proxies that hand it to us.",
      ),
    judgeForwarded: z
      .boolean()
      .prefault(false)
      .describe(
        "Whether rules and restrictions here judge the client that XFORWARD names, instead of the one that speaks. Not for a login: nobody may relay by it.",
      ),
    bareLineEnds: z
      .enum(["reject", "normalise"])
      .prefault("reject")
      .describe("A CR or LF by itself: refuse it, or make it a whole line end. Neither ends a message by surprise."),
    vrfy: z
      .enum(["refuse", "noncommittal", "answer"])
      .prefault("noncommittal")
      .describe(
        "VRFY: 502, 252 whatever the address, or the truth, which is 252 for addresses that are only passed on.",
      ),
    expn: z.enum(["refuse", "answer"]).prefault("refuse").describe("EXPN: 502, or the addresses behind the name."),
    etrn: z
      .strictObject({
        allow: z
          .array(network())
          .prefault([])
          .describe("Clients that may ask with ETRN for the mail of domains. Left out: nobody, and it is not offered."),
        domains: tableOrList()
          .prefault([])
          .describe(
            "For which domains they may ask: names, *.domain, table:name. `ETRN @domain` needs the domain and *.domain.",
          ),
      })
      .prefault({})
      .describe("Clients that were away and fetch what is queued for them (RFC 1985)."),
    addMissingFields: z
      .boolean()
      .optional()
      .describe("Whether missing Message-ID, Date and From are added. Left out: on submission listeners only."),
    highestPriority: z
      .number()
      .int()
      .min(-9)
      .max(9)
      .prefault(9)
      .describe(
        "The highest MT-PRIORITY (RFC 6710) of clients that have logged in or have a certificate to relay; others get at most 0.",
      ),
    tenant: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, { error: "expected letters, digits, dot, dash or underscore" })
      .optional()
      .describe("For whom this listener takes mail; kept with each message, and what `posthorn suspend tenant` means."),
    reverseDns: z
      .boolean()
      .prefault(true)
      .describe("Whether the client's name is looked up, and confirmed by looking up that name's addresses."),
    reverseDnsTimeout: duration({ min: "50ms", max: "30s" })
      .prefault("3s")
      .describe("The longest the greeting waits for the client's name."),
    limits: limitSettings.describe("Connections and rates."),
    restrictions: restrictionsSettings
      .optional()
      .describe("What is asked here before the rules, instead of the common `restrictions`; `[]`: nothing."),
    filteredBy: filteredBySettings()
      .optional()
      .describe("The filters that are asked here, in this order, instead of the common `filteredBy`; `[]`: none."),
    contentFilter: contentFilterSetting()
      .optional()
      .describe(
        "Where mail that comes in here goes before it goes anywhere else, instead of the common `content-filter`; `none`: nowhere, as where a filter hands it back.",
      ),
    session: sessionOverrides.optional().describe("Session settings that differ on this listener."),
  })
  .refine((listener) => (listener.port === undefined) !== (listener.path === undefined), {
    error: "expected either a port or a path",
  })
  .refine(({ protocol, tls }) => protocol !== "http" || tls === "off" || tls === "implicit", {
    error: "expected off or implicit where the protocol is http",
    path: ["tls"],
  });
export type ListenerSettings = z.output<typeof listenerSettings>;
