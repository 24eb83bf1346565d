import type { SessionFactsForRules } from "../envelope/policy.ts";
import { parseVerpDelimiters } from "../envelope/rewrite/verp.ts";
import { certificateForRules } from "./client-certificate.ts";
import { judgedClient } from "./passes.ts";
import { restrictionFacts } from "./restriction-facts.ts";
import type { Facts, Transaction, World } from "./state.ts";

/** What rules, restrictions and the conditions of filters may look at. */
export function factsForRules(
  world: World,
  facts: Facts,
  {
    sender,
    parameters,
    recipients,
    tags,
    forwarded,
    message,
  }: Pick<Transaction, "sender" | "parameters"> & Partial<Transaction>,
): SessionFactsForRules {
  const verp =
    parameters.verp === undefined
      ? undefined
      : (parseVerpDelimiters(parameters.verp) ?? world.terms.rewriting?.verp?.delimiters);
  const client = judgedClient(world, facts, forwarded);
  return {
    listener: world.terms.listener,
    tag: world.terms.tag,
    tags: tagsForRules(facts, tags),
    clientAddress: client.clientAddress,
    clientName: client.clientName,
    helo: client.helo,
    isEncrypted: facts.tls !== undefined,
    account: facts.account,
    certificate: certificateForRules(facts),
    sender,
    accepted: recipients?.length,
    more:
      world.filters?.isRestricted === true
        ? restrictionFacts(world, facts, { message, parameters, recipients })
        : undefined,
    verp,
  };
}

/** Those of filters, where there are any. */
function tagsForRules(facts: Facts, ofMail: readonly string[] = []): readonly string[] | undefined {
  const tags = facts.tags === undefined ? ofMail : [...facts.tags, ...ofMail];
  return tags.length === 0 ? undefined : tags;
}
