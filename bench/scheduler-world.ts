import type { Outcome } from "../src/mail/delivery/delivery.ts";
import type { Failure } from "../src/mail/envelope/failure.ts";
import type { LoadedEnvelope } from "../src/mail/queue/store.ts";
import { reply } from "../src/protocol/smtp/reply.ts";
import type { Action } from "../src/mail/scheduler/action.ts";
import { step, type SchedulerEvent } from "../src/mail/scheduler/scheduler.ts";
import type { SchedulerState } from "../src/mail/scheduler/state.ts";

/**
 * A world around the scheduler's core without sockets, promises and a store: each action is answered by the event that
 * would come of it, at once or after a time of its own, in virtual time. It keeps nothing of what it answered, so that
 * what is measured is the core.
 */
export interface WorldOptions {
  readonly connectMs?: number;
  readonly transactMs?: number;
  /** Undefined: taken. */
  readonly failureOf?: (envelope: string) => Failure | undefined;
  /** Envelopes that come in the place of one that left the queue. */
  readonly replacement?: () => readonly LoadedEnvelope[];
  readonly onDelivered?: (envelope: string, now: number) => void;
  /** After each step: which event it was, and how long the step took. */
  readonly onStep?: (event: SchedulerEvent, tookMs: number, actions: readonly Action[]) => void;
}

/** Steps at one virtual millisecond, so that time passes even where everything is answered at once. */
const STEPS_IN_A_MS = 100;

export class World {
  readonly state: SchedulerState;
  now: number;
  steps = 0;
  /** While true hosts are not found: what is ready stays so. */
  holdsAnswers = false;
  readonly #options: WorldOptions;
  /** Events in the order of their instants: each kind of answer takes a time of its own, so each line is sorted. */
  readonly #lines: readonly Line[] = [newLine(), newLine(), newLine()];
  readonly #held: SchedulerEvent[] = [];
  #timerAt = Infinity;

  constructor(state: SchedulerState, now: number, options: WorldOptions = {}) {
    this.state = state;
    this.now = now;
    this.#options = options;
  }

  /** Hands an event over now, and obeys what comes of it. */
  post(event: SchedulerEvent): void {
    const startedAt = performance.now();
    const actions = step(this.state, event, this.now);
    this.#options.onStep?.(event, performance.now() - startedAt, actions);
    for (const action of actions) this.#obey(action);
    if (++this.steps % STEPS_IN_A_MS === 0) this.now++;
  }

  release(): void {
    this.holdsAnswers = false;
    for (const event of this.#held.splice(0)) this.#answer(0, 0, event);
  }

  /** The next answer or timer; false when nothing will ever happen again. */
  advance(): boolean {
    let next: Line | undefined;
    for (const line of this.#lines) {
      const at = line.events[line.from]?.at;
      if (at !== undefined && (next === undefined || at < (next.events[next.from]?.at ?? Infinity))) next = line;
    }
    const at = next?.events[next.from]?.at ?? Infinity;
    if (this.#timerAt === Infinity && at === Infinity) return false;
    if (this.#timerAt < at) {
      this.now = Math.max(this.now, this.#timerAt);
      this.#timerAt = Infinity;
      this.post({ on: "timer" });
      return true;
    }
    const event = next === undefined ? undefined : takeFrom(next);
    this.now = Math.max(this.now, at);
    if (event !== undefined) this.post(event);
    return true;
  }

  #answer(line: 0 | 1 | 2, afterMs: number, event: SchedulerEvent): void {
    this.#lines[line]?.events.push({ at: this.now + afterMs, event });
  }

  #obey(action: Action): void {
    const { connectMs = 0, transactMs = 0 } = this.#options;
    switch (action.do) {
      case "resolve": {
        const answers = action.requests.map(({ target }) => ({
          ok: true as const,
          hosts: [hostOf("domain" in target ? target.domain : "smarthost.example")],
          freshUntilAt: this.now + 3_600_000,
        }));
        const event = { on: "resolved", relay: action.relay, answers } as const;
        if (this.holdsAnswers) this.#held.push(event);
        else this.#answer(0, 0, event);
        return;
      }
      case "connect": {
        const { session, host } = action.request;
        const facts = { host: `${host.name}[${"ip" in host.address ? host.address.ip : ""}]:25`, extensions: [] };
        const connected = { ok: true, session, facts, tookMs: connectMs } as const;
        this.#answer(1, connectMs, { on: "connected", session, connected });
        return;
      }
      case "transact": {
        const { session } = action;
        const relay = this.state.sessions.get(session)?.route.text ?? "none";
        const outcomes = action.envelopes.map((id) => this.#outcomeOf(id, relay, transactMs));
        this.#answer(2, transactMs, { on: "transacted", session, transacted: { outcomes, isUsable: true } });
        return;
      }
      case "write": {
        this.#answer(0, 0, { on: "written", write: action.write });
        for (const operation of action.operations) {
          if (operation.do !== "remove") continue;
          const envelopes = this.#options.replacement?.() ?? [];
          if (envelopes.length > 0) this.#answer(0, 0, { on: "queued", envelopes });
        }
        return;
      }
      case "timer":
        this.#timerAt = action.at;
        return;
      // Nobody hears of these here.
      case "answer":
      case "deliver":
      case "leave":
      case "note":
      case "tell":
    }
  }

  #outcomeOf(envelope: string, relay: string, tookMs: number): Outcome {
    const failure = this.#options.failureOf?.(envelope);
    if (failure !== undefined) return { kind: "failed", envelope, relay, failure, tookMs };
    this.#options.onDelivered?.(envelope, this.now + tookMs);
    const taken = { status: "2.0.0", text: "250 2.0.0 Ok: queued", dsnPassedOn: true, isFinal: false } as const;
    return { kind: "delivered", envelope, relay, tookMs, ...taken };
  }
}

interface Line {
  events: { readonly at: number; readonly event: SchedulerEvent }[];
  from: number;
}

function newLine(): Line {
  return { events: [], from: 0 };
}

function takeFrom(line: Line): SchedulerEvent | undefined {
  const taken = line.events[line.from++]?.event;
  if (line.from > 1000 && line.from * 2 > line.events.length) {
    line.events = line.events.slice(line.from);
    line.from = 0;
  }
  return taken;
}

/** Some thousand hosts serve all domains, as big receivers do. */
function hostOf(domain: string): { name: string; address: { ip: string; port: number }; preference: number } {
  let hash = 0;
  for (let at = 0; at < domain.length; at++) hash = (hash * 31 + domain.charCodeAt(at)) >>> 0;
  const ip = `10.${hash % 8}.${(hash >>> 8) % 256}.${(hash >>> 16) % 4}`;
  return { name: `mx.${domain}`, address: { ip, port: 25 }, preference: 10 };
}

export const greylisted: Failure = {
  lasting: "temporary",
  status: "4.2.0",
  cause: { kind: "reply", during: "RCPT" },
  reply: reply(450, "4.2.0", "Greylisted, please try again later"),
};
