import { reply } from "../../protocol/smtp/reply.ts";
import { filterFailed } from "../../mail/filter/failed.ts";
import type { Filter, FilterStage, MailEdit, StageVerdict } from "../../mail/filter/filter.ts";
import type { Answers } from "./answers.ts";
import { tellUnexpected } from "./answers.ts";
import type { Trial } from "./case.ts";

const STAGES: readonly FilterStage[] = ["connect", "helo", "auth", "mail", "rcpt", "data", "message"];

type Answer = Exclude<Trial["filters"][string], string>;

/**
 * In a filter's place: says what the trial says that it answers. Where that is nothing, `own` is asked, which needs no network;
 * without one the trial has forgotten something, as soon as a mail is to be judged.
 */
export function answeredFilter(
  name: string,
  kind: string,
  answers: Answers,
  own: Filter | undefined,
  /** Hears of every tag that it gives. */
  onTag: (tag: string) => void,
): Filter {
  const told = <Verdict extends { readonly tags?: readonly string[] | undefined }>(verdict: Verdict): Verdict => {
    verdict.tags?.forEach(onTag);
    return verdict;
  };
  const answerOf = (): Answer | undefined => {
    const given = answers.trial.filters[name];
    return typeof given === "string" ? { verdict: given, at: "message" } : given;
  };
  return {
    name,
    // Which of them a trial answers for is known later.
    stages: new Set(STAGES),
    open(facts) {
      const dialogue = own?.open(facts);
      const isOwn = (stage: FilterStage): boolean => answerOf() === undefined && own?.stages.has(stage) === true;
      return {
        async ask(question, signal) {
          if (dialogue !== undefined && isOwn(question.stage)) return told(await dialogue.ask(question, signal));
          const answer = answerOf();
          return answer?.at === question.stage ? told(stageVerdict(answer)) : { kind: "proceed" };
        },
        async judge(mail, signal) {
          if (dialogue !== undefined && isOwn("message")) return told(await dialogue.judge(mail, signal));
          const answer = answerOf();
          if (answer === undefined && own === undefined && !answers.isLenient) {
            tellUnexpected(answers, `filter ${name} (${kind}): what it says of the mail`);
            throw filterFailed(
              `the trial does not say what the filter ${name} answers`,
              `give it as filters: { ${name}: accept }`,
            );
          }
          if (answer?.at !== "message") return { fate: { kind: "keep" } };
          const verdict = stageVerdict(answer);
          const { tags, action, because } = answer;
          const edits = Object.entries(answer.header ?? {}).map(([field, value]): MailEdit => ({
            edit: "add-field",
            name: field,
            value,
          }));
          const fate =
            verdict.kind === "refuse"
              ? { kind: verdict.kind, reply: verdict.reply }
              : {
                  kind: verdict.kind === "discard" || verdict.kind === "quarantine" ? verdict.kind : ("keep" as const),
                };
          return told({ fate, edits, tags, action, because });
        },
        end() {
          dialogue?.end();
        },
      };
    },
    health: () => ({ state: "untried", text: kind, asked: 0, failures: 0 }),
    close: () => own?.close() ?? Promise.resolve(),
  };
}

function stageVerdict({ verdict, code, text, tags, because }: Answer): StageVerdict {
  const common = { tags, because };
  switch (verdict) {
    case "accept":
      return { kind: "proceed", ...common };
    case "reject":
      return { kind: "refuse", reply: reply(code ?? 550, "5.7.1", text ?? "Refused by a filter"), ...common };
    case "defer":
      return { kind: "refuse", reply: reply(code ?? 451, "4.7.1", text ?? "Deferred by a filter"), ...common };
    case "discard":
    case "quarantine":
      return { kind: verdict, ...common };
  }
}
