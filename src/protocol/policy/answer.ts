import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { parseEnhancedStatus } from "./enhanced-status.ts";

/** What a policy server wants, in the words of Postfix's access(5). */
export type PolicyAction =
  | { readonly kind: "permit" }
  /** It has nothing to say. */
  | { readonly kind: "dunno" }
  /** `code` is absent where the server left it to us: REJECT and DEFER. */
  | {
      readonly kind: "refuse" | "defer";
      readonly code?: number | undefined;
      readonly status?: string | undefined;
      readonly text: string;
    }
  /** Only if nothing that comes later refuses for good, or permits. */
  | { readonly kind: "defer-if-permit"; readonly status?: string | undefined; readonly text: string }
  /** A refusal for good by something later becomes one for now. */
  | { readonly kind: "defer-if-reject"; readonly status?: string | undefined; readonly text: string }
  | { readonly kind: "prepend"; readonly field: string }
  | { readonly kind: "hold" | "discard" | "warn" | "info"; readonly text: string }
  | { readonly kind: "redirect" | "copy"; readonly to: string }
  | { readonly kind: "filter"; readonly to: string };

const MOST_TEXT = 400;
/** RFC 5322 section 2.1.1. */
const MOST_FIELD = 998;

/** `action`'s value: `DEFER_IF_PERMIT Greylisted, see https://...`. Refused when it is none that we know, or cannot be done. */
export function parsePolicyAction(written: string): Result<PolicyAction, Problem> {
  const found = /^(\S+)(?:\s+(.*))?$/.exec(written.trim());
  const word = (found?.[1] ?? "").toUpperCase();
  const rest = (found?.[2] ?? "").trim();
  if (/^[45]\d\d$/.test(word)) {
    const { status, text } = replyOf(rest);
    const code = Number(word);
    // By these two a server says that it ends the session, which a policy server does not decide here.
    const isOfDialogue = code === 421 || code === 521;
    return ok({ kind: code < 500 ? "defer" : "refuse", ...(isOfDialogue ? {} : { code }), status, text });
  }
  if (/^\d+$/.test(word)) return ok({ kind: "permit" });
  switch (word) {
    case "OK":
    case "PERMIT":
      return ok({ kind: "permit" });
    case "DUNNO":
    case "IGNORE":
      return ok({ kind: "dunno" });
    case "REJECT":
      return ok({ kind: "refuse", ...replyOf(rest) });
    case "DEFER":
      return ok({ kind: "defer", ...replyOf(rest) });
    case "DEFER_IF_PERMIT":
      return ok({ kind: "defer-if-permit", ...replyOf(rest) });
    case "DEFER_IF_REJECT":
      return ok({ kind: "defer-if-reject", ...replyOf(rest) });
    case "PREPEND":
      return prepended(rest);
    case "HOLD":
    case "DISCARD":
    case "WARN":
    case "INFO":
      return ok({ kind: kinds[word], text: printable(rest) });
    case "REDIRECT":
    case "BCC":
      return /^[^\s<>@]+@[^\s<>@]+$/.test(rest) && rest.length <= 254 && isPrintable(rest)
        ? ok({ kind: word === "BCC" ? "copy" : "redirect", to: rest })
        : refused({ at: word.length, expected: "an address behind it" });
    case "FILTER":
      return rest !== "" && rest.length <= 254 && isPrintable(rest)
        ? ok({ kind: "filter", to: rest })
        : refused({ at: word.length, expected: "a destination behind it" });
    default:
      return refused({ at: 0, expected: "an action such as DUNNO, OK, REJECT or 450" });
  }
}

const kinds = { HOLD: "hold", DISCARD: "discard", WARN: "warn", INFO: "info" } as const;

function replyOf(rest: string): { readonly status?: string | undefined; readonly text: string } {
  const { status, text } = parseEnhancedStatus(printable(rest));
  return { status, text };
}

/** RFC 5322 section 2.2: a name of printable characters, a colon. Nothing that could begin another line. */
function prepended(rest: string): Result<PolicyAction, Problem> {
  const isField = /^[!-9;-~]+:/.test(rest) && rest.length <= MOST_FIELD && !/[\x00-\x08\x0a-\x1f\x7f]/.test(rest);
  return isField ? ok({ kind: "prepend", field: rest }) : refused({ at: 8, expected: "a header field behind it" });
}

function isPrintable(text: string): boolean {
  return !/[\x00-\x1f\x7f]/.test(text);
}

/** What a client is told: one line of ASCII. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, MOST_TEXT);
}
