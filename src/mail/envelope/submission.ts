import { reply, type Reply } from "../../protocol/smtp/reply.ts";
import type { SendingQuota } from "../../service/account/sending-quota.ts";
import type { AuthorVerdict, EnvelopePolicy, Judgement, SessionFactsForRules } from "./policy.ts";
import { authorsOf, type SenderRights } from "./sender-rights.ts";
import { SENDER_RIGHTS, wouldBeRefused } from "./would-be-refused.ts";

/**
 * What holds for clients that have logged in, in front of the rules (RFC 6409): the sender and the author have to be the
 * account's own, where the listener says so, and the account may send so much. Everybody else goes to the rules at once.
 *
 * The sender is judged at RCPT, so that the log knows for whom the mail was. What was counted for a recipient that is
 * refused by others later stays counted.
 */
export function submissionPolicy(
  inner: EnvelopePolicy,
  parts: {
    /** Of a listener; undefined: any address. */
    readonly rightsAt: (listener: string) => SenderRights | undefined;
    readonly quota: SendingQuota;
  },
): EnvelopePolicy {
  const senderRefusal = async (account: string, facts: SessionFactsForRules): Promise<Refusal | undefined> => {
    const rights = parts.rightsAt(facts.listener);
    if (rights === undefined || rights.checks === "author") return undefined;
    if (facts.sender === "")
      return rights.allowsNullSender
        ? undefined
        : refuse(reply(550, "5.7.1", "The empty sender is not for you here"), "null sender of a logged-in client");
    const may = await rights.mayUse(account, facts.sender);
    if (typeof may !== "boolean") return refuse(UNDECIDED, may.failed);
    if (may) return undefined;
    return refuse(notYours("Sender", facts.sender, account), `${account} may not send as ${facts.sender}`);
  };

  const spend = async (account: string, isFirst: boolean): Promise<Refusal | undefined> => {
    for (const what of isFirst ? (["messages", "recipients"] as const) : (["recipients"] as const)) {
      const spent = await parts.quota.spend(account, what);
      if (spent.ok === true) continue;
      if (spent.ok === "failed") return refuse(UNDECIDED, spent.text);
      // Whoever sends too much comes again by itself, and nothing is lost.
      const text = `Too much mail from ${account}: no more than ${spent.limit}; come again later`;
      return refuse(reply(450, "4.7.1", text), `${account}: ${spent.limit}`);
    }
    return undefined;
  };

  return {
    async judgeRecipient(facts, recipient): Promise<Judgement> {
      const { account, accepted, instead } = facts;
      // A question (VRFY) carries no mail, and what stands for a recipient has the sender that was judged with that one.
      if (account === undefined || accepted === undefined || instead !== undefined)
        return inner.judgeRecipient(facts, recipient);
      const refusal = await senderRefusal(account, facts);
      const isWarnOnly = parts.rightsAt(facts.listener)?.isWarnOnly === true;
      if (refusal !== undefined && !isWarnOnly) return refusal;
      const judgement = await inner.judgeRecipient(facts, recipient);
      const found = judgement.kind === "reject" ? judgement : ((await spend(account, accepted === 0)) ?? judgement);
      if (refusal === undefined) return found;
      const note = wouldBeRefused(SENDER_RIGHTS, refusal.reply, refusal.because);
      return { ...found, notes: [note, ...(found.notes ?? [])] };
    },

    wantsAuthor({ account, listener }) {
      const rights = account === undefined ? undefined : parts.rightsAt(listener);
      if (rights === undefined || rights.checks === "sender") return false;
      return rights.isWarnOnly ? "to-warn" : true;
    },

    async judgeAuthor({ account = "", listener, sender }, fields): Promise<AuthorVerdict> {
      const rights = parts.rightsAt(listener);
      if (rights === undefined) return { kind: "accept" };
      const verdict = await authorVerdict(rights, { account, sender }, fields);
      if (verdict.kind === "accept" || !rights.isWarnOnly) return verdict;
      return { kind: "accept", notes: [wouldBeRefused(SENDER_RIGHTS, verdict.reply, verdict.because)] };
    },
  };
}

async function authorVerdict(
  rights: SenderRights,
  { account, sender }: { readonly account: string; readonly sender: string },
  fields: readonly string[],
): Promise<AuthorVerdict> {
  // A missing field is added, with the sender as author.
  const authors = fields.length > 0 ? fields.map(authorsOf) : sender === "" ? [] : [[sender]];
  if (fields.length > 1 || authors.includes(undefined))
    return {
      kind: "reject",
      reply: reply(550, "5.6.0", "The From field is no list of addresses"),
      because: "From",
    };
  for (const author of authors.flatMap((found) => found ?? [])) {
    const may = await rights.mayUse(account, author);
    if (typeof may !== "boolean") return { kind: "reject", reply: UNDECIDED, because: may.failed };
    if (!may)
      return {
        kind: "reject",
        reply: notYours("From", author, account),
        because: `${account} may not write as ${author}`,
      };
  }
  return { kind: "accept" };
}

const UNDECIDED = reply(451, "4.3.0", "a lookup failed here; please try again later");

function notYours(what: string, address: string, account: string): Reply {
  return reply(553, "5.7.1", `<${address}>: ${what} address refused: not owned by ${account}`);
}

type Refusal = Extract<Judgement, { kind: "reject" }>;

function refuse(with_: Reply, because: string): Refusal {
  return { kind: "reject", reply: with_, because };
}
