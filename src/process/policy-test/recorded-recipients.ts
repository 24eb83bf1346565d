import { JournalQuery } from "../../mail/log/journal-query.io.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";

/** A recipient that somebody gave us, as the journal tells it. */
export interface RecordedRecipient {
  readonly at: number;
  readonly listener: string;
  /** Undefined: a unix socket. */
  readonly address: string | undefined;
  readonly name: string | undefined;
  readonly helo: string | undefined;
  readonly account: string | undefined;
  readonly isEncrypted: boolean;
  readonly from: string;
  readonly to: string;
}

export interface Recorded {
  readonly recipients: readonly RecordedRecipient[];
  /** Of which the journal says too little: refused before a recipient was given. */
  readonly unclear: number;
}

/** The newest that were kept or refused since then. Throws `USAGE` when there is no journal to read. */
export function recordedRecipients(journalFile: string, sinceAt: number, most: number): Recorded {
  let journal: JournalQuery;
  try {
    journal = new JournalQuery(journalFile);
  } catch (thrown) {
    throw new PosthornError("USAGE", {
      message: `the journal ${journalFile} cannot be read: ${messageOf(thrown)}`,
      advice: "name another one with --journal, or run this as a user who may read it",
    });
  }
  try {
    const since = Math.floor(sinceAt);
    const rowsOf = (events: string, limit: number): readonly Row[] =>
      journal
        .sql(
          `SELECT at, event, pid, process_started_at, session, fields FROM events
           WHERE event IN (${events}) AND id >= ${since} * 1024 ORDER BY id DESC LIMIT ${Math.floor(limit)}`,
        )
        .rows.map(rowOf);
    const known = new Map<string, { account?: string; isEncrypted?: boolean }>();
    for (const row of rowsOf("'session.authenticated', 'session.tls'", MOST_ROWS)) {
      const about = known.get(row.session) ?? {};
      if (row.event === "session.tls") about.isEncrypted = true;
      else about.account = textIn(row, "account") ?? "";
      known.set(row.session, about);
    }
    const recipients: RecordedRecipient[] = [];
    let unclear = 0;
    for (const row of rowsOf("'session.kept', 'session.rejected'", most)) {
      const client = /^(.*)\[(.*)\]$/s.exec(textIn(row, "client") ?? "");
      const listener = textIn(row, "listener");
      const from = textIn(row, "from");
      const given = row.fields["to"];
      const to = typeof given === "string" ? [given] : Array.isArray(given) ? given.map(String) : [];
      if (client === null || listener === undefined || from === undefined || to.length === 0) {
        unclear++;
        continue;
      }
      const [, name = "", address = ""] = client;
      const about = known.get(row.session);
      const common = {
        at: row.at,
        listener,
        address: address === "local" ? undefined : address,
        name: name === "unknown" ? undefined : name,
        helo: textIn(row, "helo"),
        account: textIn(row, "account") ?? about?.account,
        isEncrypted: row.fields["isEncrypted"] === true || about?.isEncrypted === true,
        from,
      };
      for (const one of to) recipients.push({ ...common, to: one });
    }
    return { recipients, unclear };
  } finally {
    journal.close();
  }
}

const MOST_ROWS = 10_000;

interface Row {
  readonly at: number;
  readonly event: string;
  /** Session ids begin anew with each process. */
  readonly session: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function rowOf([at, event, pid, startedAt, session, fields]: readonly (string | number | null)[]): Row {
  const parsed: unknown = JSON.parse(String(fields));
  return {
    at: Number(at),
    event: String(event),
    session: `${pid ?? ""}/${startedAt ?? ""}/${session ?? ""}`,
    // The journal's own JSON is an object.
    fields: parsed as Readonly<Record<string, unknown>>,
  };
}

function textIn({ fields }: Row, name: string): string | undefined {
  const value = fields[name];
  return typeof value === "string" ? value : undefined;
}
