import { nearestName } from "../service/config/names.ts";
import type { Scenario } from "./scenario.ts";

export interface ScenarioProblem {
  /** Where in the scenario. */
  readonly path: readonly (string | number)[];
  readonly text: string;
}

/** What the parts of a scenario say of each other: names must mean something. */
export function checkScenario(scenario: Scenario): readonly ScenarioProblem[] {
  const { world, workloads, variants, expect } = scenario;
  const problems: ScenarioProblem[] = [];
  const demand = (name: string, known: readonly string[], what: string, path: ScenarioProblem["path"]): void => {
    if (known.includes(name)) return;
    const near = nearestName(name, known);
    problems.push({
      path,
      text: `there is no ${what} ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean ${near}?`}`,
    });
  };
  const hosts = Object.keys(world.hosts);
  const domains = Object.keys(world.domains);
  for (const [name, { mx }] of Object.entries(world.domains))
    for (const [at, { host }] of mx.entries())
      demand(host, hosts, "kind of hosts", ["world", "domains", name, "mx", at, "host"]);
  for (const [name, { to }] of Object.entries(workloads))
    for (const [at, { domain }] of to.entries())
      demand(domain, domains, "kind of domains", ["workloads", name, "to", ...(to.length > 1 ? [at, "domain"] : [])]);
  for (const [name, { without }] of Object.entries(variants))
    for (const [at, workload] of without.entries())
      demand(workload, Object.keys(workloads), "workload", ["variants", name, "without", at]);
  const runs = Object.keys(variants).length === 0 ? ["run"] : Object.keys(variants);
  for (const [at, { run, timesThatOf, figure, atMost, atLeast }] of expect.entries()) {
    if (run !== undefined) demand(run, runs, "variant", ["expect", at, "run"]);
    if (timesThatOf !== undefined) demand(timesThatOf, runs, "variant", ["expect", at, "timesThatOf"]);
    if (atMost === undefined && atLeast === undefined)
      problems.push({ path: ["expect", at], text: "expected atMost or atLeast" });
    const [about = "", kind = ""] = figure.split(".");
    if (about === "host") demand(kind, hosts, "kind of hosts", ["expect", at, "figure"]);
    else if (about !== "all" && about !== "run")
      demand(about, Object.keys(workloads), "workload", ["expect", at, "figure"]);
  }
  return problems;
}
