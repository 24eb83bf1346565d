import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { CaseOutcome } from "./policy-world.ts";

export const policyTest: CliCommand = {
  name: "test",
  operands: "[FILE]…",
  leastOperands: 0,
  mostOperands: 1000,
  says: "Tries made-up sessions against the settings, without network, and compares what becomes of them with what should.",
  explains:
    "FILE is a list of cases (cases.yaml) or a test in code (NAME.policy.test.ts); without one, those are run that lie beside the settings. The parts of the server that decide are the real ones: session, restrictions, rules, aliases, hooks. What would need the network (DNS, databases, filters) is answered by the case, and else an error that says what would have been asked. Exits with 1 when something is not as expected.",
  options: {
    json: { says: "As one JSON object." },
    quiet: { says: "Only what is not as expected, and the count.", short: "q" },
  },
  async run(given, world) {
    const isJson = given.has("json");
    const tell = (outcome: CaseOutcome): void => {
      if (isJson || (outcome.isPassed && given.has("quiet"))) return;
      for (const line of linesOf(outcome)) world.stdout.write(`${escapeControls(line)}\n`);
    };
    const { outcomes, settings } = await world.testPolicy(
      { settingsFile: given.settingsFile, files: given.operands },
      tell,
    );
    const failed = outcomes.filter(({ isPassed }) => !isPassed).length;
    const tried = settings.map((file) => file ?? "built-in settings");
    if (isJson) world.stdout.write(`${harmlessJson({ cases: outcomes.length, failed, settings: tried, outcomes })}\n`);
    else if (outcomes.length === 0) world.stdout.write("there are no cases\n");
    else
      world.stdout.write(
        escapeControls(
          `${outcomes.length} ${outcomes.length === 1 ? "case" : "cases"}, ${failed} failed; tried with ${tried.join(", ")}`,
        ) + "\n",
      );
    return failed === 0 && outcomes.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function linesOf({ where, name, isPassed, differences, unexpected, problem }: CaseOutcome): readonly string[] {
  if (isPassed) return [`ok    ${where}  ${name}`];
  return [
    `FAIL  ${where}  ${name}`,
    ...differences.map(({ what, expected, found }) => `        ${what}: expected ${expected}, found ${found}`),
    ...unexpected.map((asked) => `        the network would have been asked, and the case says no answer: ${asked}`),
    ...(problem === undefined ? [] : problem.split("\n").map((line) => `        ${line}`)),
  ];
}
