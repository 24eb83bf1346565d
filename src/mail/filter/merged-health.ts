import type { FilterHealth } from "./filter.ts";

/** A filter and how it does, as the operator sees it. */
export interface ShownFilter extends FilterHealth {
  readonly name: string;
}

/** How the filters do that several processes have: what was counted together, and down when it is so for one of them. */
export function mergedHealth(processes: readonly (readonly ShownFilter[])[]): readonly ShownFilter[] {
  const merged = new Map<string, ShownFilter>();
  for (const one of processes.flat()) {
    const other = merged.get(one.name);
    merged.set(one.name, other === undefined ? one : together(other, one));
  }
  return [...merged.values()];
}

function together(a: ShownFilter, b: ShownFilter): ShownFilter {
  const good = (one: ShownFilter): number => one.asked - one.failures;
  const sum = good(a) + good(b);
  const last = [a.lastFailure, b.lastFailure].flatMap((one) => one ?? []).toSorted((x, y) => y.at - x.at)[0];
  const states = [a.state, b.state];
  return {
    name: a.name,
    state: states.includes("down") ? "down" : states.includes("up") ? "up" : "untried",
    text: a.text,
    asked: a.asked + b.asked,
    failures: a.failures + b.failures,
    ...(last === undefined ? {} : { lastFailure: last }),
    ...(sum === 0 ? {} : { meanMs: ((a.meanMs ?? 0) * good(a) + (b.meanMs ?? 0) * good(b)) / sum }),
  };
}
