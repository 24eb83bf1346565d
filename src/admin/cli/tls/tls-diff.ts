import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { differencesOf } from "../../../mail/log/tls-differences.ts";
import { tlsIdText, type TlsRecord } from "../../../mail/log/tls-journal.ts";
import type { CompareAnswer } from "../../../mail/log/tls-questions.ts";
import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { instantText } from "../text.ts";
import { textTable } from "../text-table.ts";
import { askTls } from "./tls-ask.ts";
import { recordJsonOf } from "./tls-show.ts";

export const tlsDiff: CliCommand = {
  name: "tls diff",
  operands: "FAILED [WORKED]",
  leastOperands: 1,
  mostOperands: 2,
  says: "Puts a failing and a working TLS connection side by side: what differed.",
  explains:
    "Each is an ID, a session's id or a peer. With a peer alone, its last failure and its last working session. What bears on the cause comes first. Exits with 1 when one of the two is not there.",
  options: {
    all: { says: "Also what was the same." },
    json: { says: "As one JSON object." },
  },
  async run(given, world) {
    const [failed = "", worked] = given.operands;
    const answer = await askTls({ ask: "compare", failed, worked }, given, world);
    if (answer.failed === undefined || answer.worked === undefined) {
      world.stderr.write(missingText(answer, failed, worked));
      return exitCodes.nothing;
    }
    const differences = differencesOf(answer.failed, answer.worked);
    const shown = given.has("all") ? differences : differences.filter(({ isSame }) => !isSame);
    if (given.has("json")) {
      const { between } = answer;
      const [one, other] = [recordJsonOf(answer.failed), recordJsonOf(answer.worked)];
      world.stdout.write(`${harmlessJson({ failed: one, worked: other, differences: shown, between })}\n`);
      return exitCodes.ok;
    }
    const instant = (at: number): string => instantText(at, world.offsetMinutes);
    const rows = shown.flatMap(({ what, one, other, isSame }) => wrapped(`${isSame ? "= " : ""}${what}`, one, other));
    const parts = [
      textTable(
        [{ title: "" }, { title: headOf(answer.failed, instant) }, { title: headOf(answer.worked, instant) }],
        rows,
      ),
      ...betweenLines(answer, instant),
      ...recordLack(answer),
    ];
    world.stdout.write(parts.join("\n"));
    return exitCodes.ok;
  },
};

function headOf({ kind, row }: TlsRecord, instant: (at: number) => string): string {
  return `${kind === "failure" ? "FAILED" : "WORKED"} ${tlsIdText(row.id)} ${instant(row.at)}`;
}

function betweenLines({ between }: CompareAnswer, instant: (at: number) => string): readonly string[] {
  if (between.length === 0) return ["Nothing changed on our side between the two.\n"];
  const lines = between.map(({ at, text }) => `  ${instant(at)} ${escapeControls(text)}\n`);
  return [`Changed on our side between the two:\n${lines.join("")}`];
}

function recordLack({ failed, worked }: CompareAnswer): readonly string[] {
  const lacking = [failed, worked].filter((record) => record?.flight === undefined);
  return lacking.length === 0
    ? []
    : [
        `No flight was kept of ${lacking.map((record) => (record === undefined ? "" : tlsIdText(record.row.id))).join(" and ")}: what was offered cannot be compared.\n`,
      ];
}

function missingText(answer: CompareAnswer, failed: string, worked: string | undefined): string {
  if (answer.failed === undefined)
    return `the journal has no ${worked === undefined ? "failure" : "TLS connection"} of ${escapeControls(failed)}\n`;
  return worked === undefined
    ? `the journal has no working session of ${escapeControls(answer.failed.row.peer)}; name one of another peer as WORKED\n`
    : `the journal has no TLS connection of ${escapeControls(worked)}\n`;
}

const COLUMN = 46;

/** Long lists go over several lines, so that both columns stay side by side. */
function wrapped(what: string, one: string, other: string): readonly (readonly string[])[] {
  const [left, right] = [one, other].map(linesOf) as [readonly string[], readonly string[]];
  return Array.from({ length: Math.max(left.length, right.length) }, (_, at) => [
    at === 0 ? what : "",
    left[at] ?? "",
    right[at] ?? "",
  ]);
}

function linesOf(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > COLUMN) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
