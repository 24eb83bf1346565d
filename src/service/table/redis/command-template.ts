import { ok, refused, type Problem, type Result } from "../../../foundation/result.ts";
import type { KeyParameter } from "../key-parameters.ts";
import { columnText, type Row } from "../row-value.ts";
import { expandTemplate, parseTemplate, type Template } from "../template.ts";

/** How an answer is read: one value, the columns of one row, a row for each, or yes and no. */
type Reply = "value" | "columns" | "rows" | "member";

/** Commands that only read, with the least and the most words behind them. */
const COMMANDS: Readonly<Record<string, { readonly least: number; readonly most: number; readonly reply: Reply }>> = {
  GET: { least: 1, most: 1, reply: "value" },
  HGET: { least: 2, most: 2, reply: "value" },
  HMGET: { least: 2, most: 17, reply: "columns" },
  SMEMBERS: { least: 1, most: 1, reply: "rows" },
  LRANGE: { least: 3, most: 3, reply: "rows" },
  SISMEMBER: { least: 2, most: 2, reply: "member" },
  HEXISTS: { least: 2, most: 2, reply: "member" },
  EXISTS: { least: 1, most: 1, reply: "member" },
};

export interface CommandTemplate {
  readonly command: string;
  readonly reply: Reply;
  readonly words: readonly Template[];
}

/**
 * A command as one would type it: `HGET users:%{user} password`. Words are parted by spaces; one with spaces in it stands
 * in double quotes. The parameters stay within their word, whatever they hold.
 */
export function parseCommandTemplate(text: string): Result<CommandTemplate, Problem> {
  const words: { readonly at: number; readonly text: string }[] = [];
  const pattern = /\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)|\s*$/y;
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const found = pattern.exec(text);
    if (found === null) return refused({ at, expected: 'words, or words in "quotes"' });
    const word = found[1]?.replace(/\\(.)/g, "$1") ?? found[2];
    if (word !== undefined) words.push({ at, text: word });
    else break;
  }
  const [first, ...rest] = words;
  const command = first?.text.toUpperCase() ?? "";
  const known = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
  if (known === undefined) return refused({ at: 0, expected: `one of ${Object.keys(COMMANDS).join(", ")}` });
  if (rest.length < known.least || rest.length > known.most) {
    const count = known.least === known.most ? `${known.least}` : `${known.least} to ${known.most}`;
    return refused({ at: text.length, expected: `${count} ${count === "1" ? "word" : "words"} behind ${command}` });
  }
  const templates: Template[] = [];
  for (const word of rest) {
    const template = parseTemplate(word.text);
    if (!template.ok) return refused({ at: word.at + template.problem.at, expected: template.problem.expected });
    templates.push(template.value);
  }
  return ok({ command, reply: known.reply, words: templates });
}

/** The words to send; `prefix` stands in front of the key, the first word behind the command. */
export function commandWords(
  { command, words }: CommandTemplate,
  prefix: string,
  values: Readonly<Record<KeyParameter, string>>,
): string[] {
  return [
    command,
    ...words.map((word, at) => `${at === 0 ? prefix : ""}${expandTemplate(word, values, (text) => text)}`),
  ];
}

/** An answer as the rows that a database would give; text says what is wrong with it. */
export function replyRows(reply: Reply, answer: unknown): readonly Row[] | string {
  switch (reply) {
    case "value":
      if (answer === null) return [];
      return isText(answer) ? [[columnText(answer)]] : "the answer is no text";
    case "columns":
    case "rows": {
      const list = answer instanceof Set ? [...answer] : answer;
      if (!Array.isArray(list) || !list.every((each) => each === null || isText(each)))
        return "the answer is no list of texts";
      const texts = list.map(columnText);
      return reply === "columns" ? [texts] : texts.map((text) => [text]);
    }
    case "member":
      if (typeof answer !== "number" && typeof answer !== "boolean") return "the answer is neither 0 nor 1";
      // A member has no value; its row only says that it is there.
      return Number(answer) === 0 ? [] : [["1"]];
  }
}

function isText(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || value instanceof Uint8Array;
}
