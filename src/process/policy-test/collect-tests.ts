import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";
import { ownModule } from "../../foundation/own-module.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import type { PolicyTestGiven } from "./policy-test.ts";

/** A test in code that was found, and not run yet. */
export interface CollectedTest {
  readonly name: string;
  readonly given: PolicyTestGiven;
}

const LIBRARY = ownModule("process/library");

let collecting: CollectedTest[] | undefined;
let isInstalled = false;

/** Where `policyTest` leaves its tests while a file is being read; undefined: it was called by another runner. */
export function collector(): { push(test: CollectedTest): void } | undefined {
  return collecting;
}

/** Imports the file, with the names of the library, and gives the tests that it speaks of. */
export async function collectedTests(file: string): Promise<readonly CollectedTest[]> {
  if (!isInstalled) {
    isInstalled = true;
    registerHooks({
      resolve: (specifier, context, next) =>
        specifier === "posthorn" ? { url: LIBRARY.href, shortCircuit: true } : next(specifier, context),
    });
  }
  const tests: CollectedTest[] = [];
  collecting = tests;
  try {
    await import(pathToFileURL(file).href);
  } catch (thrown) {
    throw new PosthornError("USAGE", {
      message: `${file} cannot be run: ${messageOf(thrown)}`,
      advice: "mend the file; `node --test` shows where it fails",
      cause: thrown,
    });
  } finally {
    collecting = undefined;
  }
  return tests;
}
