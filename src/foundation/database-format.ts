/**
 * What one of our SQLite files is, and in which format. Both stand in the file's header, where they are read without opening
 * it: `PRAGMA application_id`, so that no other program's database is taken for ours, and `PRAGMA user_version`.
 *
 * A change that an older Posthorn would read wrongly, or overlook to somebody's loss, is a new format: `format` rises by
 * one, and `steps` gets the way from the one before. What an older one may overlook without harm (a table, an index, a
 * field in JSON) is none.
 */
export interface DatabaseKind {
  /** What it holds, in a sentence: `the queue`. */
  readonly holds: string;
  readonly application: number;
  readonly format: number;
  /** Makes an empty one. */
  readonly schema: string;
  /** For each older format the statements that lead to the next. All that are needed run in one transaction. */
  readonly steps: Readonly<Record<number, string>>;
  /** Files up to this format were written without a mark of the application; below zero there are none. */
  readonly unmarkedUpTo: number;
  /** What to do about a file of a newer format, besides starting the Posthorn that wrote it. */
  readonly otherwise: string;
}

export interface DatabaseMark {
  readonly application: number;
  readonly format: number;
}

/** The first bytes of a database file, of which the format needs so many. */
export const HEADER_BYTES = 100;

const MAGIC = "SQLite format 3\0";
const FORMAT_AT = 60;
const APPLICATION_AT = 68;

/** Undefined for what is no SQLite file, an empty one included. See "Database File Format" of SQLite, section 1.3. */
export function markOf(header: Buffer): DatabaseMark | undefined {
  if (header.length < HEADER_BYTES || header.toString("latin1", 0, MAGIC.length) !== MAGIC) return undefined;
  return { application: header.readUInt32BE(APPLICATION_AT), format: header.readUInt32BE(FORMAT_AT) };
}

export type MarkProblem = "of another program" | "newer";

export function markProblem({ application, format }: DatabaseMark, kind: DatabaseKind): MarkProblem | undefined {
  const isUnmarked = application === 0 && format <= kind.unmarkedUpTo;
  if (application !== kind.application && !isUnmarked) return "of another program";
  return format > kind.format ? "newer" : undefined;
}
