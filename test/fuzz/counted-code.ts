import { registerHooks } from "node:module";
import { COUNTERS, instrument } from "./instrument.ts";
import type { Counters } from "./search.ts";

/** From here on, modules of `src/` are loaded with counters in their branches; `literals` are what they compare with. */
export interface CountedCode extends Counters {
  readonly literals: readonly string[];
}

/** The whole of `src/` has some 60,000 branches. */
const MOST_COUNTERS = 262_144;
const SOURCES = new URL("../../src/", import.meta.url).href;
/** Words of the languages of the tests' own machinery are no words of what is tested. */
const WITHOUT_LITERALS = /\/src\/(?:testing|foundation)\/|\/(?:settings|events)\.ts$/;

export function countCode(): CountedCode {
  const counts = new Uint32Array(MOST_COUNTERS);
  Object.defineProperty(globalThis, COUNTERS, { value: counts });
  const literals = new Set<string>();
  let used = 0;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.startsWith(SOURCES) || !url.endsWith(".ts") || loaded.source === undefined) return loaded;
      const text =
        typeof loaded.source === "string" ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString();
      const instrumented = instrument(url, text, used);
      used += instrumented.counters;
      if (used > MOST_COUNTERS) throw new Error("more branches than counters");
      if (!WITHOUT_LITERALS.test(url)) for (const literal of instrumented.literals) literals.add(literal);
      return { ...loaded, source: instrumented.code };
    },
  });
  return {
    counts,
    used: () => used,
    get literals() {
      return [...literals];
    },
  };
}
