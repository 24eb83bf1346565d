import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { FilterChain, type ChainWorld } from "./chain.ts";
import { filterDown, filterUp } from "./events.ts";
import type { Filter, FilterFacts, FilterHealth } from "./filter.ts";
import type { FilterSettings } from "./settings.ts";

/** A filter with what the settings say of all kinds, and how it has been doing. */
export interface FilterInUse {
  readonly filter: Filter;
  readonly settings: Pick<FilterSettings, "timeout" | "messageTimeout" | "onFailure" | "maxSize" | "match">;
  readonly trouble: Trouble;
}

/** How a filter has been doing since it was made. Tells when it begins to fail and when it answers again. */
export class Trouble {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #emit: Emit;
  #asked = 0;
  #failures = 0;
  #answeredMs = 0;
  #isDown = false;
  #lastFailure: FilterHealth["lastFailure"];

  constructor(name: string, clock: Clock, emit: Emit) {
    this.#name = name;
    this.#clock = clock;
    this.#emit = emit;
  }

  answered(tookMs: number): void {
    this.#asked++;
    this.#answeredMs += tookMs;
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#emit(filterUp, { filter: this.#name });
  }

  failed(reason: string): void {
    this.#asked++;
    this.#failures++;
    this.#lastFailure = { at: this.#clock.now(), text: reason };
    if (this.#isDown) return;
    this.#isDown = true;
    this.#emit(filterDown, { filter: this.#name, reason });
  }

  /** What the chain saw goes before what the filter says of itself, but for where it is. */
  health(own: FilterHealth): FilterHealth {
    const good = this.#asked - this.#failures;
    return {
      state: this.#isDown ? "down" : this.#asked === 0 ? own.state : "up",
      text: own.text,
      asked: this.#asked,
      failures: this.#failures,
      lastFailure: this.#lastFailure ?? own.lastFailure,
      meanMs: good === 0 ? undefined : this.#answeredMs / good,
    };
  }
}

/** The filters of a server's settings: those of each listener, in their order. */
export class Filters {
  readonly #all: readonly FilterInUse[];
  readonly #at: ReadonlyMap<string, readonly FilterInUse[]>;
  readonly #common: readonly FilterInUse[];
  readonly #world: ChainWorld;

  constructor(
    all: readonly FilterInUse[],
    use: {
      readonly common: readonly string[];
      /** Of listeners that have their own list. */
      readonly listeners: ReadonlyMap<string, readonly string[]>;
    },
    world: ChainWorld,
  ) {
    const byName = new Map(all.map((used) => [used.filter.name, used]));
    const named = (names: readonly string[]): readonly FilterInUse[] => names.flatMap((name) => byName.get(name) ?? []);
    this.#all = all;
    this.#common = named(use.common);
    this.#at = new Map([...use.listeners].map(([listener, names]) => [listener, named(names)]));
    this.#world = world;
  }

  isUsedAt(listener: string): boolean {
    return this.#filtersAt(listener).length > 0;
  }

  /** Undefined where nobody is asked: such a session costs nothing. */
  open(listener: string, facts: () => FilterFacts): FilterChain | undefined {
    const filters = this.#filtersAt(listener);
    return filters.length === 0 ? undefined : new FilterChain(filters, facts(), this.#world);
  }

  #filtersAt(listener: string): readonly FilterInUse[] {
    return this.#at.get(listener) ?? this.#common;
  }

  health(): readonly (FilterHealth & { readonly name: string })[] {
    return this.#all.map(({ filter, trouble }) => ({ name: filter.name, ...trouble.health(filter.health()) }));
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#all.map(({ filter }) => filter.close()));
  }
}
