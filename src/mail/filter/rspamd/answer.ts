import { z } from "zod";
import { escapeControls } from "../../../foundation/escape.ts";
import { ok, refused, type Result } from "../../../foundation/result.ts";

/** What rspamd calls its actions, with the blanks. */
const ACTIONS = [
  "no action",
  "greylist",
  "add header",
  "rewrite subject",
  "soft reject",
  "reject",
  "quarantine",
  "discard",
] as const;

const position = z.number().int().min(-10_000).max(10_000);
const fieldValue = z.union([
  z.string(),
  z.object({ value: z.string(), order: position.optional(), index: position.optional() }),
]);
const addresses = z.array(z.string()).max(1000);

/** The parts of an answer that mean something here; rspamd sends more. */
const answer = z.object({
  // Operators add actions of their own to rspamd's settings, by any name.
  action: z.string().min(1).max(200),
  is_skipped: z.boolean().optional(),
  score: z.number().default(0),
  required_score: z.number().optional(),
  subject: z.string().optional(),
  symbols: z.record(z.string(), z.object({ score: z.number().optional() })).default({}),
  messages: z.object({ smtp_message: z.string().optional() }).optional().catch(undefined),
  "dkim-signature": z.union([z.string(), z.array(z.string()).max(100)]).optional(),
  milter: z
    .object({
      add_headers: z.record(z.string(), z.union([fieldValue, z.array(fieldValue).max(1000)])).default({}),
      remove_headers: z.record(z.string(), position).default({}),
      change_from: z.string().optional(),
      add_rcpt: addresses.default([]),
      del_rcpt: addresses.default([]),
      reject: z.string().optional(),
      no_action: z.boolean().optional(),
      spam_header: z.union([z.string(), z.record(z.string(), z.string())]).optional(),
    })
    .optional(),
});
export type RspamdAnswer = z.output<typeof answer>;

/** An action as one of those that rspamd has by itself; undefined for one of an operator's own. */
export function knownAction(action: string): (typeof ACTIONS)[number] | undefined {
  return ACTIONS.find((one) => one === action);
}

/** The JSON of an answer, looked at. The problem is one line. */
export function parseRspamdAnswer(text: string): Result<RspamdAnswer, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refused(`its answer is no JSON: ${JSON.stringify(text.slice(0, SHOWN))}`);
  }
  if (typeof value === "object" && value !== null && "error" in value && typeof value.error === "string")
    return refused(`it failed: ${JSON.stringify(value.error.slice(0, SHOWN))}`);
  // Several values for one name come as an array, and empty tables of Lua as an empty array.
  const parsed = answer.safeParse(withoutEmptyArrays(value));
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  const words = `its answer makes no sense at ${issue?.path.join(".") ?? "its top"}: ${issue?.message ?? ""}`;
  // The words repeat names that stand in the answer, whatever is in them.
  return refused(escapeControls(words.slice(0, 300)));
}

const SHOWN = 200;
const TABLES = ["symbols", "milter", "messages"];
const MILTER_TABLES = ["add_headers", "remove_headers"];

function withoutEmptyArrays(value: unknown): unknown {
  const drop = (of: unknown, names: readonly string[]): unknown =>
    typeof of === "object" && of !== null && !Array.isArray(of)
      ? Object.fromEntries(
          Object.entries(of).filter(
            ([name, part]) => !(names.includes(name) && Array.isArray(part) && part.length === 0),
          ),
        )
      : of;
  const top = drop(value, TABLES);
  if (typeof top !== "object" || top === null || !("milter" in top)) return top;
  return { ...top, milter: drop(top.milter, MILTER_TABLES) };
}
