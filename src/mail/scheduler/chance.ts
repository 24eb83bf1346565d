import { seededRandom, type Random } from "../../foundation/random.ts";

/** The core's chance: drawn from a number in its state, so that a copy of the state goes on the same way. */
export function chanceOf(state: { seed: number }): Random {
  return {
    next() {
      const value = seededRandom(state.seed).next();
      // The generator's own step, so that all draws together are one sequence of full length.
      state.seed = (state.seed + 0x6d2b79f5) >>> 0;
      return value;
    },
  };
}
