import { createHash } from "node:crypto";
import { xmlText, type MailServices } from "./services.ts";

/**
 * A configuration profile (`.mobileconfig`) for macOS and iOS with one mail account: Apple's payload
 * `com.apple.mail.managed`, an XML property list. It is not signed, so the device says "unverified"; it holds no password,
 * which the device asks for. The same address gives the same identifiers, so a second one replaces the first.
 * Undefined without a server to read mail from: Apple's accounts are none without.
 */
export function appleProfile(services: MailServices, address: string, loginName: string): string | undefined {
  const [imap] = services.imap;
  const incoming = imap ?? services.pop3[0];
  const [outgoing] = services.submission;
  if (incoming === undefined || outgoing === undefined) return undefined;
  const account: readonly Entry[] = [
    ["EmailAccountDescription", services.name],
    ["EmailAccountType", imap === undefined ? "EmailTypePOP" : "EmailTypeIMAP"],
    ["EmailAddress", address],
    ["IncomingMailServerAuthentication", "EmailAuthPassword"],
    ["IncomingMailServerHostName", incoming.host],
    ["IncomingMailServerPortNumber", incoming.port],
    ["IncomingMailServerUseSSL", true],
    ["IncomingMailServerUsername", loginName],
    ["OutgoingMailServerAuthentication", "EmailAuthPassword"],
    ["OutgoingMailServerHostName", outgoing.host],
    ["OutgoingMailServerPortNumber", outgoing.port],
    ["OutgoingMailServerUseSSL", true],
    ["OutgoingMailServerUsername", loginName],
    ["OutgoingPasswordSameAsIncomingPassword", true],
    ["PayloadDisplayName", `${services.name} (${address})`],
    ["PayloadIdentifier", `${reversed(services.domain)}.posthorn.mail.${uuid(`account ${address}`)}`],
    ["PayloadType", "com.apple.mail.managed"],
    ["PayloadUUID", uuid(`account ${address}`)],
    ["PayloadVersion", 1],
  ];
  const profile: readonly Entry[] = [
    ["PayloadDisplayName", `${services.name} (${address})`],
    ["PayloadDescription", `The mail account ${address}`],
    ["PayloadIdentifier", `${reversed(services.domain)}.posthorn.profile.${uuid(`profile ${address}`)}`],
    ["PayloadRemovalDisallowed", false],
    ["PayloadType", "Configuration"],
    ["PayloadUUID", uuid(`profile ${address}`)],
    ["PayloadVersion", 1],
  ];
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<plist version="1.0">',
    "<dict>",
    "  <key>PayloadContent</key>",
    "  <array>",
    "    <dict>",
    ...account.map((entry) => `      ${entryText(entry)}`),
    "    </dict>",
    "  </array>",
    ...profile.map((entry) => `  ${entryText(entry)}`),
    "</dict>",
    "</plist>",
  ];
  return `${lines.join("\n")}\n`;
}

type Entry = readonly [key: string, value: string | number | boolean];

function entryText([key, value]: Entry): string {
  const text =
    typeof value === "boolean"
      ? `<${String(value)}/>`
      : typeof value === "number"
        ? `<integer>${value}</integer>`
        : `<string>${xmlText(value)}</string>`;
  return `<key>${xmlText(key)}</key>${text}`;
}

function reversed(domain: string): string {
  return domain.split(".").toReversed().join(".");
}

/** RFC 9562 section 5.5 (version 5), below a name space of ours. */
function uuid(name: string): string {
  const space = Buffer.from("7d1e6e5a0c0b4f6f9c3b2f1b8a54c7e1", "hex");
  const hash = createHash("sha1").update(space).update(name).digest().subarray(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString("hex").toUpperCase();
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
