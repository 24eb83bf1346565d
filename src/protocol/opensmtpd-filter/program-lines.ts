import {
  isFilterPhase,
  isReportEvent,
  REPORT_EVENTS,
  type Decision,
  type FilterPhase,
  type ReportEvent,
} from "./opensmtpd-filter.ts";

/** A line of a program, understood. `ids` are session and token, 16 digits each, in the order in which they stand. */
export type ProgramLine =
  | { readonly kind: "ready" }
  | { readonly kind: "wants-report"; readonly events: readonly ReportEvent[] }
  | { readonly kind: "wants-filter"; readonly phase: FilterPhase }
  | { readonly kind: "decision"; readonly ids: readonly [string, string]; readonly decision: Decision }
  | { readonly kind: "data-line"; readonly ids: readonly [string, string]; readonly line: string }
  /** Something that the program wants told. */
  | { readonly kind: "report"; readonly text: string }
  /** `text`: what was expected. */
  | { readonly kind: "garbage"; readonly text: string };

/** What a program says; anything at all may come in. `line`: without its end, a character for each byte. */
export function parseProgramLine(line: string): ProgramLine {
  const [kind, rest] = cut(line);
  switch (kind) {
    case "filter-dataline":
    case "filter-result": {
      const [first, behindFirst = ""] = cut(rest ?? "");
      const [second, said] = cut(behindFirst);
      const ids = [idOf(first), idOf(second)] as const;
      const [one, other] = ids;
      if (one === undefined || other === undefined || said === undefined)
        return garbage(`expected a session and a token behind ${kind}`);
      if (kind === "filter-dataline") return { kind: "data-line", ids: [one, other], line: said };
      const decision = decisionOf(said);
      return decision === undefined
        ? garbage("expected proceed, junk, or reject, disconnect, rewrite or report with a parameter")
        : { kind: "decision", ids: [one, other], decision };
    }
    case "register":
      return registration(rest ?? "");
    case "report":
      return { kind: "report", text: textOf(rest ?? "") };
    default:
      return garbage("expected register, filter-result, filter-dataline or report");
  }
}

function registration(text: string): ProgramLine {
  if (text === "ready") return { kind: "ready" };
  const [stream, behind] = cut(text);
  const [direction, name = ""] = cut(behind ?? "");
  if (stream === "filter" && direction === "smtp-in" && isFilterPhase(name))
    return { kind: "wants-filter", phase: name };
  if (stream === "report") {
    // Of mail that leaves nothing is told, and of statistics neither: it may be wanted all the same.
    if (direction === "smtp-out" || direction === "stats") return { kind: "wants-report", events: [] };
    if (direction === "smtp-in" && name === "*") return { kind: "wants-report", events: REPORT_EVENTS };
    if (direction === "smtp-in" && isReportEvent(name)) return { kind: "wants-report", events: [name] };
  }
  return garbage("expected register|report|smtp-in|EVENT, register|filter|smtp-in|PHASE or register|ready");
}

function decisionOf(text: string): Decision | undefined {
  const [kind, parameter] = cut(text);
  switch (kind) {
    case "proceed":
    case "junk":
      return parameter === undefined ? { kind } : undefined;
    case "reject":
    case "disconnect":
    case "rewrite":
    case "report":
      return parameter === undefined ? undefined : { kind, parameter: textOf(parameter) };
    default:
      return undefined;
  }
}

/** Programs print them with their zeros in front, or without. */
function idOf(text: string): string | undefined {
  return /^[0-9a-f]{1,16}$/i.test(text) ? text.toLowerCase().padStart(16, "0") : undefined;
}

/** Before the first bar, and behind it. */
function cut(text: string): readonly [string, string | undefined] {
  const at = text.indexOf("|");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** From a character for each byte to text; what is no UTF-8 becomes U+FFFD. */
function textOf(bytes: string): string {
  // oxlint-disable-next-line no-control-regex -- all of ASCII, the common case
  return /^[\u0000-\u007f]*$/.test(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8");
}

function garbage(text: string): ProgramLine {
  return { kind: "garbage", text };
}
