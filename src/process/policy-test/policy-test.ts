import type { ExpectationInput, TrialInput } from "./case.ts";
import { collector } from "./collect-tests.ts";
import type { Found } from "./trial.ts";

/** A case in code: what a case of `cases.yaml` has, or a function that holds sessions and looks at what came of them. */
export type PolicyTestGiven =
  | (TrialInput & { readonly expect: ExpectationInput })
  | ((server: PolicyServer) => void | Promise<void>);

export interface PolicyServer {
  /** Holds a made-up session. Throws where the network would have been asked and the trial says no answer. */
  readonly session: (trial: TrialInput) => Promise<Found>;
  /** Holds one, and throws for all that is not as expected. */
  readonly expect: (trial: TrialInput, expected: ExpectationInput) => Promise<Found>;
}

/**
 * A test of the settings: run by `posthorn test`, or by `node --test` with the settings' file in POSTHORN_SETTINGS (else those
 * that are found where it is run).
 */
export function policyTest(name: string, given: PolicyTestGiven): void {
  const collecting = collector();
  if (collecting !== undefined) return collecting.push({ name, given });
  const { test } = process.getBuiltinModule("node:test");
  void test(name, async () => {
    const { roomFromEnvironment } = await import("./room-from-environment.ts");
    const { runWith } = await import("./run-with.ts");
    await using room = await roomFromEnvironment();
    await runWith(given, room);
  });
  return undefined;
}
