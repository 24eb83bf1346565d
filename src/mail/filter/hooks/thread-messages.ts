import type { FilterFacts, FilterQuestion, FilterStage, MailFacts, StageVerdict } from "../filter.ts";
import type { HookMailVerdict } from "./read-answer.ts";

/** What passes between a filter and the thread of its hooks. All of it is plain data; content goes piece by piece. */
export type ToHooks =
  | {
      readonly do: "ask";
      readonly id: number;
      readonly dialogue: number;
      readonly now: number;
      readonly question: FilterQuestion;
    }
  | {
      readonly do: "judge";
      readonly id: number;
      readonly dialogue: number;
      readonly now: number;
      readonly facts: FilterFacts & { readonly mail: MailFacts };
      readonly trace: string;
      readonly header: Uint8Array;
      readonly sizeBytes: number;
    }
  /** The next piece of a body that is being read, its end, or why there is none. */
  | { readonly do: "piece"; readonly read: number; readonly bytes?: Uint8Array | undefined; readonly failure?: string }
  /** A piece of a new body has its place, so the next may come; or it has none. */
  | { readonly do: "taken"; readonly id: number; readonly failure?: string | undefined }
  /** Nobody waits for this answer any more. */
  | { readonly do: "cancel"; readonly id: number }
  | { readonly do: "end"; readonly dialogue: number }
  | { readonly do: "ping" };

export type FromHooks =
  | { readonly say: "ready"; readonly stages: readonly FilterStage[] }
  | { readonly say: "unusable"; readonly text: string }
  | { readonly say: "verdict"; readonly id: number; readonly verdict: StageVerdict }
  /** Whether a new body follows, in pieces. */
  | { readonly say: "judged"; readonly id: number; readonly verdict: ThreadMailVerdict }
  | { readonly say: "failed"; readonly id: number; readonly text: string; readonly advice: string }
  /** The next piece of the body of the mail that is judged as `id`. */
  | { readonly say: "want"; readonly id: number; readonly read: number }
  | { readonly say: "enough"; readonly read: number }
  /** A piece of the new body at that place among the edits; without bytes its end. */
  | { readonly say: "piece"; readonly id: number; readonly at: number; readonly bytes?: Uint8Array | undefined }
  | { readonly say: "strayed"; readonly text: string }
  | { readonly say: "pong" };

export type ThreadEdit =
  | Exclude<HookMailVerdict["edits"][number], { edit: "new-body" }>
  | { readonly edit: "new-body" };

/** New bodies have come before it, in the order of the edits. */
export type ThreadMailVerdict = Omit<HookMailVerdict, "edits"> & { readonly edits: readonly ThreadEdit[] };

export interface HookThreadTask {
  readonly file: string;
  readonly within?: readonly string[] | undefined;
}
