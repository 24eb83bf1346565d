import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import type { Hindrance, WhyGroup, WhyReport } from "../../../mail/scheduler/admin/admin.ts";
import { kebabCase } from "../../../service/config/names.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { idOf } from "../selector.ts";
import { counted, instantText, roughDuration } from "../text.ts";

export const why: CliCommand = {
  name: "why",
  operands: "MESSAGE|ENVELOPE",
  leastOperands: 1,
  mostOperands: 1,
  says: "Says all that holds an envelope up, in order, where each limit was set, and when it can go on at the earliest.",
  explains:
    "Of a message every envelope, those together that the same holds up. Exits with 1 when it is not in the queue.",
  options: { json: { says: "As one JSON object." } },
  async run(given, world) {
    const id = idOf(why, given.operands[0] ?? "");
    const report = await withServer(given, world, "query", (server) => server.call("why", { id }));
    // A call without a value answers with an empty list.
    if (report === undefined || !("groups" in report)) {
      world.stderr.write(`${id} is not in the queue; posthorn log ${id} tells what became of it\n`);
      return exitCodes.nothing;
    }
    const times = { now: world.now(), offsetMinutes: world.offsetMinutes };
    world.stdout.write(given.has("json") ? `${harmlessJson(report)}\n` : whyText(report, times));
    return exitCodes.ok;
  },
};

interface Times {
  readonly now: number;
  readonly offsetMinutes: (at: number) => number;
}

const MOST_NAMED = 3;

export function whyText(report: WhyReport, times: Times): string {
  const lines = report.groups.flatMap((group, at) => [...(at === 0 ? [] : [""]), ...groupLines(group, times)]);
  if (report.isCut) lines.push("", "there are more envelopes than were looked at: posthorn queue list --json has all");
  return lines.map((line) => `${escapeControls(line)}\n`).join("");
}

function groupLines(group: WhyGroup, times: Times): readonly string[] {
  const { count, envelopes, attempts, expiresAt, lastFailure, hindrances } = group;
  // Nothing expires in quarantine: it is removed at its own time, or begins anew when it is let go.
  const isKept = hindrances.some(({ what }) => what === "quarantine");
  const named = envelopes.slice(0, count === 1 ? 1 : MOST_NAMED).map(({ id, recipient }) => `${id} <${recipient}>`);
  const more = count > named.length ? ` and ${count - named.length} more` : "";
  const tries = attempts === 0 ? "not tried yet" : counted(attempts, "attempt");
  return [
    `${named.join(", ")}${more}`,
    isKept
      ? `  in quarantine, ${tries}`
      : `  ${group.state ?? "not known to the scheduler"}, ${tries}, expires ${whenText(expiresAt, times)}`,
    ...(lastFailure === undefined ? [] : [`  last: ${lastFailure}`]),
    ...hindrances.map((one, at) => `  ${at + 1}. ${hindranceText(one, times)}`),
    `  ${earliestText(group, times)}`,
  ];
}

function hindranceText({ text, untilAt, otherWay, setting, origin }: Hindrance, times: Times): string {
  const end = untilAt === undefined ? "" : `, until ${clockText(untilAt, times)}`;
  const isSooner = untilAt !== undefined && otherWay !== undefined && (otherWay.untilAt ?? 0) < untilAt;
  const until = isSooner ? `${end} or until another way is open` : end;
  const path = setting?.map((step) => (typeof step === "string" ? kebabCase(step) : `[${step}]`)).join(".");
  const from = path === undefined && origin === undefined ? "" : ` [${[path, origin].filter(Boolean).join(", ")}]`;
  return `${text}${until}${from}`;
}

function earliestText({ earliestAt, latestAt, hindrances, count }: WhyGroup, times: Times): string {
  if (earliestAt === undefined)
    return hindrances.some(
      ({ what }) => ["held", "quarantine", "dead"].includes(what) || what === "paused" || what === "suspended",
    )
      ? "earliest: when somebody lets it go"
      : hindrances.some(({ what }) => what === "attempt")
        ? "earliest: now, it is being tried"
        : "earliest: as soon as it is its turn";
  const spread =
    count > 1 && latestAt !== undefined && latestAt - earliestAt >= 1000
      ? `; the last at ${clockText(latestAt, times)}`
      : "";
  return `earliest: ${whenText(earliestAt, times)}${spread}`;
}

/** `09:14:20 (in 3m)`; with the day when it is another. */
function whenText(at: number, times: Times): string {
  const in_ = at <= times.now ? "now" : `in ${roughDuration(at - times.now)}`;
  return `${clockText(at, times)} (${in_})`;
}

function clockText(at: number, { now, offsetMinutes }: Times): string {
  const [day, clock = ""] = instantText(at, offsetMinutes).split(" ");
  const [today] = instantText(now, offsetMinutes).split(" ");
  return day === today ? clock : `${day} ${clock}`;
}
