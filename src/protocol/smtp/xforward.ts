import { isIP } from "node:net";
import { encodeXtext } from "./xtext.ts";

/**
 * XFORWARD, as Postfix defined it: who gave us a mail that we pass on, for the log and the judgement of a filter or relay
 * that trusts us. Each mail has its own; what is not known is said to be so, or the receiver would take what it knows of us.
 */
export interface ForwardedClient {
  /** Its verified name. */
  readonly name?: string | undefined;
  /** Absent: a unix socket. */
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  /** `ESMTPS`, as in our Received field. */
  readonly protocol?: string | undefined;
  readonly helo?: string | undefined;
  readonly account?: string | undefined;
}

/** What we understand, in the order in which we offer it. LOGIN, the account of the first client, is ours. */
export const XFORWARD_ATTRIBUTES: readonly string[] = [
  "NAME",
  "ADDR",
  "PORT",
  "PROTO",
  "HELO",
  "IDENT",
  "SOURCE",
  "LOGIN",
];

/** The commands, each with its CRLF, for a server that offers these attributes; none where it knows none of ours. */
export function formatXforward(client: ForwardedClient, ident: string, offered: readonly string[]): readonly string[] {
  const known = new Set(offered.map((name) => name.toUpperCase()));
  const values: Readonly<Record<string, string | undefined>> = {
    NAME: client.name,
    ADDR: client.address !== undefined && isIP(client.address) === 6 ? `IPV6:${client.address}` : client.address,
    PORT: client.port === undefined ? undefined : String(client.port),
    PROTO: client.protocol,
    HELO: client.helo,
    IDENT: ident,
    SOURCE: client.address === undefined || isOfThisHost(client.address) ? "LOCAL" : "REMOTE",
    LOGIN: client.account,
  };
  const commands: string[] = [];
  let line = "";
  for (const name of XFORWARD_ATTRIBUTES) {
    if (!known.has(name)) continue;
    const word = ` ${name}=${textOf(values[name])}`;
    // RFC 5321 section 4.5.3.1.4, with a little to spare; and no word is longer than that.
    if (line !== "" && line.length + word.length > MOST_BYTES) {
      commands.push(`XFORWARD${line}\r\n`);
      line = "";
    }
    line += word;
  }
  if (line !== "") commands.push(`XFORWARD${line}\r\n`);
  return commands;
}

const MOST_BYTES = 490;
/** As xtext a character may take three octets, and a word has to fit a command. */
const MOST_CHARACTERS = 150;

function textOf(value: string | undefined): string {
  if (value === undefined || value === "") return "[UNAVAILABLE]";
  // A command line is ASCII, and a peer's words have no controls for our log.
  return encodeXtext(value.replace(/[^\x20-\x7e]/g, "?").slice(0, MOST_CHARACTERS));
}

function isOfThisHost(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}
