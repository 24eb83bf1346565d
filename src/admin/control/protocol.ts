import { messageOf, PosthornError } from "../../foundation/error.ts";
import { refused, type Result } from "../../foundation/result.ts";

/**
 * What is spoken on the control sockets: a JSON object a line, UTF-8, requests answered in order.
 *
 *     → {"v":1,"id":7,"do":"queue.count","with":{}}
 *     ← {"id":7,"items":[…]}            any number of times, for lists and streams
 *     ← {"id":7,"items":[]}             every 5 s while the answer is not there: a sign of life
 *     ← {"id":7,"ok":true,"value":…}    the end; `value` is absent where items were the answer
 *     ← {"id":7,"ok":false,"error":{"code":"USAGE","message":"…","advice":"…"}}
 *
 * A stream without an end (`tail`) ends when the client closes the connection.
 */
export const CONTROL_VERSION = 1;
export const LONGEST_REQUEST = 64 * 1024;
/** Answers are longer than requests, but never without a bound: a portion of a list is one line. */
export const LONGEST_ANSWER = 16 * 1024 * 1024;

export interface Request {
  readonly id: number;
  readonly do: string;
  readonly with: unknown;
}

export interface ControlError {
  readonly code: string;
  readonly message: string;
  readonly advice: string;
}

export type Answer =
  | { readonly id: number; readonly items: readonly unknown[] }
  | { readonly id: number; readonly ok: true; readonly value?: unknown }
  | { readonly id: number; readonly ok: false; readonly error: ControlError };

/** Reads a request. A refusal carries the id where there was one, so that the client knows which. */
export function parseRequest(line: string): Result<Request, { readonly id: number; readonly error: ControlError }> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (thrown) {
    return refused({ id: 0, error: usage(`the request is no JSON: ${messageOf(thrown)}`) });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    return refused({ id: 0, error: usage("the request is no JSON object") });
  const { v, id, do: operation, with: args } = parsed as Readonly<Record<string, unknown>>;
  if (typeof id !== "number" || !Number.isSafeInteger(id))
    return refused({ id: 0, error: usage("the request has no number as its id") });
  if (v !== CONTROL_VERSION)
    return refused({
      id,
      error: usage(`the request speaks version ${JSON.stringify(v)}, the server ${CONTROL_VERSION}`),
    });
  if (typeof operation !== "string") return refused({ id, error: usage("the request does not say what to do") });
  return { ok: true, value: { id, do: operation, with: args } };
}

function usage(message: string): ControlError {
  return { code: "USAGE", message, advice: "use a client of the same version as the server" };
}

export function errorOf(thrown: unknown): ControlError {
  if (thrown instanceof PosthornError) return { code: thrown.code, message: thrown.message, advice: thrown.advice };
  return { code: "FAILED", message: messageOf(thrown), advice: "the server's log may say more" };
}

/** Cuts a stream of text into lines, each within a bound. Any cut of the input gives the same lines. */
export class LineSplitter {
  readonly #longest: number;
  #rest = "";

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** The lines that are whole now, without their ends; undefined when one is too long, and then for good. */
  push(text: string): readonly string[] | undefined {
    // A long line comes in many pieces; what is known to hold no end is not looked through again.
    if (!text.includes("\n")) {
      this.#rest += text;
      return this.#rest.length > this.#longest ? undefined : [];
    }
    const lines = text.split("\n");
    lines[0] = this.#rest + (lines[0] ?? "");
    this.#rest = lines.pop() ?? "";
    return [...lines, this.#rest].some((line) => line.length > this.#longest) ? undefined : lines;
  }
}
