import type { Random } from "./random.ts";

/** Chance from the machine. */
export const systemRandom: Random = { next: () => Math.random() };
