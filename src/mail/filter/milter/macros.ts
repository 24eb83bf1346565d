import { isIPv6 } from "node:net";
import type { MacroStage, MilterAgreement } from "../../../protocol/milter/negotiation.ts";
import { decodeXtext } from "../../../protocol/smtp/xtext.ts";
import type { FilterFacts } from "../filter.ts";
import type { MilterSettings } from "./settings.ts";

/**
 * What milters want to know besides the commands: macros, named as Sendmail names them, with the values that Postfix gives
 * them. One letter stands as it is, longer names stand in braces.
 */

/** Sent where neither the settings nor the milter choose. What has no value is left out. */
const USUAL: Readonly<Record<MacroStage, readonly string[]>> = {
  connect: [
    "j",
    "_",
    "v",
    "{daemon_name}",
    "{daemon_addr}",
    "{daemon_port}",
    "{if_name}",
    "{if_addr}",
    "{client_name}",
    "{client_addr}",
    "{client_port}",
    "{client_ptr}",
    "{client_resolve}",
  ],
  helo: ["{tls_version}", "{cipher}", "{cipher_bits}", "{cert_subject}", "{cert_issuer}", "{verify}"],
  mail: ["i", "{auth_type}", "{auth_authen}", "{auth_author}", "{mail_addr}", "{mail_host}", "{mail_mailer}"],
  rcpt: ["i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"],
  data: ["i"],
  endOfHeader: ["i"],
  endOfMessage: ["i", "{msg_id}"],
};

/** What is known at a stage besides the facts of the session. */
export interface MacroMoment {
  readonly facts: FilterFacts;
  /** `refused`: why others refused it. */
  readonly recipient?: { readonly address: string; readonly refused?: string | undefined } | undefined;
  /** The mail's Message-ID, as it stands there. */
  readonly messageId?: string | undefined;
}

export interface MacroSource {
  /** Of this stage: name and value, in the order of the names. */
  at(
    stage: MacroStage,
    moment: MacroMoment,
    agreement: MilterAgreement,
  ): readonly (readonly [name: string, value: string])[];
}

/** `version` is ours, for the macro `v`. */
export function macroSource(settings: Pick<MilterSettings, "macros" | "macrosAt">, version: string): MacroSource {
  const own = new Map(Object.entries(settings.macros).map(([name, value]) => [braced(name), value]));
  const lists = new Map<MacroStage, readonly string[]>();
  for (const [stage, usual] of Object.entries(USUAL) as [MacroStage, readonly string[]][])
    lists.set(stage, (settings.macrosAt[stage] ?? usual).map(braced));
  const named = new Set([...lists.values()].flat());
  const extra = [...own.keys()].filter((name) => !named.has(name));
  lists.set("connect", [...(lists.get("connect") ?? []), ...extra]);

  return {
    at(stage, moment, agreement) {
      const names = agreement.macros.get(stage)?.map(braced) ?? lists.get(stage) ?? [];
      const found: (readonly [string, string])[] = [];
      for (const name of names) {
        const value = own.get(name) ?? valueOf(name, moment, version);
        if (value !== undefined) found.push([name, value]);
      }
      return found;
    },
  };
}

function braced(name: string): string {
  const bare = name.replace(/^\{(.*)\}$/, "$1");
  return bare.length === 1 ? bare : `{${bare}}`;
}

function valueOf(name: string, moment: MacroMoment, version: string): string | undefined {
  const { facts, recipient } = moment;
  const { client, server, tls, mail } = facts;
  switch (name) {
    case "j":
      return facts.hostname;
    case "v":
      return `Posthorn ${version}`;
    case "i":
      return mail?.message;
    case "_":
      return client.address === undefined
        ? `localhost [${LOCAL_ADDRESS}]`
        : `${client.name ?? "unknown"} [${client.address}]`;
    case "{daemon_name}":
      return facts.listener;
    case "{daemon_addr}":
    case "{if_addr}":
      return server?.address;
    case "{daemon_port}":
      return server?.port.toString();
    case "{if_name}":
      return server === undefined ? undefined : facts.hostname;
    // Only verified names reach us; Postfix writes "unknown" for the others too.
    case "{client_name}":
    case "{client_ptr}":
      return client.name ?? (client.address === undefined ? "localhost" : "unknown");
    case "{client_addr}":
      return client.address ?? LOCAL_ADDRESS;
    case "{client_port}":
      return client.port?.toString();
    case "{client_resolve}":
      return client.name === undefined && client.address !== undefined ? "FAIL" : "OK";
    case "{tls_version}":
      return tls?.version;
    case "{cipher}":
      return tls?.cipher;
    case "{cipher_bits}":
      return tls?.bits?.toString();
    case "{cert_subject}":
      return tls?.certificate?.subject;
    case "{cert_issuer}":
      return tls?.certificate?.issuer;
    case "{verify}":
      if (tls === undefined) return undefined;
      return tls.certificate === undefined ? "NO" : tls.certificate.isVerified ? "OK" : "FAIL";
    case "{auth_type}":
      return facts.account === undefined ? undefined : facts.mechanism;
    case "{auth_authen}":
      return facts.account;
    case "{auth_author}":
      return mail === undefined ? undefined : authorOf(mail.parameters);
    case "{mail_addr}":
      return mail?.sender;
    case "{mail_host}":
      return mail === undefined ? undefined : domainOf(mail.sender);
    // Which action a recipient gets is decided later, and may differ from one to the next.
    case "{mail_mailer}":
      return mail === undefined ? undefined : "smtp";
    case "{rcpt_addr}":
      return recipient?.refused ?? recipient?.address;
    case "{rcpt_host}":
      if (recipient === undefined) return undefined;
      return recipient.refused === undefined
        ? domainOf(recipient.address)
        : (/^\S+ ([245]\.\d+\.\d+)/.exec(recipient.refused)?.[1] ?? "5.0.0");
    case "{rcpt_mailer}":
      if (recipient === undefined) return undefined;
      return recipient.refused === undefined ? "smtp" : "error";
    case "{msg_id}":
      return moment.messageId;
    default:
      return undefined;
  }
}

/** The identity that the client submits for (RFC 4954 section 5); none for `<>`. */
function authorOf(parameters: readonly string[]): string | undefined {
  const given = parameters.find((parameter) => /^AUTH=/i.test(parameter))?.slice(5);
  if (given === undefined || given === "<>") return undefined;
  const decoded = decodeXtext(given);
  return decoded.ok ? decoded.value : undefined;
}

function domainOf(address: string): string | undefined {
  const at = address.lastIndexOf("@");
  return at < 0 ? undefined : address.slice(at + 1);
}

/**
 * Where who comes over a socket of this host is from, as Postfix has it: milters know the hosts whose mail is our own by their
 * addresses (opendkim's InternalHosts, opendmarc's IgnoreHosts), and take the protocol's "unix" for a stranger.
 */
const LOCAL_ADDRESS = "127.0.0.1";

/** The client for the CONNECT command. A zone (`%eth0`) is of this machine, and libmilter takes none. */
export function clientOf(facts: FilterFacts): {
  readonly hostname: string;
  readonly family: "ip4" | "ip6";
  readonly address: string;
  readonly port: number;
} {
  const { address, port = 0, name } = facts.client;
  if (address === undefined) return { hostname: "localhost", family: "ip4", address: LOCAL_ADDRESS, port: 0 };
  return {
    hostname: name ?? "unknown",
    family: isIPv6(address) ? "ip6" : "ip4",
    address: address.replace(/%.*$/, ""),
    port,
  };
}
