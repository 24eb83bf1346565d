import { messageOf } from "../../foundation/error.ts";
import type { BodyWriter } from "../queue/queue.ts";
import { replies } from "./replies.ts";
import type { SessionServices } from "./services.ts";
import type { Action, Input, Terms } from "./state.ts";
import { storageFailure } from "./storage-failure.ts";

/** What the machine wants to know of others, as a promise of its next input. A failure is an input too. */
export interface Question {
  readonly answer: Promise<Input>;
  readonly otherwise: (because: unknown) => Input;
  readonly limitMs: number;
  /** What is waited for, in the log's words. */
  readonly what: string;
}

type Asking = Extract<Action, { do: "judge" | "weigh" | "wake" | "check" | "identify" }>;

export function questionOf(services: SessionServices, terms: Terms, action: Asking): Question {
  switch (action.do) {
    case "judge":
      return judging(services, terms, action);
    case "weigh":
      return weighing(services, terms, action);
    case "wake":
      return waking(services, terms, action);
    case "check":
      return checking(services, terms, action);
    case "identify":
      return identifying(services, terms, action);
  }
}

function judging(
  services: SessionServices,
  terms: Terms,
  { facts, recipient }: Extract<Action, { do: "judge" }>,
): Question {
  return {
    answer: Promise.try(() => services.policy.judgeRecipient(facts, recipient)).then((judgement) => ({
      kind: "judged",
      judgement,
    })),
    otherwise: (because) => ({
      kind: "judged",
      judgement: { kind: "reject", reply: replies.policyUnavailable, because: messageOf(because) },
    }),
    limitMs: terms.settings.questionTimeout,
    what: "rules",
  };
}

function weighing(
  services: SessionServices,
  terms: Terms,
  { facts, fields }: Extract<Action, { do: "weigh" }>,
): Question {
  const accept = { kind: "accept" } as const;
  return {
    answer: Promise.try(() => services.policy.judgeAuthor?.(facts, fields) ?? accept).then((verdict) => ({
      kind: "weighed",
      verdict,
    })),
    otherwise: (because) => ({
      kind: "weighed",
      verdict: { kind: "reject", reply: replies.policyUnavailable, because: messageOf(because) },
    }),
    limitMs: terms.settings.questionTimeout,
    what: "rules",
  };
}

function waking(
  services: SessionServices,
  terms: Terms,
  { domain, withSubdomains }: Extract<Action, { do: "wake" }>,
): Question {
  const { waker } = services;
  const nobody = { kind: "failed", text: "nobody is there to wake mail" } as const;
  return {
    answer: Promise.try(() => waker?.(terms.listener).wake({ domain, withSubdomains }) ?? nobody).then((outcome) => ({
      kind: "woken",
      outcome,
    })),
    otherwise: (because) => ({ kind: "woken", outcome: { kind: "failed", text: messageOf(because) } }),
    limitMs: terms.settings.questionTimeout,
    what: "ETRN",
  };
}

function checking(
  services: SessionServices,
  terms: Terms,
  { question, from }: Extract<Action, { do: "check" }>,
): Question {
  return {
    answer: Promise.try(() => services.logins.answer(question, from)).then((answer) => ({ kind: "checked", answer })),
    otherwise: (because) => ({ kind: "checked", answer: { kind: "failed", text: messageOf(because) } }),
    limitMs: terms.settings.questionTimeout,
    what: "password check",
  };
}

function identifying(
  services: SessionServices,
  terms: Terms,
  { by, shown }: Extract<Action, { do: "identify" }>,
): Question {
  const none = { kind: "unknown" } as const;
  return {
    answer: Promise.try(() => services.certificates?.identify(by, shown) ?? none).then((identity) => ({
      kind: "identified",
      identity,
    })),
    otherwise: (because) => ({ kind: "identified", identity: { kind: "failed", text: messageOf(because) } }),
    limitMs: terms.settings.questionTimeout,
    what: "client certificate",
  };
}

/** From here the message is the queue's to keep; when it does not, the writer forgets it as far as that is known. */
export function committing(
  services: SessionServices,
  terms: Terms,
  writer: BodyWriter,
  { message, envelopes, quarantine }: Extract<Action, { do: "commit" }>,
): Question {
  return {
    answer: writer
      .finish()
      .then((body) => services.queue.commit({ message, body, envelopes, quarantine }))
      .then(() => ({ kind: "committed" })),
    otherwise: (because) => {
      writer.abort(because).catch(() => {});
      return { kind: "not-committed", ...storageFailure(because) };
    },
    limitMs: terms.settings.commitTimeout,
    what: "commit",
  };
}
