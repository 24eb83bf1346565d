import type { MessageId } from "../../foundation/ids.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import { askFilters, type FilterRefusal, type Pending } from "./ask-filters.ts";
import { perRecipient } from "./content.ts";
import { improperPipelining } from "./events.ts";
import { greetFirst } from "./mail.ts";
import { openingOf } from "./opening.ts";
import { answer, close, misuse, refuse } from "./refusing.ts";
import { chunkReceived, replies } from "./replies.ts";
import {
  clientText,
  READY,
  reply,
  tell,
  type Action,
  type Session,
  type Step,
  type Transaction,
  type World,
} from "./state.ts";

/** DATA and BDAT (RFC 5321 section 4.1.1.4, RFC 3030): whether content may come. What becomes of it is `content.ts`. */
export function data(world: World, session: Session, bytesBehind: number): Step {
  const { phase, facts } = session;
  // RFC 2920 section 3.1: DATA is the last of a group. What came behind it would be content for one of us and commands
  // for the other as soon as DATA is refused, so the session ends here whatever the answer would have been.
  if (bytesBehind > 0) return pipelinedImproperly(world, session, bytesBehind);
  if (phase.at !== "transaction") return misuse(world, session, "DATA", greetFirst(world, facts) ?? replies.mailFirst);
  const { transaction } = phase;
  if (transaction.chunks !== undefined) return misuse(world, session, "DATA", replies.chunksBegun);
  const { message } = transaction;
  // RFC 2033 section 4.2 wants 503 where RFC 5321 section 3.3 wants 554.
  if (message === undefined)
    return misuse(world, session, "DATA", facts.greeting === "LHLO" ? replies.noRecipientsLmtp : replies.noRecipients);
  if (transaction.parameters.body === "BINARYMIME") return misuse(world, session, "DATA", replies.dataForBinary);
  if (world.filters?.wants("data") === true) return askFilters(world, session, { stage: "data", transaction });
  return goAhead(world, session, transaction, message);
}

/** Filters have heard that content comes. */
export function dataFiltered(
  world: World,
  session: Session,
  transaction: Transaction,
  refused: FilterRefusal | undefined,
): Step {
  const { message } = transaction;
  if (refused === undefined && message !== undefined) return goAhead(world, session, transaction, message);
  const back: Session = { ...session, phase: { at: "transaction", transaction } };
  const { reply: no, about } = refused ?? { reply: replies.noRecipients, about: {} };
  return refuse(world, back, no, { stage: "DATA", transaction, ...about });
}

function goAhead(world: World, session: Session, transaction: Transaction, message: MessageId): Step {
  const opening = openingOf(world, session, transaction, message);
  return [{ ...session, phase: { at: "data", transaction } }, [reply(replies.goAhead), { do: "receiveData", opening }]];
}

/** `bytes` came too soon. */
export function pipelinedImproperly(world: World, session: Session, bytes: number): Step {
  return close(session, replies.improperPipelining, tellPipelining(world, session, bytes));
}

export function tellPipelining(world: World, session: Session, bytes: number): Action {
  const client = clientText(session.facts.peer);
  return tell(improperPipelining, { session: world.terms.session, client, after: session.after, bytes });
}

export function bdat(world: World, session: Session, sizeBytes: number, isLast: boolean): Step {
  const { phase } = session;
  const { messageSize } = world.terms.settings;
  const transaction = phase.at === "transaction" ? phase.transaction : undefined;
  const refusal = chunkRefusal(world, session, transaction, sizeBytes);
  // The octets of a refused chunk come all the same (RFC 3030 section 2) and must not be taken for commands. More than
  // a message's worth of them is not waited for.
  if (refusal !== undefined && sizeBytes > messageSize) return close(session, refusal);
  const isFirst = refusal === undefined && transaction !== undefined && transaction.chunks === undefined;
  if (isFirst && world.filters?.wants("data") === true)
    return askFilters(world, session, { stage: "chunk", transaction, sizeBytes, isLast });
  return chunkTaken(world, session, transaction, sizeBytes, isLast, refusal && { reply: refusal });
}

/** Filters have heard that content comes; the octets of a refused chunk come all the same. */
export function chunkFiltered(
  world: World,
  session: Session,
  { transaction, sizeBytes, isLast }: Extract<Pending, { stage: "chunk" }>,
  refused: FilterRefusal | undefined,
): Step {
  return chunkTaken(world, session, transaction, sizeBytes, isLast, refused);
}

function chunkTaken(
  world: World,
  session: Session,
  transaction: Transaction | undefined,
  sizeBytes: number,
  isLast: boolean,
  refused: { readonly reply: Reply; readonly about?: FilterRefusal["about"] } | undefined,
): Step {
  const hasOpening = refused === undefined && transaction?.message !== undefined;
  const opening = hasOpening ? openingOf(world, session, transaction, transaction.message) : undefined;
  return [
    {
      ...session,
      phase: { at: "chunk", transaction, sizeBytes, isLast, refusal: refused?.reply, about: refused?.about },
    },
    [{ do: "receiveChunk", opening, sizeBytes, isLast }],
  ];
}

function chunkRefusal(
  world: World,
  session: Session,
  transaction: Transaction | undefined,
  sizeBytes: number,
): Reply | undefined {
  if (transaction === undefined) return greetFirst(world, session.facts) ?? replies.mailFirst;
  if (transaction.chunks?.isFailed === true) return replies.chunkFailed;
  if (transaction.message === undefined)
    return session.facts.greeting === "LHLO" ? replies.noRecipientsLmtp : replies.noRecipients;
  const bytes = (transaction.chunks?.bytes ?? 0) + sizeBytes;
  return bytes > world.terms.settings.messageSize ? replies.messageTooBig : undefined;
}

/** A chunk that is not the last has passed, or one that was only swallowed, be it the last. */
export function chunkEnded(world: World, session: Session): Step {
  const { phase } = session;
  if (phase.at !== "chunk") return [session, []];
  const { transaction, refusal, about, sizeBytes, isLast } = phase;
  const done: Session = { ...session, phase: READY };
  if (transaction === undefined) return misuse(world, done, "BDAT", refusal ?? replies.mailFirst);
  // RFC 2033 section 4.3: as many replies as to an accepted mail, or the client takes the next command's for one of them.
  if (refusal !== undefined && isLast && session.facts.greeting === "LHLO" && transaction.message !== undefined)
    return perRecipient(world, done, transaction, refusal, [{ do: "abandon" }], about);
  const bytes = (transaction.chunks?.bytes ?? 0) + sizeBytes;
  const chunks = { bytes, isFailed: refusal !== undefined };
  const next: Session = { ...session, phase: { at: "transaction", transaction: { ...transaction, chunks } } };
  if (refusal === undefined) return answer(next, chunkReceived(sizeBytes));
  const [after, actions] = refuse(world, next, refusal, { stage: "BDAT", transaction, ...about });
  return [after, [{ do: "abandon" }, ...actions]];
}
