import { numberOfMessageId, type MessageId } from "../../foundation/ids.ts";
import { loopThrough, ownTraces, type OwnTrace } from "../../protocol/message/own-received.ts";
import type { ForwardedClient } from "../../protocol/smtp/xforward.ts";
import { isLoopback, plainAddress } from "../../service/table/networks.ts";
import { isContentFilterAction } from "../envelope/content-filter.ts";
import type { SessionFactsForRules } from "../envelope/policy.ts";
import { filteredCopy, leftAsCopy } from "./events.ts";
import { tell, type Action, type Content, type Facts, type Session, type Transaction, type World } from "./state.ts";

/**
 * Mail that comes here more than once, because it goes through a content filter: what our Received field says of the way to
 * the filter, how a mail is known that comes back from there, and what XFORWARD says of its first client.
 */

/** The content filters that all of the mail goes to; none where some of it goes elsewhere at once. */
export function filtersAhead({ recipients }: Pick<Transaction, "recipients">): readonly string[] {
  const names = new Set<string>();
  for (const { targets } of recipients)
    for (const { action } of targets) {
      if (!isContentFilterAction(action)) return [];
      names.add(action);
    }
  return [...names];
}

/** Whether the Received fields of the mail are to be looked at: it goes to a filter, or may come from one. */
export function wantsTrace(world: World, { facts }: Session, filters: readonly string[]): boolean {
  return filters.length > 0 || mayBeFilter(world, facts);
}

/** Programs of this host, and who may tell us for whom it speaks. */
function mayBeFilter({ terms }: World, { peer }: Facts): boolean {
  return terms.mayXforward(peer) || peer.address === undefined || isLoopback(peer.address);
}

/** The id that the mail had when it left for the filter that it would go to once more. */
export function loopOf(world: World, transaction: Transaction, content: Content): string | undefined {
  const names: string[] = [];
  for (const { targets } of transaction.recipients)
    for (const { action } of targets) if (isContentFilterAction(action)) names.push(action);
  return names.length === 0 ? undefined : loopThrough(tracesOf(world, content), names);
}

/** Joins the stories of a mail and of its copy that comes from a filter. */
export function copyTold(
  world: World,
  { facts }: Session,
  { forwarded }: Transaction,
  message: MessageId,
  content: Content,
): readonly Action[] {
  if (!mayBeFilter(world, facts)) return [];
  const [newest] = tracesOf(world, content);
  if (newest === undefined || numberOfMessageId(newest.id) === undefined) return [];
  // XFORWARD says it of mail of which only a part went to the filter.
  if (newest.filters.length === 0 && forwarded?.get("IDENT") !== newest.id) return [];
  const { session } = world.terms;
  return [
    tell(filteredCopy, { session, message, original: newest.id }),
    tell(leftAsCopy, { message: newest.id, copy: message }),
  ];
}

function tracesOf({ terms }: World, { received }: Content): readonly OwnTrace[] {
  if (received === undefined || received.length === 0) return [];
  return ownTraces(received, new Set([terms.hostname, ...(terms.ownNames ?? [])].map((name) => name.toLowerCase())));
}

/** Who gave the mail to whoever gives it to us, as far as that is said. */
export function forwardedClient(forwarded: Transaction["forwarded"]): ForwardedClient | undefined {
  if (forwarded === undefined) return undefined;
  const port = Number(said(forwarded, "PORT"));
  const address = said(forwarded, "ADDR")?.replace(/^IPV6:/i, "");
  return {
    name: said(forwarded, "NAME"),
    address: address && plainAddress(address),
    ...(Number.isInteger(port) && port > 0 && port < 65_536 ? { port } : {}),
    protocol: said(forwarded, "PROTO"),
    helo: said(forwarded, "HELO"),
    account: said(forwarded, "LOGIN"),
  };
}

/** The client that rules and restrictions are to judge, where the listener wants that: the first one, as far as it is said. */
export function judgedClient(
  { terms }: World,
  { peer, helo }: Facts,
  forwarded: Transaction["forwarded"],
): Pick<SessionFactsForRules, "clientAddress" | "clientName" | "helo"> {
  const first = terms.judgesForwarded === true ? forwardedClient(forwarded) : undefined;
  // Without an address it was a program of the host that speaks: then that one is judged.
  if (first?.address === undefined) return { clientAddress: peer.address, clientName: peer.name, helo };
  return { clientAddress: first.address, clientName: first.name, helo: first.helo };
}

function said(forwarded: ReadonlyMap<string, string>, name: string): string | undefined {
  const value = forwarded.get(name);
  return value === undefined || value === "" || value === "[UNAVAILABLE]" || value === "[TEMPUNAVAIL]"
    ? undefined
    : value;
}
