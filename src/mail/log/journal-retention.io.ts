import type { DatabaseSync } from "node:sqlite";
import { MOST_CHANGES, MOST_FLIGHTS, MOST_PLAINTEXT_PEERS } from "./tls-journal.ts";

/** Rows let go in one transaction: some ten milliseconds, so that waiting batches are hardly held up. */
const PORTION = 4_000;

/** Beside its fields: the other columns, its place in the indexes, what a page leaves unused. */
const ENTRY_BYTES = 200;

/**
 * Lets the oldest events go, one portion: those before `keepFromAt`, or so many as the file's used part is too large by.
 * True when there is more to do.
 */
export function tidyEntries(database: DatabaseSync, keepFromAt: number, mostBytes: number): boolean {
  const excess = usedBytes(database) - mostBytes;
  if (excess <= 0) return dropOld(database, keepFromAt);
  const oldest = database
    .prepare("SELECT id, octet_length(fields) AS bytes FROM entry ORDER BY id LIMIT ?")
    .all(PORTION);
  let freed = 0;
  const last = oldest.find((row) => (freed += ENTRY_BYTES + Number(row["bytes"])) >= excess) ?? oldest.at(-1);
  if (last === undefined) return false;
  database.prepare("DELETE FROM entry WHERE id <= ?").run(Number(last["id"]));
  return usedBytes(database) > mostBytes;
}

function dropOld(database: DatabaseSync, beforeAt: number): boolean {
  const oldest = database.prepare("SELECT id, at FROM entry ORDER BY id LIMIT ?").all(PORTION);
  // Ids rise with time but for a few records of other processes; the first young one ends the portion.
  const firstKept = oldest.findIndex((row) => Number(row["at"]) >= beforeAt);
  const last = oldest[firstKept === -1 ? oldest.length - 1 : firstKept - 1];
  if (last === undefined) return false;
  database.prepare("DELETE FROM entry WHERE id <= ?").run(Number(last["id"]));
  return firstKept === -1 && oldest.length === PORTION;
}

/**
 * Lets rows of TLS go, one portion: those before `keepFromAt`, those older than the oldest event (which went because the
 * file was too large), and what is beyond the bounds of its own.
 */
export function tidyTls(database: DatabaseSync, keepFromAt: number): boolean {
  const oldest = database.prepare("SELECT min(id) AS id FROM entry").get()?.["id"];
  // Without events there is nothing that they belong to, and what fills the file must not have every event go at once.
  const beforeId = Math.max(keepFromAt * 1024, Number(oldest ?? Number.MAX_SAFE_INTEGER));
  let isMore = false;
  for (const table of ["tls_session", "tls_failure", "tls_flight"]) {
    const { changes } = database
      .prepare(`DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE id < ? ORDER BY id LIMIT ?)`)
      .run(beforeId, PORTION);
    isMore ||= Number(changes) === PORTION;
  }
  const beyond = (table: string, key: string, order: string, most: number): void => {
    database
      .prepare(
        `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} ORDER BY ${order} DESC LIMIT ? OFFSET ?)`,
      )
      .run(PORTION, most);
  };
  beyond("tls_flight", "id", "id", MOST_FLIGHTS);
  beyond("tls_plaintext", "direction, address, place, rule", "last_at", MOST_PLAINTEXT_PEERS);
  beyond("change", "id", "id", MOST_CHANGES);
  database.prepare("DELETE FROM tls_plaintext WHERE last_at < ?").run(keepFromAt);
  return isMore;
}

/**
 * Lets the oldest inputs go, one portion. A replay begins with an input that carries the whole state, so everything up to
 * the next such start goes together; without a later start the oldest go. `bytes` is what the table holds now; the answer
 * says what went and whether there is more.
 */
export function tidyInputs(
  database: DatabaseSync,
  keepFromAt: number,
  mostBytes: number,
  bytes: number,
): { readonly freedBytes: number; readonly isMore: boolean } {
  const oldest = database.prepare("SELECT id, at FROM input ORDER BY id LIMIT 1").get();
  const isTooMuch = bytes > mostBytes;
  if (oldest === undefined || (Number(oldest["at"]) >= keepFromAt && !isTooMuch))
    return { freedBytes: 0, isMore: false };
  const start = database
    .prepare("SELECT id FROM input WHERE is_start = 1 AND id > ? ORDER BY id LIMIT 1")
    .get(Number(oldest["id"]));
  const untilId = Number(start?.["id"] ?? Number.MAX_SAFE_INTEGER);
  const portion = database
    .prepare("SELECT id, octet_length(json) AS bytes FROM input WHERE id < ? AND (at < ? OR ?) ORDER BY id LIMIT ?")
    .all(untilId, keepFromAt, start !== undefined || isTooMuch ? 1 : 0, PORTION);
  const last = portion.at(-1);
  if (last === undefined) return { freedBytes: 0, isMore: false };
  database.prepare("DELETE FROM input WHERE id <= ?").run(Number(last["id"]));
  return { freedBytes: portion.reduce((sum, row) => sum + Number(row["bytes"]), 0), isMore: true };
}

export function inputBytes(database: DatabaseSync): number {
  return Number(database.prepare("SELECT total(octet_length(json)) AS total FROM input").get()?.["total"] ?? 0);
}

function usedBytes(database: DatabaseSync): number {
  const pragma = (name: string): number => Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
  return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
}
