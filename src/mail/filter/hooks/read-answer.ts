import { ok, refused, type Result } from "../../../foundation/result.ts";
import { parsePath } from "../../../protocol/address/path.ts";
import { encodeWords } from "../../../protocol/message/encoded-word.ts";
import { fold } from "../../../protocol/message/field.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import type { FilterStage, MailEdit, MailFate, MailVerdict, StageVerdict } from "../filter.ts";
import type { BodySource } from "./effects.ts";

/**
 * What a hook answered, as a verdict. It came from code that nobody has checked, in JavaScript perhaps: each part is looked
 * at, and what makes no sense is a problem that says what it was. Nothing of it is followed then.
 */
const MOST_EFFECTS = 1000;
const LONGEST_WORDS = 500;
const LONGEST_LINE = 998;
const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]{1,100}$/;
const TAG = /^[\x21-\x7e]{1,64}$/;
const MOST_FIELD_BYTES = 64 * 1024;

/** What is said of a mail; the content of `replace-body` is still the hook's, and to be put into a room. */
export interface HookMailVerdict extends Omit<MailVerdict, "edits"> {
  readonly edits: readonly (Exclude<MailEdit, { edit: "replace-body" }> | NewBody)[];
}

export interface NewBody {
  readonly edit: "new-body";
  readonly body: BodySource;
}

type Said = Readonly<Record<string, unknown>> & { readonly effect: string };

/** A stage before the content. `problem` is the end of a sentence that begins with the hook's name. */
export function readStageAnswer(stage: Exclude<FilterStage, "message">, answer: unknown): Result<StageVerdict, string> {
  if (answer === undefined) return ok({ kind: "proceed" });
  const effects = effectsIn(answer);
  if (!effects.ok) return effects;
  let decision: StageVerdict | undefined;
  const tags: string[] = [];
  for (const said of effects.value) {
    if (said.effect === "tag") {
      const problem = takeTags(said, tags);
      if (problem !== undefined) return refused(problem);
      continue;
    }
    if (said.effect === "accept") continue;
    const read = stageEffect(stage, said);
    if (!read.ok) return read;
    if (decision !== undefined)
      return refused(`said ${said.effect} besides ${decision.kind}, and only one can be done`);
    decision = read.value;
  }
  return ok({ ...(decision ?? { kind: "proceed" }), ...(tags.length === 0 ? {} : { tags }) });
}

const REWRITES: Readonly<Record<string, FilterStage>> = {
  "rewrite-helo": "helo",
  "rewrite-sender": "mail",
  "rewrite-recipient": "rcpt",
};

function stageEffect(stage: FilterStage, said: Said): Result<StageVerdict, string> {
  const { effect } = said;
  switch (effect) {
    case "skip":
      return ok({ kind: "content" });
    case "refuse":
    case "disconnect": {
      const told = readReply(said["reply"]);
      return told.ok ? ok({ kind: effect, reply: told.value }) : told;
    }
    case "discard":
    case "quarantine":
      if (stage === "connect" || stage === "helo" || stage === "auth")
        return refused(`said ${effect}, and there is no mail yet`);
      return ok({ kind: effect, ...because(said) });
    case "rewrite-helo":
    case "rewrite-sender":
    case "rewrite-recipient": {
      if (REWRITES[effect] !== stage) return refused(`said ${effect}, which is not for this stage`);
      const { to } = said;
      const isFine = effect === "rewrite-helo" ? isHost(to) : isAddress(to, effect === "rewrite-sender");
      return isFine ? ok({ kind: "rewrite", to: String(to) }) : refused(`said ${effect} with ${shown(to)}`);
    }
    default:
      return refused(`said ${shown(effect)}, which is nothing that it may say at this stage`);
  }
}

/** A whole mail. */
export function readMessageAnswer(answer: unknown): Result<HookMailVerdict, string> {
  if (answer === undefined) return ok({ fate: { kind: "keep" }, edits: [] });
  const effects = effectsIn(answer);
  if (!effects.ok) return effects;
  let fate: { readonly fate: MailFate; readonly because?: string } | undefined;
  let action: string | undefined;
  let score: MailVerdict["score"];
  const tags: string[] = [];
  const edits: HookMailVerdict["edits"][number][] = [];
  for (const said of effects.value) {
    switch (said.effect) {
      case "accept":
        break;
      case "tag": {
        const problem = takeTags(said, tags);
        if (problem !== undefined) return refused(problem);
        break;
      }
      case "refuse":
      case "discard":
      case "quarantine": {
        if (fate !== undefined)
          return refused(`said ${said.effect} besides ${fate.fate.kind}, and only one can be done`);
        const told = said.effect === "refuse" ? readReply(said["reply"]) : undefined;
        if (told?.ok === false) return told;
        fate = {
          fate:
            told === undefined
              ? { kind: said.effect === "discard" ? "discard" : "quarantine" }
              : { kind: "refuse", reply: told.value },
          ...because(said),
        };
        break;
      }
      case "choose-action":
        if (typeof said["action"] !== "string" || said["action"] === "")
          return refused(`chose ${shown(said["action"])} for an action`);
        ({ action } = said as { action?: string });
        break;
      case "score": {
        const { value, wanted, symbols } = said;
        if (
          typeof value !== "number" ||
          (wanted !== undefined && typeof wanted !== "number") ||
          typeof symbols !== "string"
        )
          return refused("gave a score that is no number");
        score = { value, wanted, symbols: symbols.slice(0, LONGEST_WORDS) };
        break;
      }
      default: {
        const edit = readEdit(said);
        if (!edit.ok) return edit;
        edits.push(edit.value);
      }
    }
  }
  return ok({
    ...(fate ?? { fate: { kind: "keep" } }),
    edits,
    ...(tags.length === 0 ? {} : { tags }),
    ...(action === undefined ? {} : { action }),
    ...(score === undefined ? {} : { score }),
  });
}

function readEdit(said: Said): Result<HookMailVerdict["edits"][number], string> {
  const { effect, name, value, nth, at, body, to, recipient } = said;
  switch (effect) {
    case "add-header":
    case "change-header":
    case "remove-header": {
      if (typeof name !== "string" || !FIELD_NAME.test(name)) return refused(`named a header field ${shown(name)}`);
      if (nth !== undefined && !isCount(nth, 1)) return refused(`meant field number ${shown(nth)}`);
      if (effect === "remove-header") return ok({ edit: "remove-field", name, ...(nth === undefined ? {} : { nth }) });
      if (at !== undefined && !isCount(at, 0)) return refused(`meant the place ${shown(at)} in the header`);
      const text = fieldValue(name, value);
      if (text === undefined) return refused(`gave ${name} a value that no header field can have: ${shown(value)}`);
      return effect === "add-header"
        ? ok({ edit: "add-field", name, value: text, ...(at === undefined ? {} : { at }) })
        : ok({ edit: "change-field", name, nth: nth ?? 1, value: text });
    }
    case "replace-body":
      return isBody(body) ? ok({ edit: "new-body", body }) : refused(`gave ${shown(body)} for a body`);
    case "rewrite-sender":
      return isAddress(to, true) ? ok({ edit: "sender", sender: to }) : refused(`said ${effect} with ${shown(to)}`);
    case "add-recipient":
    case "remove-recipient":
      return isAddress(recipient, false)
        ? ok({ edit: effect, recipient })
        : refused(`said ${effect} with ${shown(recipient)}`);
    default:
      return refused(`said ${shown(effect)}, which is nothing that it may say of a mail`);
  }
}

function effectsIn(answer: unknown): Result<readonly Said[], string> {
  const list: readonly unknown[] = Array.isArray(answer) ? answer : [answer];
  if (list.length > MOST_EFFECTS) return refused(`said ${list.length} things, and ${MOST_EFFECTS} are the most`);
  for (const one of list)
    if (typeof one !== "object" || one === null || !("effect" in one) || typeof one.effect !== "string")
      return refused(`answered ${shown(one)}; it may answer nothing, or what accept(), reject() and their like give`);
  // Looked at just now.
  return ok(list as readonly Said[]);
}

function takeTags({ tags }: Said, into: string[]): string | undefined {
  if (!Array.isArray(tags)) return "gave tags that are no list";
  for (const one of tags as readonly unknown[]) {
    if (typeof one !== "string" || !TAG.test(one)) return `gave the tag ${shown(one)}`;
    into.push(one);
  }
  return undefined;
}

function readReply(given: unknown): Result<Reply, string> {
  if (typeof given !== "object" || given === null) return refused("refused without a reply");
  const { code, status, lines } = given as { code?: unknown; status?: unknown; lines?: unknown };
  if (typeof code !== "number" || !Number.isInteger(code) || code < 400 || code > 599)
    return refused(`refused with the code ${shown(code)}, and 400 to 599 are codes of refusals`);
  const first = code < 500 ? "4" : "5";
  if (typeof status !== "string" || !/^[45]\.\d{1,3}\.\d{1,3}$/.test(status) || !status.startsWith(first))
    return refused(`refused with the status ${shown(status)}, and one of ${code} begins with ${first}.`);
  const texts: readonly unknown[] = Array.isArray(lines) ? lines.slice(0, 20) : [];
  if (texts.some((line) => typeof line !== "string" || !/^[^\x00-\x08\x0a-\x1f\x7f]*$/.test(line)))
    return refused("refused with a text that no reply can have");
  return ok(reply(code, status, ...texts.map((line) => String(line).slice(0, LONGEST_WORDS))));
}

/** As it may stand behind the name and a colon; undefined for what would be more than one field, or none. */
function fieldValue(name: string, value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > MOST_FIELD_BYTES) return undefined;
  // A line end has white space and more text behind it: else somebody's words would be a field of their own, or a body.
  if (/\r(?!\n)|(?<!\r)\n|\r\n(?![ \t]+\S)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(value)) return undefined;
  const isFolded = value.includes("\r\n");
  if (isFolded && /[^\x00-\x7f]/.test(value)) return undefined;
  const text = isFolded ? value : encodeWords(value);
  const line = `${name}: ${text}`;
  const folded = isFolded ? line : fold(line);
  if (folded.split("\r\n").some((one) => one.length > LONGEST_LINE)) return undefined;
  return folded.slice(name.length + 1).trimStart();
}

function isAddress(given: unknown, mayBeNull: boolean): given is string {
  if (typeof given !== "string") return false;
  if (given === "") return mayBeNull;
  const path = parsePath(`<${given}>`, { isInternational: true });
  return path.ok && path.value.kind === "mailbox";
}

function isHost(given: unknown): boolean {
  return typeof given === "string" && /^[\x21-\x7e]{1,255}$/.test(given);
}

function isCount(given: unknown, least: number): given is number {
  return typeof given === "number" && Number.isInteger(given) && given >= least && given <= 100_000;
}

function isBody(given: unknown): given is BodySource {
  return (
    typeof given === "string" ||
    given instanceof Uint8Array ||
    (typeof given === "object" && given !== null && Symbol.asyncIterator in given)
  );
}

function because(said: Said): { readonly because?: string } {
  const { because: words } = said;
  return typeof words === "string" && words !== "" ? { because: words.slice(0, LONGEST_WORDS) } : {};
}

function shown(given: unknown): string {
  if (typeof given === "function") return "a function";
  try {
    return (JSON.stringify(given) ?? String(given)).slice(0, 100);
  } catch {
    return "something";
  }
}
