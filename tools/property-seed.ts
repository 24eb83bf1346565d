/**
 * Loaded before the tests (`node --import`): where one imports fast-check, it gets `seeded-fast-check.ts`. By a hook, since files
 * without properties should not pay for loading it, and no test has to know.
 */
import { registerHooks } from "node:module";

const seeded = new URL("seeded-fast-check.ts", import.meta.url).href;
registerHooks({
  resolve: (specifier, context, nextResolve) =>
    specifier === "fast-check" && context.parentURL !== seeded
      ? { url: seeded, format: "module-typescript", shortCircuit: true }
      : nextResolve(specifier, context),
});
