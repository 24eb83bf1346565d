import type { Fields } from "./record.ts";
import type { ChangeRow } from "./tls-journal.ts";

/** What changed on our side, as events tell it: for the question what was different when failures began. */
const CHANGES: Readonly<Record<string, (fields: Fields) => Omit<ChangeRow, "at">>> = {
  "server.started": (e) => ({
    what: "start",
    text: `the server started: version ${textOf(e["version"])}, settings ${textOf(e["settings"])}`,
  }),
  "server.reloaded": (e) => ({
    what: "reload",
    text: `settings reloaded by ${textOf(e["by"])}${changedText(e["changed"])}`,
  }),
  "tls.certificate-taken": (e) => ({
    what: "certificate",
    text: `a new certificate from ${textOf(e["source"])} is shown, valid until ${textOf(e["until"])}`,
  }),
  "worker.lost": (e) => ({ what: "process", text: `the process ${textOf(e["worker"])} ended: ${textOf(e["how"])}` }),
};

const MOST_NAMED = 8;
const LONGEST_TEXT = 500;

/** Whether an event of that name tells of a change. */
export function isChange(name: string): boolean {
  return Object.hasOwn(CHANGES, name);
}

export function changeOf(name: string, fields: Fields): Omit<ChangeRow, "at"> | undefined {
  const change = Object.hasOwn(CHANGES, name) ? CHANGES[name]?.(fields) : undefined;
  return change === undefined ? undefined : { ...change, text: change.text.slice(0, LONGEST_TEXT) };
}

/** A certificate that was not shown at this place before, where another one was. */
export function certificateChange(place: string, fingerprint: string): Omit<ChangeRow, "at"> {
  return { what: "certificate", text: `${place} began to show the certificate ${fingerprint.slice(0, 16)}` };
}

function textOf(value: Fields[string]): string {
  return value === undefined ? "unknown" : String(value);
}

function changedText(changed: Fields[string]): string {
  if (!Array.isArray(changed)) return "";
  // Field lists hold texts.
  const paths = changed as readonly string[];
  if (paths.length === 0) return "; nothing in them differs";
  const more = paths.length > MOST_NAMED ? ` and ${paths.length - MOST_NAMED} more` : "";
  return `; changed: ${paths.slice(0, MOST_NAMED).join(", ")}${more}`;
}
