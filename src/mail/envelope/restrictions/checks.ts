import { isLoopback } from "../../../service/table/networks.ts";
import { addressBytes } from "../../../service/table/network.ts";
import { foldDomain, foldKey, NULL_SENDER, patternMatches } from "../../../service/table/pattern.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import { member, type Holds } from "../local-names.ts";
import { domainIn, hasAddress, nameOf, takesMail, type Known } from "./domains.ts";
import { heloName } from "./helo-name.ts";
import { PASS, type Finding, type RestrictionAsk, type RestrictionWorld } from "./restriction.ts";
import type { Check } from "./settings.ts";

/**
 * What is asked of the client's name, the name in EHLO, the sender and the recipient. Replies are Postfix's, which people's
 * tools read. What could not be found out makes the mail wait, whatever it was about.
 */

export type ClientNameCheck = Check<"missing" | "unconfirmed">;
export type HeloCheck = Check<"invalid" | "unqualified" | "ours" | "unknown">;
export type SenderCheck = Check<"unknown-domain" | "unlisted">;
export type RecipientCheck = Check<"unknown-domain">;

export async function clientNameFinding(
  world: RestrictionWorld,
  check: ClientNameCheck,
  { facts }: RestrictionAsk,
): Promise<Finding> {
  const { clientAddress: address, clientName: name } = facts;
  // Somebody on this host has no name to look up.
  if (address === undefined) return PASS;
  if (check.kind !== "word") {
    if (name === undefined) return PASS;
    return listed(
      world,
      check,
      name,
      reply(554, "5.7.1", `<${name}[${address}]>: Client host rejected: Access denied`),
    );
  }
  if (name !== undefined) return PASS;
  const { has, confirmed } = await nameOf(world.resolver, address);
  const what = check.word === "missing" ? "reverse hostname" : "hostname";
  const no = reply(450, "4.7.25", `Client host rejected: cannot find your ${what}, [${address}]`);
  return known(
    check.word === "missing" ? has : confirmed,
    no,
    "Client host rejected: your name cannot be looked up now",
  );
}

export async function heloFinding(
  world: RestrictionWorld,
  check: HeloCheck,
  { facts }: RestrictionAsk,
): Promise<Finding> {
  const { helo } = facts;
  if (helo === undefined) return PASS;
  const refused = (code: number, status: string, text: string): Reply =>
    reply(code, status, `<${helo}>: Helo command rejected: ${text}`);
  if (check.kind !== "word") return listed(world, check, helo, refused(550, "5.7.1", "Access denied"));
  const name = heloName(helo);
  switch (check.word) {
    case "invalid":
      return name.kind === "invalid" ? refuse(refused(501, "5.5.2", "Invalid name"), helo) : PASS;
    case "unqualified":
      return name.kind === "name" && !name.isQualified
        ? refuse(refused(504, "5.5.2", "need fully-qualified hostname"), helo)
        : PASS;
    case "ours":
      return isOurselves(world, facts.clientAddress)
        ? PASS
        : holds(await isOurName(world, helo), refused(550, "5.7.1", "this is a name of this host, not yours"), helo);
    case "unknown": {
      if (name.kind !== "name") return PASS;
      const addresses = await hasAddress(world.resolver, name.name);
      const found = addresses.kind === "no" ? await takesMail(world.resolver, name.name) : addresses;
      // Names that must exist but take no mail do exist.
      return known(found.kind === "null-mx" ? { kind: "yes" } : found, refused(450, "4.7.1", "Host not found"), "");
    }
  }
}

async function isOurName({ ownNames, ownAddresses, local }: RestrictionWorld, helo: string): Promise<Holds> {
  const name = heloName(helo);
  if (name.kind === "literal") return ownAddresses.some((own) => isSame(own, name.bytes));
  const bytes = addressBytes(helo);
  if (bytes !== undefined) return ownAddresses.some((own) => isSame(own, bytes));
  const folded = foldDomain(helo);
  return ownNames.some((own) => foldDomain(own) === folded) || local.isLocalDomain(folded);
}

function isOurselves({ ownAddresses }: RestrictionWorld, address: string | undefined): boolean {
  if (address === undefined || isLoopback(address)) return true;
  const bytes = addressBytes(address);
  return bytes !== undefined && ownAddresses.some((own) => isSame(own, bytes));
}

function isSame(address: string, bytes: Uint8Array): boolean {
  const own = addressBytes(address);
  return own !== undefined && Buffer.compare(own, bytes) === 0;
}

export async function senderFinding(
  world: RestrictionWorld,
  check: SenderCheck,
  { facts }: RestrictionAsk,
): Promise<Finding> {
  const { sender } = facts;
  const refused = (code: number, status: string, text: string): Reply =>
    reply(code, status, `<${sender}>: Sender address rejected: ${text}`);
  if (check.kind !== "word")
    return listed(world, check, sender === "" ? NULL_SENDER : sender, refused(554, "5.7.1", "Access denied"));
  const domain = domainIn(sender);
  if (domain === "") return PASS;
  const isLocal = await world.local.isLocalDomain(domain);
  if (typeof isLocal !== "boolean") return undecided(isLocal.failed);
  if (check.word === "unknown-domain") {
    if (isLocal) return PASS;
    return domainFinding(world, domain, {
      none: refused(450, "4.1.8", "Domain not found"),
      nullMx: refused(550, "5.7.27", `Domain ${domain} does not accept mail (nullMX)`),
    });
  }
  if (!isLocal) return PASS;
  const isListed = await world.isListed(sender);
  if (typeof isListed !== "boolean") return undecided(isListed.failed);
  return isListed ? PASS : refuse(refused(550, "5.1.0", "User unknown"), sender);
}

export async function recipientFinding(
  world: RestrictionWorld,
  check: RecipientCheck,
  { recipient }: RestrictionAsk,
): Promise<Finding> {
  const refused = (code: number, status: string, text: string): Reply =>
    reply(code, status, `<${recipient}>: Recipient address rejected: ${text}`);
  if (check.kind !== "word") return listed(world, check, recipient, refused(554, "5.7.1", "Access denied"));
  const domain = domainIn(recipient);
  if (domain === "") return PASS;
  const isLocal = await world.local.isLocalDomain(domain);
  if (typeof isLocal !== "boolean") return undecided(isLocal.failed);
  if (isLocal) return PASS;
  return domainFinding(world, domain, {
    none: refused(450, "4.1.2", "Domain not found"),
    nullMx: refused(556, "5.1.10", `Domain ${domain} does not accept mail (nullMX)`),
  });
}

async function domainFinding(
  world: RestrictionWorld,
  domain: string,
  replies: { readonly none: Reply; readonly nullMx: Reply },
): Promise<Finding> {
  const found = await takesMail(world.resolver, domain);
  if (found.kind === "null-mx") return refuse(replies.nullMx, `${domain} has a null MX`);
  return known(found, replies.none, "");
}

/** What a table or a pattern says. A key of an address is looked up as the rules do it. */
async function listed(
  world: RestrictionWorld,
  check: Exclude<Check<string>, { kind: "word" }>,
  subject: string,
  no: Reply,
): Promise<Finding> {
  const key = subject === NULL_SENDER ? subject : foldKey(subject);
  if (check.kind === "pattern") return patternMatches(check.pattern, key) ? refuse(no, subject) : PASS;
  return holds(await member(world.tables.get(check.name), check.name, key), no, subject);
}

function holds(is: Holds, no: Reply, detail: string): Finding {
  if (typeof is !== "boolean") return undecided(is.failed);
  return is ? refuse(no, detail) : PASS;
}

function known(found: Known, no: Reply, trouble: string): Finding {
  if (found.kind === "failed")
    return {
      kind: "wait",
      reply: reply(450, "4.4.3", trouble === "" ? "a name cannot be looked up now; please try again later" : trouble),
      detail: found.text,
    };
  return found.kind === "no" ? refuse(no, "") : PASS;
}

/** A table or a question to others failed. */
export function undecided(text: string): Finding {
  return {
    kind: "wait",
    reply: reply(451, "4.3.0", "a lookup failed here; please try again later"),
    detail: text,
  };
}

export function refuse(no: Reply, detail: string): Finding {
  return { kind: "refuse", reply: no, detail };
}
