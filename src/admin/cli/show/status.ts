import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { failureText } from "../../../mail/envelope/failure-text.ts";
import type { ServerStatus } from "../../control/admin.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText, roughDuration, roughSize } from "../text.ts";
import { textTable } from "../text-table.ts";
import type { World } from "../world.ts";

export const status: CliCommand = {
  name: "status",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows what the server is and does: processes, listeners, the queue.",
  options: { json: { says: "As one JSON object." } },
  async run(given, world) {
    const answer = await withServer(given, world, "query", (server) => server.call("status"));
    world.stdout.write(given.has("json") ? `${harmlessJson(answer)}\n` : statusText(answer, world));
    return exitCodes.ok;
  },
};

export function statusText(answer: ServerStatus, world: Pick<World, "now" | "offsetMinutes">): string {
  const { queue } = answer;
  const now = world.now();
  const instant = (at: number): string => instantText(at, world.offsetMinutes);
  const states = Object.entries(queue.envelopes).filter(([, count]) => count > 0);
  const { queued, delivered, deferred, bounced } = queue.since;
  const lines = [
    `posthornd  ${answer.version}, ${answer.layout}, up ${roughDuration(now - answer.startedAt)}`,
    `settings   ${answer.settingsFile ?? "built in"}, loaded ${instant(answer.settingsLoadedAt)}`,
    `queue      ${queue.messages} messages; envelopes: ${states.map(([state, count]) => `${count} ${state}`).join(", ") || "none"}` +
      (queue.isLoading ? "; still loading" : "") +
      (queue.isStoreUsable ? "" : "; THE STORE IS CLOSED after a failure of the disk, mail is neither taken nor sent"),
    `sending    ${queue.sessions.busy} busy, ${queue.sessions.connecting} connecting, ${queue.sessions.idle} idle sessions; ${queue.localDeliveries} local; ${queue.routesResting} routes rest`,
    `so far     ${queued} queued, ${delivered} delivered, ${deferred} deferred, ${bounced} bounced`,
    ...(queue.nextAt === undefined
      ? []
      : [`next       ${queue.nextAt <= now ? "now" : `in ${roughDuration(queue.nextAt - now)}`}`]),
    ...queue.paused.map(
      ({ direction, because, sinceAt }) => `PAUSED     ${direction}, since ${instant(sinceAt)}: ${because}`,
    ),
    ...(answer.logTroubles ?? []).map(
      ({ sink, problem, sinceAt }) =>
        `NO LOG     ${escapeControls(sink)} cannot be written since ${instant(sinceAt)}: ${escapeControls(problem)}`,
    ),
  ];
  const processes = textTable(
    [
      { title: "PROCESS" },
      { title: "PID", align: "right" },
      { title: "UP", align: "right" },
      { title: "RESTARTS", align: "right" },
      { title: "MEMORY", align: "right" },
    ],
    answer.processes.map((one) => [
      one.role,
      String(one.pid),
      roughDuration(now - one.startedAt),
      String(one.restarts),
      one.memoryBytes === undefined ? "" : roughSize(one.memoryBytes),
    ]),
  );
  const listeners = textTable(
    [{ title: "LISTENER" }, { title: "AT" }, { title: "PROTOCOL" }],
    answer.listeners.map((one) => [one.name, one.at, one.protocol]),
  );
  return `${lines.join("\n")}\n\n${processes}\n${listeners}`;
}

export const routes: CliCommand = {
  name: "routes",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows the next hosts in use: connections, how many are allowed, penalties and rests.",
  options: { json: { says: "One JSON object a line." } },
  async run(given, world) {
    const rows = await withServer(given, world, "query", (server) => server.call("routes"));
    if (given.has("json")) {
      for (const row of rows) world.stdout.write(`${harmlessJson(row)}\n`);
      return exitCodes.ok;
    }
    const now = world.now();
    const table = textTable(
      [
        { title: "HOST" },
        { title: "ADDRESS" },
        { title: "OPEN", align: "right" },
        { title: "ALLOWED", align: "right" },
        { title: "PENALTY", align: "right" },
        { title: "RESTS", align: "right" },
        { title: "WHY" },
      ],
      rows.map((row) => [
        row.host,
        row.address,
        String(row.connections),
        String(row.allowed),
        String(row.penalty),
        row.restsUntilAt === undefined || row.restsUntilAt <= now ? "" : roughDuration(row.restsUntilAt - now),
        row.lastFailure === undefined ? "" : failureText(row.lastFailure),
      ]),
    );
    world.stdout.write(table);
    return exitCodes.ok;
  },
};
