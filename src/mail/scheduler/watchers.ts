import type { Clock } from "../../foundation/clock.ts";
import { noTrace, type LineTrace } from "../../foundation/line-trace.ts";
import type { Profiler, Profiling } from "../../foundation/profiler.ts";
import type { Action } from "./action.ts";
import type { SchedulerEvent } from "./scheduler.ts";
import type { SchedulerState } from "./state.ts";
import { stepText } from "./replay/step-text.ts";
import { newTallies, noteEvent, noteStep, type Tallies } from "./admin/tallies.ts";

/** Who looks on while the scheduler works: what is counted always, what is traced and measured when somebody asked. */
export class Watchers implements Profiling {
  readonly tallies: Tallies = newTallies();
  /** Set while somebody measures. */
  profiler: Profiler | undefined;
  readonly #clock: Clock;
  readonly #trace: LineTrace;
  #beganAt = 0;

  constructor(clock: Clock, trace: LineTrace = noTrace) {
    this.#clock = clock;
    this.#trace = trace;
  }

  before(s: SchedulerState, event: SchedulerEvent, now: number): void {
    noteEvent(this.tallies, s, event, now);
    if (this.profiler !== undefined) this.#beganAt = this.#clock.monotonicMs();
  }

  after(s: SchedulerState, event: SchedulerEvent, actions: readonly Action[], now: number): void {
    const { profiler } = this;
    if (profiler !== undefined && this.#beganAt > 0) {
      profiler.add(`step ${event.on}`, "us", (this.#clock.monotonicMs() - this.#beganAt) * 1000);
      profiler.add("actions of a step", "n", actions.length);
    }
    this.#beganAt = 0;
    noteStep(this.tallies, s, now);
    if (this.#trace.isOn) this.#trace.show(stepText(event, actions, now));
  }
}
