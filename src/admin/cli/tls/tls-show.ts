import { messageOf, PosthornError } from "../../../foundation/error.ts";
import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { tlsIdText, type ShownRecord, type TlsRecord } from "../../../mail/log/tls-journal.ts";
import { factsOf, tlsStory, type StoryStep } from "../../../mail/log/tls-story.ts";
import { pcapng } from "../../../service/tls/tracer/pcapng.ts";
import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { recordLine } from "../log/record-line.ts";
import { instantText } from "../text.ts";
import { askTls, factLines } from "./tls-ask.ts";
import type { World } from "../world.ts";

export const tlsShow: CliCommand = {
  name: "tls show",
  operands: "ID|SESSION|PEER",
  leastOperands: 1,
  mostOperands: 1,
  says: "Shows a recorded TLS connection: its facts, and step by step what went over the wire and what the log said.",
  explains:
    "ID is what `posthorn tls failures` shows; a session's id and a peer's name or address mean the newest record. Flights are kept of failures and of some sessions that worked. Exits with 1 when nothing is found.",
  options: {
    pcapng: { says: "Writes what was on the wire into a new file, for Wireshark.", value: "FILE" },
    json: { says: "As one JSON object." },
  },
  async run(given, world) {
    const [which = ""] = given.operands;
    const { shown } = await askTls({ ask: "show", which }, given, world);
    if (shown === undefined) {
      world.stderr.write(
        `the journal has no TLS connection of ${escapeControls(which)}; it keeps them as long as journal.retention says\n`,
      );
      return exitCodes.nothing;
    }
    const file = given.text("pcapng");
    if (file !== undefined) return await savePcapng(shown, file, world);
    world.stdout.write(given.has("json") ? `${harmlessJson(jsonOf(shown))}\n` : textOf(shown, world));
    return exitCodes.ok;
  },
};

async function savePcapng({ record }: ShownRecord, file: string, world: World): Promise<number> {
  const { row, flight } = record;
  if (flight === undefined || flight.wire.length === 0) {
    world.stderr.write(
      `no bytes were kept of ${tlsIdText(row.id)}: they are of failures only, and not of all when many come at once\n`,
    );
    return exitCodes.nothing;
  }
  const port = /:(\d{1,5})$/.exec(row.peer)?.[1];
  const peer = {
    address: row.address === "" ? undefined : row.address,
    port: port === undefined ? undefined : Number(port),
  };
  try {
    await world.saveFile(file, pcapng(flight, { peer, local: {} }));
  } catch (cause) {
    throw new PosthornError("USAGE", {
      message: `${file} cannot be written: ${messageOf(cause)}`,
      advice: "name a file that does not exist yet",
      cause,
    });
  }
  world.stdout.write(`${escapeControls(file)}: the first bytes of ${tlsIdText(row.id)}, ${row.peer}\n`);
  return exitCodes.ok;
}

function jsonOf({ record, events, inForce }: ShownRecord): object {
  return { ...recordJsonOf(record), inForce, events: events.map((entry) => entry.record) };
}

/** A record as JSON shows it: its id as people type it. */
export function recordJsonOf({ kind, row, flight }: TlsRecord): object {
  return { kind, ...row, id: tlsIdText(row.id), flight };
}

function textOf(shown: ShownRecord, world: World): string {
  const { record, inForce } = shown;
  const instant = (at: number): string => instantText(at, world.offsetMinutes);
  const head = `${tlsIdText(record.row.id)}  ${record.kind === "failure" ? `failed: ${record.row.finding.reason}` : "worked"}`;
  const facts = factLines([
    ...factsOf(record, instant, world.now()),
    ...inForce.map(({ at, text }) => ["in force", `${instant(at)} ${text}`] as const),
  ]);
  const steps = tlsStory(shown);
  const [first] = steps;
  const lines = steps.map((step) => stepText(step, first?.at ?? 0, world));
  const rest =
    record.flight === undefined
      ? "no flight was kept of this connection: of floods, and of sessions that work, only some are"
      : undefined;
  const parts = [
    escapeControls(head),
    ...facts.map((line) => `  ${escapeControls(line)}`),
    "",
    ...lines.map((line) => `  ${line}`),
    ...(rest === undefined ? [] : ["", rest]),
  ];
  return `${parts.join("\n")}\n`;
}

function stepText(step: StoryStep, startAt: number, world: World): string {
  const after = `+${((step.at - startAt) / 1000).toFixed(3)}s`.padStart(10);
  switch (step.kind) {
    case "wire":
      return `${after}  ${step.from === "peer" ? "<--" : "-->"}  ${escapeControls(step.text)}`;
    case "note":
      return `${after}   *   ${escapeControls(step.text)}`;
    case "log": {
      const line = recordLine(step.entry.record, world) ?? `${step.entry.record.name} (no line)`;
      // The day and time are in the facts; here the distance from the start tells more.
      return `${after}  log  ${line.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d posthorn\//, "")}`;
    }
  }
}
