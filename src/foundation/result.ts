/**
 * The outcome of something that may be refused: a parser's answer, a lookup, a check.
 * Refusals are data here; only a machine that let us down throws (`error.ts`), and only a bug asserts (`assert.ts`).
 */
export type Result<Value, Refusal> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problem: Refusal };

/** What a parser says of input it refuses: the offset (in the unit of the input) and what would have been right. */
export interface Problem {
  readonly at: number;
  readonly expected: string;
}

export function ok<Value>(value: Value): { readonly ok: true; readonly value: Value } {
  return { ok: true, value };
}

export function refused<Refusal>(problem: Refusal): { readonly ok: false; readonly problem: Refusal } {
  return { ok: false, problem };
}
