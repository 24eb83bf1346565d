import { formatMailParameters, formatRcptParameters, type RcptParameters } from "../../protocol/smtp/parameters.ts";
import type { FilterFacts, FilterRecipient, MailFacts } from "../filter/filter.ts";
import type { Facts, Terms, Transaction, World } from "./state.ts";

/** What filters are told of a session, and of the mail in it. */
export function filterFactsOf(world: World, facts: Facts, transaction?: Transaction): FilterFacts {
  return factsFor(world.terms, world.filters?.server, facts, transaction);
}

export function factsFor(
  terms: Terms,
  server: FilterFacts["server"],
  facts: Facts,
  transaction?: Transaction,
): FilterFacts {
  return {
    session: terms.session,
    listener: terms.listener,
    tag: terms.tag,
    hostname: terms.hostname,
    protocol: terms.protocol,
    server,
    client: facts.peer,
    greeting: facts.greeting,
    helo: facts.helo,
    tls: tlsOf(facts),
    account: facts.account,
    mechanism: facts.mechanism,
    tags: tagsOf(facts, transaction),
    mail: transaction === undefined ? undefined : mailFactsOf(transaction),
  };
}

export function tagsOf(facts: Facts, transaction?: Pick<Transaction, "tags">): readonly string[] {
  return transaction?.tags === undefined ? (facts.tags ?? []) : [...(facts.tags ?? []), ...transaction.tags];
}

function tlsOf({ tls }: Facts): FilterFacts["tls"] {
  if (tls === undefined) return undefined;
  const { version, cipher, bits, peerCertificate, verdict } = tls;
  return {
    version,
    cipher,
    bits,
    certificate:
      peerCertificate === undefined
        ? undefined
        : {
            subject: peerCertificate.subject,
            issuer: peerCertificate.issuer,
            isVerified: verdict.result === "OK",
          },
  };
}

export function mailFactsOf({ message, sender, parameters, recipients, startedAt }: Transaction): MailFacts {
  return {
    message,
    sender,
    parameters: words(formatMailParameters(parameters)),
    recipients: recipients.map(({ given, parameters: asked }) =>
      filterRecipient(given, asked, parameters.isInternational === true),
    ),
    isInternational: parameters.isInternational === true,
    body: parameters.body ?? "7BIT",
    startedAt,
  };
}

export function filterRecipient(
  address: string,
  parameters: RcptParameters,
  isInternational: boolean,
): FilterRecipient {
  return { address, parameters: words(formatRcptParameters(parameters, isInternational)) };
}

const NONE: readonly string[] = [];

function words(text: string): readonly string[] {
  if (text === "") return NONE;
  return text.split(" ").filter((word) => word !== "");
}
