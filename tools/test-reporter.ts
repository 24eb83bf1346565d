/**
 * What a test run says: each failure in full, each skipped test by name and reason (a skip in silence would be a lie),
 * and one line of sums. Tests that pass say nothing.
 */
import type { TestEvent } from "node:test/reporters";
import { inspect } from "node:util";

type Failed = Extract<TestEvent, { type: "test:fail" }>["data"];

/** How much of a failing file's output is shown: its end. */
const OUTPUT_CHARACTERS = 4_000;
const VALUE_LINES = 60;
const SLOW_MS = 5000;
const SLOW_FILES = 12;

export default async function* testReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  const failedFiles = new Set<string>();
  const outputs = new Map<string, string>();
  /** Milliseconds of the tests of each file, one after the other. */
  const spent = new Map<string, number>();
  for await (const event of source) {
    if (event.type === "test:stderr" || event.type === "test:stdout") {
      const { file, message } = event.data;
      const place = file ?? "";
      outputs.set(place, `${outputs.get(place) ?? ""}${message}`.slice(-OUTPUT_CHARACTERS));
    }
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { data } = event;
    if (data.nesting === 0 && data.file !== undefined)
      spent.set(data.file, (spent.get(data.file) ?? 0) + data.details.duration_ms);
    if (event.type === "test:fail" && isOnlyByChildren(event.data)) continue;
    if (event.type === "test:pass" && data.details.type === "suite") continue;
    const todo = data.todo !== undefined && data.todo !== false;
    if ((data.skip !== undefined && data.skip !== false) || (todo && event.type === "test:fail")) {
      skipped++;
      const reason = typeof data.skip === "string" ? data.skip : typeof data.todo === "string" ? data.todo : "";
      yield `skipped: ${data.name}${reason === "" ? "" : ` (${reason})`}\n`;
    } else if (event.type === "test:pass") {
      passed++;
    } else {
      failed++;
      failedFiles.add(data.file ?? "");
      yield failureText(event.data);
    }
  }
  for (const [file, output] of outputs) {
    if (failedFiles.has(file)) yield `\noutput of ${shortPath(file)}:\n${indent(output.trimEnd())}\n`;
  }
  yield slowestText(spent);
  yield `${passed} passed, ${failed} failed, ${skipped} skipped\n`;
}

/** Whoever adds a test sees what it costs everybody. */
function slowestText(spent: ReadonlyMap<string, number>): string {
  const slow = [...spent].filter(([, ms]) => ms > SLOW_MS).toSorted(([, a], [, b]) => b - a);
  const shown = slow.slice(0, SLOW_FILES).map(([file, ms]) => `${shortPath(file)} ${(ms / 1000).toFixed(0)} s`);
  return shown.length === 0 ? "" : `slowest: ${shown.join(", ")}\n`;
}

/** A suite, or a test with tests inside, that failed because some of them did: they have been told already. */
function isOnlyByChildren(data: Failed): boolean {
  const error: Error & { failureType?: unknown } = data.details.error;
  return error.failureType === "subtestsFailed";
}

function failureText(data: Failed): string {
  const error: unknown = data.details.error.cause ?? data.details.error;
  const place = data.file === undefined ? "" : ` (${shortPath(data.file)}:${data.line ?? "?"})`;
  return `\nFAILED: ${data.name}${place}\n${indent(errorText(error))}\n\n`;
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === "string" ? error : valueText(error);
  const trace = (error.stack ?? error.message)
    .split("\n")
    .filter((line) => !/^\s+at .*(?:node:internal|node:async_hooks)/.test(line))
    .join("\n");
  const parts = [trace.includes(error.message) ? trace : `${error.message}\n${trace}`];
  // The comparison in an assertion's own message is cut after some lines; both values are not.
  if ("expected" in error && "actual" in error && error.expected !== error.actual) {
    parts.push(`expected: ${valueText(error.expected)}`, `actual:   ${valueText(error.actual)}`);
  }
  if (error.cause !== undefined) parts.push(`because: ${errorText(error.cause)}`);
  return parts.join("\n");
}

function valueText(value: unknown): string {
  const lines = (typeof value === "string" ? JSON.stringify(value) : inspect(value, { depth: 6 })).split("\n");
  const shown = lines.slice(0, VALUE_LINES).join("\n");
  return lines.length > VALUE_LINES ? `${shown}\n... ${lines.length - VALUE_LINES} lines more` : shown;
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, "  ");

function shortPath(file: string): string {
  const root = `${process.cwd()}/`;
  return file.startsWith(root) ? file.slice(root.length) : file;
}
