/**
 * fast-check as the test command gives it to tests: properties draw from the seed that the command names, so that what passed
 * passes again. Why, and where new seeds are drawn: docs/decisions/0037-seeds-and-fuzzing.md.
 *   POSTHORN_SEED    the seed; without it fast-check draws one for each property
 *   POSTHORN_RUNS    how many times its runs each property is given, also where a test says how many it wants
 */
import * as fc from "fast-check";

export * from "fast-check";

const SEED = Number(process.env["POSTHORN_SEED"] ?? Number.NaN);
const TIMES = Number(process.env["POSTHORN_RUNS"] ?? 1);
/** What fast-check does where nobody says how many. */
const ORDINARY_RUNS = 100;

if (Number.isInteger(SEED)) fc.configureGlobal({ seed: SEED });

type Asserted = (property: fc.IRawProperty<unknown>, parameters?: fc.Parameters) => unknown;

function longer(parameters: fc.Parameters = {}): fc.Parameters {
  // A path is one failing case to repeat: as it was.
  if (TIMES === 1 || parameters.path !== undefined) return parameters;
  return { ...parameters, numRuns: Math.ceil((parameters.numRuns ?? ORDINARY_RUNS) * TIMES) };
}

const asserted: Asserted = (property, parameters) => (fc.assert as Asserted)(property, longer(parameters));
const checked: Asserted = (property, parameters) => (fc.check as Asserted)(property, longer(parameters));

export const assert = asserted as typeof fc.assert;
export const check = checked as typeof fc.check;
export default { ...fc, assert, check };
