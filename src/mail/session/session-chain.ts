import { messageOf } from "../../foundation/error.ts";
import type { MessageId } from "../../foundation/ids.ts";
import { formatReply } from "../../protocol/smtp/reply-format.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";
import type { EnvelopePolicy } from "../envelope/policy.ts";
import { WHOLE_CHAIN_MS } from "../filter/chain.ts";
import { failureReply } from "../filter/outcome.ts";
import { RestrictedChain, type AskedChain } from "../filter/restricted-chain.ts";
import type { BodyWriter } from "../queue/queue.ts";
import { factsFor } from "./filter-facts.ts";
import type { Question } from "./questions.ts";
import type { SessionOptions, SessionServices } from "./services.ts";
import { Sifting, type SiftingResult } from "./sifting.ts";
import type { Action, Facts, Input, SessionFilters, Terms } from "./state.ts";
import { storageFailure } from "./storage-failure.ts";

/** The chain keeps its own time; this is for the writing behind it, and so that no wait is without a deadline. */
const LIMIT_MS = WHOLE_CHAIN_MS + 60_000;

/** The filters of one session, and the restrictions in front of them, as its driver needs them. */
export class SessionChain {
  readonly chain: AskedChain;
  readonly world: SessionFilters;
  /** The rules, as they are to be asked in this session. */
  readonly policy: EnvelopePolicy;
  readonly #services: SessionServices;
  readonly #terms: Terms;

  /** Undefined where the listener has neither. */
  static open({ terms, services, socket }: SessionOptions, facts: Facts): SessionChain | undefined {
    const isRestricted = (services.policy.stagesAt?.(terms.listener).size ?? 0) > 0;
    const { localAddress: address, localPort: port } = services.filters === undefined && !isRestricted ? {} : socket;
    const server = address === undefined || port === undefined ? undefined : { address, port };
    const chain = services.filters?.open(terms.listener, () => factsFor(terms, server, facts));
    if (isRestricted) {
      const restricted = new RestrictedChain(services.policy, terms.listener, chain);
      const judgeRecipient: EnvelopePolicy["judgeRecipient"] = (who, recipient) =>
        restricted.judgeRecipient(who, recipient);
      return new SessionChain(restricted, { ...services.policy, judgeRecipient }, services, terms, server);
    }
    return chain && new SessionChain(chain, services.policy, services, terms, server);
  }

  private constructor(
    chain: AskedChain,
    policy: EnvelopePolicy,
    services: SessionServices,
    terms: Terms,
    server: SessionFilters["server"],
  ) {
    this.chain = chain;
    this.policy = policy;
    this.#services = services;
    this.#terms = terms;
    this.world = {
      wants: (stage) => chain.wants(stage),
      wantsNotes: chain.wantsNotes,
      isRestricted: chain instanceof RestrictedChain,
      server,
    };
  }

  asking({ question, who, isAnew }: Extract<Action, { do: "filter" }>): Question {
    if (isAnew === true) this.chain.beginAnew(question.facts);
    return {
      answer: this.chain.ask(question, who).then((outcome) => ({ kind: "filtered", outcome })),
      otherwise: (because) => ({ kind: "filtered", outcome: notAnswered(because) }),
      limitMs: LIMIT_MS,
      what: "filters",
    };
  }

  sifting(
    whole: { readonly writer: BodyWriter; readonly trace: string; readonly message: MessageId },
    { facts, who, recipients }: Extract<Action, { do: "sift" }>,
  ): {
    readonly sifting: Sifting;
    readonly question: Omit<Question, "answer"> & { readonly answer: Promise<SiftingResult> };
  } {
    const { intake, chooseTargets, judgeAgain, rulesAskTags } = this.#services;
    const { messageSize, headerSize } = this.#terms.settings;
    const sifting = new Sifting({
      chain: this.chain,
      writer: whole.writer,
      trace: whole.trace,
      begin: (version) => intake.begin(whole.message, version),
      messageSize,
      headerSize,
      place: chooseTargets,
      judgeAgain,
      rulesAskTags,
    });
    const otherwise = (because: unknown): Input => ({ kind: "not-sifted", ...storageFailure(because) });
    return {
      sifting,
      question: { answer: sifting.run(facts, who, recipients), otherwise, limitMs: LIMIT_MS, what: "filters" },
    };
  }

  /** A line of the client, for filters that want to hear the dialogue; what is secret is left out. */
  heard(bytes: Buffer, isSecret: boolean): void {
    if (!this.chain.wantsNotes) return;
    const line = isSecret
      ? "********"
      : bytes.toString("utf8").replace(/^(AUTH[ \t]+[^ \t]+[ \t]+)\S.*$/i, "$1********");
    this.chain.note({ notice: "client-line", line });
  }

  said(reply: Reply): void {
    if (!this.chain.wantsNotes) return;
    const isSecret = reply.code === 334;
    const lines = isSecret ? ["334 ********"] : formatReply(reply).toString("utf8").trimEnd().split("\r\n");
    for (const line of lines) this.chain.note({ notice: "server-line", line });
  }
}

function notAnswered(because: unknown): Extract<Input, { kind: "filtered" }>["outcome"] {
  // `defer` always has a reply.
  const reply = failureReply("defer") ?? { code: 451, lines: [""] };
  const by = { filter: "", because: messageOf(because) };
  return { kind: "refuse", reply, by, tags: [], told: [] };
}
