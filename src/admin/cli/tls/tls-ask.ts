import type { Selection, TlsAnswers, TlsQuestion } from "../../../mail/log/tls-questions.ts";
import type { CliCommand, CliOption, Given } from "../command.ts";
import { usage } from "../command.ts";
import { journalInstead } from "../log/journal-instead.ts";
import { durationOf } from "../selector.ts";
import type { World } from "../world.ts";

/**
 * Asks the journal about TLS: through the server, which may read it for those who may query; from the file itself when
 * none runs.
 */
export async function askTls<Asked extends TlsQuestion["ask"]>(
  question: Extract<TlsQuestion, { ask: Asked }>,
  given: Given,
  world: World,
): Promise<TlsAnswers[Asked]> {
  const places = await world.locate(given.settingsFile);
  try {
    using server = await world.connectControl(places.controlPaths.query);
    // The operation answers each question with its own kind of answer.
    return (await server.call("tls.ask", question)) as TlsAnswers[Asked];
  } catch (thrown) {
    if (!journalInstead(thrown)) throw thrown;
    try {
      using journal = world.openJournal(places.journalFile);
      return journal.tls(question);
    } catch {
      throw thrown;
    }
  }
}

export const selectionOptions = {
  since: { says: "Only the last so long (4h, 7d); a day when left out.", value: "DURATION" },
  in: { says: "Only peers that came to us." },
  out: { says: "Only peers that we went to." },
  peer: { says: "Only this peer: an address or a name.", value: "PEER" },
  place: { says: "Only this listener or relay.", value: "NAME" },
  json: { says: "One JSON object a line." },
} as const satisfies Readonly<Record<string, CliOption>>;

const DAY_MS = 24 * 60 * 60_000;

export function selectionOf(command: CliCommand, given: Given, world: World, usualMs = DAY_MS): Selection {
  if (given.has("in") && given.has("out")) throw usage(command, "--in and --out together leave nothing");
  return {
    sinceAt: Math.max(0, world.now() - (durationOf(command, given, "since") ?? usualMs)),
    direction: given.has("in") ? "in" : given.has("out") ? "out" : undefined,
    peer: given.text("peer"),
    place: given.text("place"),
  };
}

/** `certificate   ab12…`, for blocks of facts; what is undefined is left out. */
export function factLines(rows: readonly (readonly [label: string, text: string | undefined])[]): readonly string[] {
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  return rows.flatMap(([label, text]) => (text === undefined ? [] : [`${label.padEnd(width)}${text}`]));
}
