/**
 * `posthorn/simulator`: what scenarios and tests outside of this package import. A scenario's file needs `defineScenario`
 * only; a test plays one with `runExperiment(scenarioOf(…))` and looks at the report.
 */
export { runExperiment, type ExperimentOptions, type Report, type RunReport } from "./experiment.ts";
export type { Figures, MailFigures } from "./figures.ts";
export type { Judgement } from "./judge.ts";
export { plotOf } from "./plot.ts";
export { reportText } from "./report-text.ts";
export { defineScenario, scenarioOf, type Scenario, type WrittenScenario } from "./scenario.ts";
