import type { TopicAdmin, TopicShown } from "../admin/control/admin.ts";
import type { Clock, Timer } from "../foundation/clock.ts";
import type { Emit } from "../foundation/events.ts";
import type { LineTrace, TraceTopic } from "../foundation/line-trace.ts";
import * as events from "./events.ts";

/** A trace that holds, as every process is told of it. */
export type TopicSwitch = TopicShown;

/** The most that hold at once; the oldest goes when one more is set. */
const MOST_TOPICS = 20;

/**
 * The traces of one process: which hold, and where their lines go. Whoever has something to show asks a flag first, which
 * is set only while a trace holds.
 */
export class Topics {
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #traces = new Map<TraceTopic, Topic>();
  #timer: Timer | undefined;

  constructor(clock: Clock, emit: Emit) {
    this.#clock = clock;
    this.#emit = emit;
  }

  of(topic: TraceTopic): LineTrace {
    return this.#topic(topic);
  }

  /** All that hold now; those before that are not among them have ended. */
  take(switches: readonly TopicSwitch[]): void {
    this.#timer?.cancel();
    const now = this.#clock.now();
    const holding = switches.filter(({ untilAt }) => untilAt > now);
    for (const topic of new Set([...this.#traces.keys(), ...holding.map((one) => one.topic)]))
      this.#topic(topic).filters = filtersOf(holding.filter((one) => one.topic === topic));
    if (holding.length === 0) return;
    const nextMs = Math.min(...holding.map(({ untilAt }) => untilAt)) - now;
    this.#timer = this.#clock.after(nextMs, () => this.take(holding));
  }

  close(): void {
    this.#timer?.cancel();
  }

  #topic(topic: TraceTopic): Topic {
    let trace = this.#traces.get(topic);
    if (trace === undefined) {
      trace = new Topic((shown) => this.#emit(events.traceLine, { topic, shown }));
      this.#traces.set(topic, trace);
    }
    return trace;
  }
}

/** Undefined: off. None: every line. */
function filtersOf(switches: readonly TopicSwitch[]): readonly string[] | undefined {
  if (switches.length === 0) return undefined;
  const filters = switches.flatMap(({ filter }) => (filter === undefined ? [] : [filter.toLowerCase()]));
  return filters.length < switches.length ? [] : filters;
}

class Topic implements LineTrace {
  filters: readonly string[] | undefined;
  readonly #tell: (line: string) => void;

  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  get isOn(): boolean {
    return this.filters !== undefined;
  }

  show(line: string): void {
    const { filters } = this;
    if (filters === undefined) return;
    const lower = filters.length === 0 ? "" : line.toLowerCase();
    if (filters.length === 0 || filters.some((filter) => lower.includes(filter))) this.#tell(line);
  }
}

/** The switches, kept by the server's first process until they end; `tell` gives all that hold to every process. */
export class TopicTraces implements TopicAdmin {
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #tell: (switches: readonly TopicSwitch[]) => void;
  #switches: readonly TopicSwitch[] = [];
  /** Whom to tell that the trace they look at is gone. */
  readonly #followers = new Map<TopicSwitch, () => void>();

  constructor(parts: { clock: Clock; emit: Emit; tell: (switches: readonly TopicSwitch[]) => void }) {
    this.#clock = parts.clock;
    this.#emit = parts.emit;
    this.#tell = parts.tell;
  }

  get switches(): readonly TopicSwitch[] {
    return this.#switches;
  }

  async set({ topic, filter, forMs, onGone }: Parameters<TopicAdmin["set"]>[0]): Promise<TopicShown> {
    const made: TopicSwitch = { topic, filter, untilAt: this.#clock.now() + forMs };
    const isReplaced = (one: TopicSwitch): boolean =>
      onGone === undefined && one.topic === topic && one.filter === filter && !this.#followers.has(one);
    const others = this.#holding().filter((one) => !isReplaced(one));
    if (onGone !== undefined) this.#followers.set(made, onGone);
    this.#replace([...others, made].slice(-MOST_TOPICS));
    this.#emit(events.topicTraced, made);
    return made;
  }

  async remove(topic: TraceTopic | undefined): Promise<{ readonly removed: number }> {
    const before = this.#holding();
    const left = topic === undefined ? [] : before.filter((one) => one.topic !== topic);
    const removed = before.length - left.length;
    if (removed === 0) return { removed };
    this.#replace(left);
    this.#emit(events.topicTraceEnded, { topic: topic ?? "nothing more" });
    return { removed };
  }

  async end(ended: TopicShown): Promise<void> {
    this.#followers.delete(ended);
    this.#replace(this.#holding().filter((one) => one !== ended));
  }

  async list(): Promise<readonly TopicShown[]> {
    return this.#holding();
  }

  #holding(): readonly TopicSwitch[] {
    const now = this.#clock.now();
    return this.#switches.filter(({ untilAt }) => untilAt > now);
  }

  #replace(next: readonly TopicSwitch[]): void {
    this.#switches = next;
    this.#tell(next);
    for (const [one, onGone] of this.#followers) {
      if (next.includes(one)) continue;
      this.#followers.delete(one);
      onGone();
    }
  }
}
