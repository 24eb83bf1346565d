import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { PosthornError } from "../../../foundation/error.ts";
import type { JournalEntry, SqlAnswer, StoryOptions, StoryQuery } from "../../../mail/log/journal.ts";
import { usage, type CliCommand, type Given } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { journalInstead } from "./journal-instead.ts";
import { recordJson, recordLine } from "./record-line.ts";
import { countOf, durationOf, idOf } from "../selector.ts";
import { textTable } from "../text-table.ts";
import type { Places, World } from "../world.ts";

export const log: CliCommand = {
  name: "log",
  operands: "[MESSAGE|ENVELOPE]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Tells the story of a message, a session or an address from the journal.",
  explains:
    "A message's story has the lines of the session that brought it. --sql opens the journal's file itself and needs the right to read it. Exits with 1 when nothing is found.",
  options: {
    session: { says: "The lines of a session, by its id or the number in brackets of its lines.", value: "ID" },
    to: { says: "What happened to mail for this recipient.", value: "ADDRESS" },
    from: { says: "What happened to mail of this sender.", value: "ADDRESS" },
    since: { says: "Only the last so long (4h, 2d).", value: "DURATION" },
    limit: { says: "The newest so many lines (1000).", value: "COUNT" },
    sql: { says: "Answers a query in SQL, on the view `events`.", value: "QUERY" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const places = await world.locate(given.settingsFile);
    const sql = given.text("sql");
    if (sql !== undefined) return answerSql(sql, given, places, world);
    const sinceMs = durationOf(log, given, "since");
    const options = {
      sinceAt: sinceMs === undefined ? undefined : world.now() - sinceMs,
      limit: countOf(log, given, "limit"),
    };
    const entries = await storyOf(queryOf(given), options, places, world);
    if (entries.length === 0) {
      world.stderr.write("the journal has nothing about that; it keeps events as long as journal.retention says\n");
      return exitCodes.nothing;
    }
    for (const { record } of entries) {
      const line = given.has("json") ? recordJson(record) : recordLine(record, world);
      if (line !== undefined) world.stdout.write(`${line}\n`);
    }
    return exitCodes.ok;
  },
};

function queryOf(given: Given): StoryQuery {
  const queries: StoryQuery[] = [];
  const [id] = given.operands;
  const session = given.text("session");
  const to = given.text("to");
  const from = given.text("from");
  if (id !== undefined) queries.push({ by: "message", id: idOf(log, id) });
  if (session !== undefined) queries.push({ by: "session", session });
  if (to !== undefined) queries.push({ by: "address", address: to, as: "recipient" });
  if (from !== undefined) queries.push({ by: "address", address: from, as: "sender" });
  const [query] = queries;
  if (query === undefined || queries.length > 1)
    throw usage(log, "say one of: MESSAGE, --session, --to, --from, --sql");
  return query;
}

/** Through the server, which may read the journal for those who may query; from the file itself when none runs. */
async function storyOf(
  query: StoryQuery,
  options: StoryOptions,
  places: Places,
  world: World,
): Promise<readonly JournalEntry[]> {
  try {
    using server = await world.connectControl(places.controlPaths.query);
    return await server.call("log.story", { query, ...options });
  } catch (thrown) {
    if (!journalInstead(thrown)) throw thrown;
    try {
      using journal = world.openJournal(places.journalFile);
      return journal.story(query, options);
    } catch {
      throw thrown;
    }
  }
}

function answerSql(sql: string, given: Given, places: Places, world: World): number {
  const answer = askSql(sql, places.journalFile, world);
  const { columns, rows } = answer;
  if (given.has("json")) {
    for (const row of rows)
      world.stdout.write(`${harmlessJson(Object.fromEntries(columns.map((name, at) => [name, row[at]])))}\n`);
  } else {
    const numeric = columns.map((_, at) => rows.length > 0 && rows.every((row) => typeof row[at] === "number"));
    const titles = columns.map((title, at) => ({
      title: escapeControls(title),
      align: numeric[at] === true ? ("right" as const) : ("left" as const),
    }));
    world.stdout.write(
      textTable(
        titles,
        rows.map((row) => row.map((cell) => (cell === null ? "" : String(cell)))),
      ),
    );
  }
  if (answer.isCut) world.stderr.write(`only the first ${rows.length} rows are shown; use LIMIT and OFFSET\n`);
  return exitCodes.ok;
}

function askSql(sql: string, path: string, world: World): SqlAnswer {
  let journal;
  try {
    journal = world.openJournal(path);
  } catch (cause) {
    if (cause instanceof PosthornError && cause.code === "PRIVILEGES") throw cause;
    throw new PosthornError("CONTROL_UNREACHABLE", {
      message: `cannot open the journal ${path}`,
      advice: "plain SQL reads the file itself: use the server's user or root; or is there another settings file (-f)?",
      cause,
    });
  }
  using opened = journal;
  try {
    return opened.sql(sql);
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new PosthornError("USAGE", {
      message: `the journal does not answer that: ${words}`,
      advice:
        "the view `events` has: time at event level role pid session message envelope recipient sender peer fields",
      cause,
    });
  }
}
