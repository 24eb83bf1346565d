import { z } from "zod";
import { escapeControls } from "../../../foundation/escape.ts";
import { ok, refused, type Result } from "../../../foundation/result.ts";
import { encodeWords } from "../../../protocol/message/encoded-word.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import type { FilterQuestion, MailEdit, MailVerdict, StageVerdict } from "../filter.ts";
import { foldedValue, replyWords } from "../scanner/verdicts.ts";

/** What a hook answers, as JSON. An unknown name is a mistake that somebody wants to hear of, so none is passed over. */
const replyGiven = z
  .strictObject({
    code: z.number().int().min(400).max(599),
    status: z
      .string()
      .regex(/^[45]\.\d{1,3}\.\d{1,3}$/, "expected a status such as 5.7.1")
      .optional(),
    text: z.string().max(500).optional(),
  })
  .refine(({ code, status }) => status === undefined || status.startsWith(String(code)[0] ?? ""), {
    error: "the status is of another class than the code",
  });

const tag = z.string().regex(/^[\x21-\x7e]{1,64}$/, "expected a word");
const fieldName = z.string().regex(/^[\x21-\x39\x3b-\x7e]{1,76}$/, "expected the name of a header field");
const place = z.number().int().min(0).max(10_000);
const nth = z.number().int().min(1).max(10_000);
const address = z.string().max(1000);

const said = {
  reply: replyGiven.optional(),
  tags: z.array(tag).max(100).optional(),
  because: z.string().max(500).optional(),
};

const stageAnswer = z.strictObject({
  ...said,
  verdict: z
    .enum(["proceed", "content", "refuse", "disconnect", "discard", "quarantine", "rewrite"])
    .default("proceed"),
  to: address.optional(),
});

const edit = z.discriminatedUnion("edit", [
  z.strictObject({ edit: z.literal("add-field"), name: fieldName, value: z.string(), at: place.optional() }),
  z.strictObject({ edit: z.literal("change-field"), name: fieldName, value: z.string(), nth: nth.default(1) }),
  z.strictObject({ edit: z.literal("remove-field"), name: fieldName, nth: nth.optional() }),
  z.strictObject({
    edit: z.literal("replace-body"),
    // Blanks behind the padding only: a program's answer of many megabytes is looked at once.
    body: z.string().regex(/^[A-Za-z0-9+/\s]*(?:={1,2}\s*)?$/, "expected base64"),
  }),
  z.strictObject({ edit: z.literal("sender"), sender: address }),
  z.strictObject({ edit: z.literal("add-recipient"), recipient: address }),
  z.strictObject({ edit: z.literal("remove-recipient"), recipient: address }),
]);

const messageAnswer = z.strictObject({
  ...said,
  verdict: z.enum(["proceed", "refuse", "discard", "quarantine"]).default("proceed"),
  edits: z.array(edit).max(1000).optional(),
  action: z.string().max(100).optional(),
  score: z
    .strictObject({ value: z.number(), wanted: z.number().optional(), symbols: z.string().max(10_000).default("") })
    .optional(),
});

/** A new body is still text, and to be put into a room. */
export interface HookMailAnswer extends Omit<MailVerdict, "edits"> {
  readonly edits: readonly (
    | Exclude<MailEdit, { edit: "replace-body" }>
    | { readonly edit: "new-body"; readonly body: Buffer }
  )[];
}

/** A sentence about an answer, with what it repeats of it. */
const MOST_WORDS = 300;
const MAY_REWRITE: readonly string[] = ["helo", "mail", "rcpt"];
const BEFORE_MAIL: readonly string[] = ["connect", "helo", "auth"];

export function parseStageAnswer(text: string, stage: FilterQuestion["stage"]): Result<StageVerdict, string> {
  const parsed = parsedBy(stageAnswer, text);
  if (!parsed.ok) return parsed;
  const { verdict, reply: given, tags, because, to } = parsed.value;
  const also = { ...(tags === undefined ? {} : { tags }), ...(because === undefined ? {} : { because }) };
  switch (verdict) {
    case "proceed":
    case "content":
      return ok({ kind: verdict, ...also });
    case "refuse":
    case "disconnect":
      return ok({ kind: verdict, reply: replyOf(given, verdict === "disconnect"), ...also });
    case "discard":
    case "quarantine":
      if (BEFORE_MAIL.includes(stage)) return refused(`it says ${verdict} at ${stage}, where there is no mail yet`);
      return ok({ kind: verdict, ...also });
    case "rewrite":
      if (!MAY_REWRITE.includes(stage))
        return refused(`it says rewrite at ${stage}, where there is nothing to rewrite`);
      if (to === undefined) return refused("it says rewrite, and not `to` what");
      return ok({ kind: "rewrite", to, ...also });
  }
}

export function parseMessageAnswer(text: string): Result<HookMailAnswer, string> {
  const parsed = parsedBy(messageAnswer, text);
  if (!parsed.ok) return parsed;
  const { verdict, reply: given, tags, because, edits = [], action, score } = parsed.value;
  return ok({
    fate:
      verdict === "proceed"
        ? { kind: "keep" }
        : verdict === "refuse"
          ? { kind: "refuse", reply: replyOf(given, false) }
          : { kind: verdict },
    edits: edits.map((one) => {
      if (one.edit === "replace-body") return { edit: "new-body", body: Buffer.from(one.body, "base64") };
      if (one.edit !== "add-field" && one.edit !== "change-field") return one;
      return { ...one, value: foldedValue(one.name, inAscii(one.value)) };
    }),
    ...(tags === undefined ? {} : { tags }),
    ...(because === undefined ? {} : { because }),
    ...(action === undefined ? {} : { action }),
    ...(score === undefined ? {} : { score }),
  });
}

function parsedBy<Output>(schema: z.ZodType<Output>, text: string): Result<Output, string> {
  let value: unknown;
  try {
    // Nothing said: nothing against it.
    value = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    return refused(`its answer is no JSON: ${JSON.stringify(text.slice(0, SHOWN))}`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  const at = issue?.path.join(".") ?? "";
  // The words repeat names that stand in the answer, whatever is in them.
  const words = `its answer makes no sense${at === "" ? "" : ` at ${at}`}: ${issue?.message ?? ""}`;
  return refused(escapeControls(words.slice(0, MOST_WORDS)));
}

function replyOf(given: z.output<typeof replyGiven> | undefined, ends: boolean): Reply {
  const code = given?.code ?? (ends ? 421 : 550);
  const isLasting = code >= 500;
  const text = isLasting ? "Refused by local policy" : "Try again later";
  return reply(code, given?.status ?? (isLasting ? "5.7.1" : "4.7.1"), replyWords(given?.text ?? "", text));
}

/** What is encoded already stays so. */
function inAscii(text: string): string {
  return /[^\x00-\x7f]/.test(text) ? encodeWords(text) : text;
}

const SHOWN = 200;
