import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { formatAliasTarget, parseAliasTargets } from "../../../protocol/address/alias-targets.ts";
import { nearestName } from "../../../service/config/names.ts";
import { TABLE_SERVICES, type TableAnswer, type TableService } from "../../../service/table/table.ts";
import { usage, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { TableStory } from "./table-world.ts";

/** Services whose answer is being there. */
const MEMBERS: ReadonlySet<TableService> = new Set(["domain", "network"]);

export const tableLookup: CliCommand = {
  name: "table lookup",
  operands: "TABLE SERVICE KEY",
  leastOperands: 3,
  mostOperands: 3,
  says: "Asks a table, and shows each step: the key as it is compared, each key that was asked for, where the answer stands, what it means.",
  explains: `Reads the settings itself and asks the table from here: no server has to run, but whoever calls must be allowed to read the table's files and passwords. SERVICE is one of ${TABLE_SERVICES.join(", ")}. Passwords are not shown. Exits with 1 when the key is not there, with 75 when that could not be found out.`,
  options: {
    exact: { says: "Only what is written under this key itself: no wildcards." },
    member: { says: "Whether the key is in the list; without saying so for domain and network." },
    json: { says: "As one JSON object." },
  },
  async run(given, world) {
    const [table = "", written = "", key = ""] = given.operands;
    const service = TABLE_SERVICES.find((each) => each === written);
    if (service === undefined) {
      const near = nearestName(written, TABLE_SERVICES);
      const hint = near === undefined ? `; there are ${TABLE_SERVICES.join(", ")}` : `; did you mean ${near}?`;
      throw usage(tableLookup, `there is no service ${written}${hint}`);
    }
    if (given.has("exact") && given.has("member")) throw usage(tableLookup, "--exact and --member exclude each other");
    const isMember = given.has("member") || (MEMBERS.has(service) && !given.has("exact"));
    const verb = isMember ? "has" : given.has("exact") ? "exact" : "lookup";
    const found = await world.lookupTable({ settingsFile: given.settingsFile, table, service, key, verb });
    const story = service === "credentials" ? withoutPassword(found) : found;
    world.stdout.write(
      given.has("json")
        ? `${harmlessJson({ ...story, service, key })}\n`
        : `${linesOf(story, service, key).map(escapeControls).join("\n")}\n`,
    );
    if (story.answer.kind === "failed") return exitCodes.temporary;
    return isThere(story.answer) ? exitCodes.ok : exitCodes.nothing;
  },
};

function isThere(answer: TableStory["answer"]): boolean {
  return answer.kind === "found" && answer.value !== false;
}

function withoutPassword(story: TableStory): TableStory {
  const hidden = <Value>(answer: TableAnswer<Value>): TableAnswer<Value | string> =>
    answer.kind === "found" && typeof answer.value === "string"
      ? { ...answer, value: `${/^\{[\w.-]+\}/.exec(answer.value)?.[0] ?? ""}... (${answer.value.length} characters)` }
      : answer;
  return {
    ...story,
    // Only text was replaced by text.
    steps: story.steps.map((step) => ({ ...step, answer: hidden(step.answer) })),
    answer: hidden(story.answer),
  };
}

function linesOf(story: TableStory, service: TableService, key: string): readonly string[] {
  const { answer } = story;
  // That nobody wrote an exception is no step worth telling.
  const steps = story.steps.filter((step) => !(step.key.startsWith("!") && step.answer.kind === "none"));
  const width = Math.max(0, ...steps.map((step) => step.key.length));
  return [
    `table    ${story.table}: ${story.kind === story.text ? story.kind : `${story.kind}, ${story.text}`}`,
    `key      ${key}${story.folded === key ? "" : `, compared as ${story.folded}`}`,
    ...steps.map((step) => `asked    ${step.key.padEnd(width)}  ${stepText(step.answer)}`),
    ...story.findings.map((finding) => `told     ${finding}`),
    ...(answer.kind === "failed" ? [`failed   ${answer.text}: this is "come again", not "not there"`] : []),
    ...(answer.kind === "none" ? ["answer   not there"] : []),
    ...(answer.kind === "found"
      ? [
          `entry    ${story.entry === undefined ? "" : `${story.entry}, `}${answer.where}`,
          ...(typeof answer.value === "boolean"
            ? [`answer   ${answer.value ? "yes" : "no: the entry says so"}`]
            : [`answer   ${answer.value}`, ...meaning(service, answer.value)]),
        ]
      : []),
    `took     ${story.tookMs.toFixed(1)} ms`,
  ];
}

function stepText(answer: TableAnswer): string {
  if (answer.kind === "found") return `there, ${answer.where}`;
  return answer.kind === "none" ? "not there" : `failed: ${answer.text}`;
}

/** What the value is to those who ask for this service. */
function meaning(service: TableService, value: string): readonly string[] {
  if (service === "alias") {
    const { targets, problems } = parseAliasTargets(value);
    return [
      ...targets.map((target) => `         ${target.kind.padEnd(8)} ${formatAliasTarget(target)}`),
      ...problems.map(({ text }) => `         wrong    ${text}`),
    ];
  }
  if (service === "userinfo") {
    const parts = /^(\d+):(\d+):(.+)$/.exec(value);
    return parts === null
      ? ["         wrong    expected uid:gid:home"]
      : [`         uid ${parts[1] ?? ""}, gid ${parts[2] ?? ""}, home ${parts[3] ?? ""}`];
  }
  return [];
}
