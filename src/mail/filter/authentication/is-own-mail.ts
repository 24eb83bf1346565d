import { rawValue, type RawField } from "../../../protocol/authentication/raw-fields.ts";
import { ownTraces } from "../../../protocol/message/own-received.ts";
import { isLoopback } from "../../../service/table/networks.ts";
import type { FilterFacts } from "../filter.ts";
import { isOwnClient } from "./is-own-client.ts";

/**
 * Whether a mail is of somebody who sends through us: of a client of our own, unless that is a content filter which hands back
 * what it was given. Then it is as it was when it left for the filter, which our newest Received field says: a stranger's mail
 * must not get our signature because it comes back from this host.
 */
export function isOwnMail(facts: FilterFacts, fields: readonly RawField[]): boolean {
  if (!isOwnClient(facts)) return false;
  if (facts.account !== undefined) return true;
  const [newest] = ownTraces(fields.flatMap((field) => (field.name === "received" ? [rawValue(field)] : [])));
  if (newest === undefined || newest.filters.length === 0) return true;
  const { protocol, clientAddress } = newest;
  return protocol.endsWith("A") || clientAddress === undefined || isLoopback(clientAddress);
}
