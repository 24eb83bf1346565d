import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { SimulationRequest } from "../admin/cli/world.ts";
import { PosthornError } from "../foundation/error.ts";
import type { Report } from "../simulator/experiment.ts";
import { listSimulations, simulate } from "./simulate.ts";

const directory = mkdtempSync(join(tmpdir(), "posthorn-simulate-"));
after(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function play(scenario: string, more: Partial<SimulationRequest> = {}): Promise<Report> {
  const answer = await simulate(
    {
      scenario,
      settingsFile: undefined,
      seed: undefined,
      set: {},
      compare: undefined,
      variant: undefined,
      size: "small",
      ...more,
    },
    () => {},
  );
  return answer.report as Report; // the CLI passes it on as it is
}

const YAML = `
says: A slow host.
until: 2h
world:
  hosts:
    mx: { latency: 1s, closes-after: 50 }
  domains:
    there: { mx: [{ host: mx }] }
workloads:
  mail: { mails: 100, to: there }
settings:
  route: { limits: { mails-per-session: 10 } }
expect:
  - { what: it arrives, figure: mail.deliveredShare, at-least: 1 }
`;

test("a scenario in YAML is played with names as YAML has them", async () => {
  const report = await play(file("slow.yaml", YAML));
  assert.equal(report.isFine, true);
  assert.equal(report.says, "A slow host.");
  assert.equal(report.runs[0]?.figures.all.delivered, 100);
});

test("a scenario in TypeScript is played", async () => {
  const path = file(
    "slow.ts",
    `import { defineScenario } from "posthorn/simulator";
     export default defineScenario({
       world: { hosts: { mx: {} }, domains: { there: { mx: [{ host: "mx" }] } } },
       workloads: { mail: { mails: 3, to: "there" } },
     });`,
  );
  assert.equal((await play(path)).runs[0]?.figures.all.delivered, 3);
});

test("the settings of an installation are tried, and single ones besides", async () => {
  const scenario = file("plain.yaml", YAML);
  const connections = async (more: Partial<SimulationRequest>): Promise<number> =>
    (await play(scenario, more)).runs[0]?.figures.run.connections ?? 0;
  assert.ok((await connections({})) >= 10, "ten mails a session");
  const settingsFile = file(
    "posthorn.yaml",
    "hostname: mail.example\nlisteners: []\nroute:\n  limits: { mails-per-session: 100, host: 1 }\n",
  );
  const withFile = await connections({ settingsFile });
  assert.ok(withFile <= 4, `${withFile}`);
  assert.ok((await connections({ settingsFile, set: { "route.limits.mails-per-session": 5 } })) >= 20);
});

test("settings in code import from posthorn what the server lets them import", async () => {
  const settingsFile = file(
    "posthorn.config.ts",
    `import { accept, defineConfig, defineHooks } from "posthorn";
     export default defineConfig({
       hostname: ["mail", "example"].join("."),
       route: { limits: { host: 1 } },
       filters: { own: { hooks: defineHooks({ onData: () => accept() }) } },
     });`,
  );
  const report = await play(file("code.yaml", YAML), { settingsFile });
  assert.equal(report.isFine, true);
});

test("limits by destination are taken from the settings' table, too", async () => {
  const scenario = file("limited.yaml", YAML.replace("settings:\n", "").replace(/ {2}route: .*\n/, ""));
  const settingsFile = file(
    "limited-server.yaml",
    `state: ${join(directory, "state")}
hostname: mail.example
tables: { limits: { map: { "there": "mails-per-connection=2", "*.example": "mails-per-connection=2" } } }
route: { shaping-table: table:limits }
`,
  );
  const report = await play(scenario, { settingsFile });
  assert.ok((report.runs[0]?.figures.run.connections ?? 0) >= 50, "two mails a connection");
});

test("what is wrong in a scenario or a setting is told with its place", async () => {
  const refused = async (text: string, expected: RegExp, more: Partial<SimulationRequest> = {}): Promise<void> => {
    await assert.rejects(play(file("wrong.yaml", text), more), (thrown) => {
      assert.ok(thrown instanceof PosthornError);
      assert.equal(thrown.code, "SETTINGS_INVALID");
      assert.match(thrown.message, expected);
      return true;
    });
  };
  await refused(YAML.replace("latency", "latencee"), /wrong\.yaml:6:\d+: .*latencee/);
  await refused(YAML.replace("host: mx }", "host: my }"), /wrong\.yaml:8:\d+: .*"my"; did you mean mx\?/);
  await refused(YAML, /route\.limits\.hosts/, { set: { "route.limits.hosts": 1 } });
});

test("a name that there is not is told with the nearest one", async () => {
  await assert.rejects(play("greylisting-spam"), /did you mean greylisting-spamd\?/);
  await assert.rejects(play("greylisting-spamd", { variant: "naif" }), /no variant "naif"/);
  assert.ok(listSimulations().length >= 8);
});

test("a scenario of Posthorn's is played by its name", async () => {
  const report = await play("broken-ipv6");
  assert.equal(report.isFine, true);
  assert.equal(report.scenario, "broken-ipv6");
});
