import { harmlessJson } from "../../../foundation/escape.ts";
import { failureText } from "../../../mail/envelope/failure-text.ts";
import type { LiveRow } from "../../../mail/scheduler/admin/admin.ts";
import { foldDomain, foldWritten } from "../../../service/table/pattern.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { countOf, durationOf, senderNamed, wordOf } from "../selector.ts";
import { roughDuration, roughSize, senderText } from "../text.ts";
import { tableWriter } from "../text-table.ts";

export const queueList: CliCommand = {
  name: "queue list",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Lists the envelopes in the queue.",
  explains:
    "One line for each envelope: a message to three recipients is three envelopes. `queued` is what was never tried, `deferred` what was tried and waits; exits with 1 when nothing matches.",
  options: {
    state: { says: "Only queued, deferred, held or dead ones.", value: "STATE" },
    sender: { says: "Only those of this sender; `<>` for the null sender.", value: "ADDRESS" },
    domain: { says: "Only those to this recipient domain.", value: "DOMAIN" },
    recipient: { says: "Only those to this recipient.", value: "ADDRESS" },
    older: { says: "Only those received longer ago than this (4h, 2d).", value: "AGE" },
    newer: { says: "Only those received since then.", value: "AGE" },
    limit: { says: "No more than so many.", value: "COUNT" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const now = world.now();
    const older = durationOf(queueList, given, "older");
    const newer = durationOf(queueList, given, "newer");
    const sender = given.text("sender");
    const domain = given.text("domain");
    const recipient = given.text("recipient");
    const filter = {
      state: wordOf(queueList, given, "state", ["queued", "deferred", "held", "dead"]),
      sender: sender === undefined ? undefined : senderNamed(sender),
      domain: domain === undefined ? undefined : foldDomain(domain),
      recipient: recipient === undefined ? undefined : foldWritten(recipient),
      receivedBeforeAt: older === undefined ? undefined : now - older,
      receivedAfterAt: newer === undefined ? undefined : now - newer,
      limit: countOf(queueList, given, "limit"),
    };
    const table = tableWriter(COLUMNS);
    const textOf = given.has("json")
      ? (rows: readonly LiveRow[]) => rows.map((row) => `${harmlessJson(row)}\n`).join("")
      : (rows: readonly LiveRow[]) => table(rows.map((row) => cellsOf(row, now)));
    let isEmpty = true;
    await withServer(given, world, "query", async (server) => {
      for await (const rows of server.portions("queue.list", filter)) {
        isEmpty = false;
        world.stdout.write(textOf(rows));
        await world.stdout.room();
      }
    });
    if (isEmpty && !given.has("json")) world.stderr.write("nothing in the queue matches\n");
    return isEmpty ? exitCodes.nothing : exitCodes.ok;
  },
};

const COLUMNS = [
  { title: "ENVELOPE" },
  { title: "STATE" },
  { title: "AGE", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "TRIES", align: "right" },
  { title: "SENDER" },
  { title: "RECIPIENT" },
  { title: "NEXT" },
  { title: "WHY" },
] as const;

function cellsOf(row: LiveRow, now: number): readonly string[] {
  return [
    row.envelope,
    row.quarantine === undefined || row.state === "dead" ? (row.live ?? row.state) : "quarantine",
    roughDuration(now - row.receivedAt),
    roughSize(row.sizeBytes),
    String(row.attempts),
    senderText(row.sender),
    row.recipient,
    nextText(row, now),
    whyText(row),
  ];
}

/** What holds it up just now; else why it is held or failed, and of a dead one both: why it failed, and why nobody was told. */
function whyText({ state, waits, heldBecause, lastFailure }: LiveRow): string {
  if (waits !== undefined) return waits.text;
  const failed = lastFailure === undefined ? [] : [failureText(lastFailure)];
  if (heldBecause === undefined) return failed.join("");
  return state === "dead" ? [...failed, heldBecause].join("; ") : heldBecause;
}

/** When something happens to it by itself: an attempt, the end of its hold, or, for a dead one, the end. */
function nextText(
  { state, live, nextAt, dueAt, expiresAt, heldUntilAt, quarantine, waits }: LiveRow,
  now: number,
): string {
  if (quarantine !== undefined && heldUntilAt !== undefined) return `removed in ${roughDuration(heldUntilAt - now)}`;
  if (state === "held") return heldUntilAt === undefined ? "-" : `released in ${roughDuration(heldUntilAt - now)}`;
  if (state === "dead") return `removed in ${roughDuration(expiresAt - now)}`;
  if (waits !== undefined && waits.untilAt === undefined && WAITS_FOR_SOMEBODY.has(waits.what)) return "-";
  if (live === "held" && waits?.untilAt !== undefined)
    return `released in ${roughDuration(Math.max(0, waits.untilAt - now))}`;
  const due = live === undefined || live === "waiting" ? (nextAt ?? dueAt) : now;
  const at = Math.max(due, waits?.untilAt ?? 0);
  return at <= now ? "now" : `in ${roughDuration(at - now)}`;
}

/** Without an end of their own. */
const WAITS_FOR_SOMEBODY: ReadonlySet<string> = new Set(["suspended", "paused", "store"]);
