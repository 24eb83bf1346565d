import { nearestName } from "../../../service/config/names.ts";
import type { FilterFacts, FilterStage, MailFacts } from "../filter.ts";
import type { HookMessage } from "./message.ts";
import type {
  HookEffect,
  MailEffect,
  MessageEffect,
  RcptEffect,
  SessionEffect,
  HeloEffect,
  SenderEffect,
} from "./effects.ts";

/**
 * Hooks: code of the operator's own that has a say in sessions, written in TypeScript.
 *
 * A hook is a function for a stage of the dialogue. It gets what is known and says what is to be done, with the words of
 * `effects.ts`; nothing said means that there is nothing against it. It may wait for something, within the filter's
 * timeout. One that throws, hangs or says what makes no sense decides nothing: the filter's `onFailure` does.
 *
 * The same hooks run in the process that speaks with the client (`module-filter.io.ts`) or in a thread of their own
 * (`thread-filter.io.ts`), which may be stopped in the middle of an endless loop.
 */
export interface Hooks {
  /** A client has come and was not greeted yet. */
  readonly onConnect?: ((event: HookEvent) => Said<SessionEffect>) | undefined;
  readonly onHelo?: ((event: HeloEvent) => Said<HeloEffect>) | undefined;
  /** A login succeeded. */
  readonly onAuth?: ((event: AuthEvent) => Said<SessionEffect>) | undefined;
  readonly onMail?: ((event: MailEvent) => Said<SenderEffect>) | undefined;
  /** Asked only of recipients that restrictions and rules accept. */
  readonly onRcpt?: ((event: RcptEvent) => Said<RcptEffect>) | undefined;
  /** The client wants to send the content. */
  readonly onData?: ((event: DataEvent) => Said<MailEffect>) | undefined;
  /** The content has come whole; nothing of it was answered yet. */
  readonly onMessage?: ((message: HookMessage) => Said<MessageEffect>) | undefined;
}

/** One effect, several, or nothing; at once or later. */
export type Said<Effect extends HookEffect> = Answer<Effect> | Promise<Answer<Effect>>;
// A function without a return statement has the type void, and says nothing.
// oxlint-disable-next-line typescript/no-invalid-void-type
type Answer<Effect> = Effect | readonly Effect[] | undefined | void;

export interface HookEvent {
  /** Where the session stands. */
  readonly session: FilterFacts;
  /** For whatever the hooks want to keep between the stages of one session. Gone with it. */
  readonly state: Record<string, unknown>;
  /** The server's time, in milliseconds since the epoch; `posthorn test` may make it another one. */
  readonly now: number;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

export interface HeloEvent extends HookEvent {
  readonly verb: "HELO" | "EHLO" | "LHLO";
  readonly name: string;
}

export interface AuthEvent extends HookEvent {
  readonly account: string;
}

export interface MailEvent extends HookEvent {
  readonly mail: MailFacts;
  /** `""` for the null sender. */
  readonly sender: string;
}

export interface RcptEvent extends HookEvent {
  /** Its recipients are those that were accepted before this one. */
  readonly mail: MailFacts;
  readonly recipient: string;
  readonly parameters: readonly string[];
}

export interface DataEvent extends HookEvent {
  readonly mail: MailFacts;
}

/** What code in a settings file is known by; see `code.ts` of the settings' reader. */
const CODE = Symbol.for("posthorn.code");

/** For hooks in a module (`export default defineHooks({ … })`) or in `posthorn.config.ts`: gives the editor the types. */
export function defineHooks(hooks: Hooks): Hooks {
  if (Object.isExtensible(hooks)) Object.defineProperty(hooks, CODE, { value: true });
  return hooks;
}

export const HOOK_OF = {
  connect: "onConnect",
  helo: "onHelo",
  auth: "onAuth",
  mail: "onMail",
  rcpt: "onRcpt",
  data: "onData",
  message: "onMessage",
} as const satisfies Readonly<Record<FilterStage, keyof Hooks>>;

const STAGE_OF: ReadonlyMap<string, FilterStage> = new Map(
  Object.entries(HOOK_OF).map(([stage, hook]) => [hook, stage as FilterStage]),
);

export function stagesOf(hooks: Hooks): ReadonlySet<FilterStage> {
  return new Set(
    Object.entries(HOOK_OF).flatMap(([stage, hook]) => (hooks[hook] === undefined ? [] : [stage as FilterStage])),
  );
}

/** What a module gave for hooks, looked at: one line about what is wrong with it, or nothing. */
export function problemOfHooks(given: unknown): string | undefined {
  if (typeof given !== "object" || given === null)
    return "has no hooks to give; write `export default defineHooks({ … })`";
  const entries = Object.entries(given);
  if (entries.length === 0)
    return "has no hook; it may have onConnect, onHelo, onAuth, onMail, onRcpt, onData, onMessage";
  for (const [name, value] of entries) {
    if (!STAGE_OF.has(name)) {
      const known = [...STAGE_OF.keys()];
      const nearest = nearestName(name, known);
      return `has ${name}, and no hook is called so; ${nearest === undefined ? `there are ${known.join(", ")}` : `did you mean ${nearest}?`}`;
    }
    if (value !== undefined && typeof value !== "function") return `has ${name}, which is no function`;
  }
  return undefined;
}
