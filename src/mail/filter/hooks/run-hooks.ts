import { messageOf, PosthornError } from "../../../foundation/error.ts";
import type { Result } from "../../../foundation/result.ts";
import { filterFailed } from "../failed.ts";
import type { FilterQuestion, StageVerdict } from "../filter.ts";
import { HOOK_OF, type Hooks } from "./hooks.ts";
import { HookMessage, type MessageSource } from "./message.ts";
import { readMessageAnswer, readStageAnswer, type HookMailVerdict } from "./read-answer.ts";

/** Whose hooks they are, for the sentence that tells of a failure: `/etc/posthorn/hooks.ts`. */
export interface HooksInUse {
  readonly hooks: Hooks;
  readonly where: string;
}

export interface HookCall {
  readonly now: number;
  readonly state: Record<string, unknown>;
  readonly signal: AbortSignal;
}

/**
 * Asks the hook for a stage. Whatever it does, this throws or rejects with `FILTER_FAILED` at worst. A hook that says nothing,
 * at once, is the usual one, and costs no more than its call.
 */
export function askHook(
  of: HooksInUse,
  question: FilterQuestion,
  call: HookCall,
): StageVerdict | Promise<StageVerdict> {
  const { stage } = question;
  return answered(
    of,
    stage,
    () => answerTo(of, question, call),
    PROCEED,
    (answer) => sense(of, stage, readStageAnswer(stage, answer)),
  );
}

function answerTo({ hooks }: HooksInUse, question: FilterQuestion, call: HookCall): unknown {
  const { facts } = question;
  const common = { session: facts, ...call };
  // The chain asks about mail only when there is one.
  const mail = facts.mail ?? NO_MAIL;
  switch (question.stage) {
    case "connect":
      return hooks.onConnect?.(common);
    case "helo":
      return hooks.onHelo?.({ ...common, verb: question.verb, name: question.name });
    case "auth":
      return hooks.onAuth?.({ ...common, account: facts.account ?? "" });
    case "mail":
      return hooks.onMail?.({ ...common, mail, sender: mail.sender });
    case "rcpt": {
      const { address, parameters } = question.recipient;
      return hooks.onRcpt?.({ ...common, mail, recipient: address, parameters });
    }
    case "data":
      return hooks.onData?.({ ...common, mail });
  }
}

/** Shows a whole mail to `onMessage`. */
export function judgeByHook(
  of: HooksInUse,
  source: MessageSource,
  call: HookCall,
): HookMailVerdict | Promise<HookMailVerdict> {
  return answered(
    of,
    "message",
    () => of.hooks.onMessage?.(new HookMessage(source, call)),
    KEEP,
    (answer) => sense(of, "message", readMessageAnswer(answer)),
  );
}

const PROCEED: StageVerdict = { kind: "proceed" };
const KEEP: HookMailVerdict = { fate: { kind: "keep" }, edits: [] };
const NO_MAIL = { sender: "", parameters: [], recipients: [], isInternational: false, body: "7BIT" } as const;

function answered<Verdict>(
  of: HooksInUse,
  stage: keyof typeof HOOK_OF,
  call: () => unknown,
  nothing: Verdict,
  read: (answer: unknown) => Verdict,
): Verdict | Promise<Verdict> {
  let answer: unknown;
  try {
    answer = call();
  } catch (thrown) {
    throw faultOf(of, stage, thrown);
  }
  if (answer === undefined) return nothing;
  return Promise.resolve(answer).then(read, (thrown: unknown) => Promise.reject(faultOf(of, stage, thrown)));
}

function faultOf(of: HooksInUse, stage: keyof typeof HOOK_OF, thrown: unknown): PosthornError {
  // What reads the content may have failed on its own, and has said so.
  if (thrown instanceof PosthornError) return thrown;
  return filterFailed(
    `${HOOK_OF[stage]} of ${of.where} threw: ${placed(thrown)}`,
    "mend the hook; it may catch what it expects",
    thrown,
  );
}

function sense<Value>(of: HooksInUse, stage: keyof typeof HOOK_OF, read: Result<Value, string>): Value {
  if (read.ok) return read.value;
  throw filterFailed(
    `${HOOK_OF[stage]} of ${of.where} ${read.problem}`,
    "see the manual's page about hooks for what they may say",
  );
}

/** What was thrown, with its place where that is known: `cannot read x (hooks.ts:12:3)`. */
export function placed(thrown: unknown): string {
  const text = messageOf(thrown);
  const frame =
    thrown instanceof Error
      ? /(?:file:\/\/[^\s()]*\/)([^/\s()]+?)(?:\?[^\s():]*)?:(\d+):(\d+)/.exec(thrown.stack ?? "")
      : null;
  return frame === null ? text : `${text} (${frame[1]}:${frame[2]}:${frame[3]})`;
}
