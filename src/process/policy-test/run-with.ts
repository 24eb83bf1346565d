import { AssertionError } from "node:assert";
import { z } from "zod";
import { expectationSettings, trialShape } from "./case.ts";
import { differences } from "./expectation.ts";
import { parseValue } from "./parse-value.ts";
import type { PolicyServer, PolicyTestGiven } from "./policy-test.ts";
import { holdTrial } from "./trial.ts";
import type { TrialRoom } from "./trial-room.ts";

const trialSettings = z.strictObject(trialShape);

/** Runs a test in code in a room that is open. Throws for whatever is not as it should be. */
export async function runWith(given: PolicyTestGiven, room: TrialRoom): Promise<void> {
  const server: PolicyServer = {
    async session(trial) {
      const found = await holdTrial(room, read(trialSettings, trial, "trial"));
      if (found.unexpected.length > 0)
        throw failure(
          found.unexpected.map((asked) => `the network would have been asked, and the trial says no answer: ${asked}`),
        );
      return found;
    },
    async expect(trial, expected) {
      const wanted = read(expectationSettings, expected, "expect");
      const found = await server.session(trial);
      const list = differences(wanted, found);
      if (list.length > 0)
        throw failure(list.map(({ what, expected: hoped, found: is }) => `${what}: expected ${hoped}, found ${is}`));
      return found;
    },
  };
  if (typeof given === "function") return await given(server);
  const { expect, ...trial } = given;
  await server.expect(trial, expect);
  return undefined;
}

function read<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.output<Schema> {
  const parsed = parseValue(schema, value, what);
  if (!parsed.ok) throw failure(parsed.problem);
  return parsed.value;
}

function failure(lines: readonly string[]): AssertionError {
  return new AssertionError({ message: lines.join("\n") });
}
