import type { MessageId } from "../../foundation/ids.ts";
import { markReceived } from "../../protocol/message/own-received.ts";
import { formatReceived, withProtocol } from "../../protocol/message/received-field.ts";
import { traceOf } from "./encryption.ts";
import { priorityOf } from "./mail.ts";
import { filtersAhead, wantsTrace } from "./passes.ts";
import type { Opening, Session, Transaction, World } from "./state.ts";

/** RFC 5321 section 4.4: the trace field that the stored content begins with. */
export function openingOf(world: World, session: Session, transaction: Transaction, message: MessageId): Opening {
  const { terms } = world;
  const { facts } = session;
  const [only, ...others] = transaction.recipients;
  const at = world.now();
  const offsetMinutes = world.offsetMinutes();
  const filters = filtersAhead(transaction);
  const trace = formatReceived({
    helo: facts.helo,
    clientAddress: facts.peer.address,
    clientName: facts.peer.name,
    localUser: facts.isLocalUser === true ? facts.account : undefined,
    by: terms.hostname,
    protocol: protocolOf(session, transaction),
    id: message,
    tls: facts.tls === undefined ? undefined : traceOf(facts.tls),
    onlyRecipient: others.length === 0 ? only?.given : undefined,
    priority: priorityOf(world, facts, transaction.parameters),
    at,
    offsetMinutes,
  });
  return {
    message,
    trace: markReceived(trace, filters),
    wantsTrace: wantsTrace(world, session, filters) ? true : undefined,
    isBinary: transaction.parameters.body === "BINARYMIME",
    adding: terms.addsMissingFields
      ? { at, offsetMinutes, id: message, host: terms.hostname, sender: transaction.sender }
      : undefined,
  };
}

/** `with` of the trace field, and of what is kept of the message's origin. */
export function protocolOf({ facts }: Session, transaction: Transaction): string {
  return withProtocol({
    greeting: facts.greeting === "none" ? "EHLO" : facts.greeting,
    isInternational: transaction.parameters.isInternational === true,
    isEncrypted: facts.tls !== undefined,
    isAuthenticated: facts.account !== undefined,
  });
}
