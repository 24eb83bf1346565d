import { ok, refused, type Result } from "../../foundation/result.ts";
import { milterStrings, type MilterPacket } from "./packet.ts";
import { parseReplyCode, type MilterReply } from "./reply-code.ts";

/** What a milter says. Everything in it is a stranger's input: checked, bounded, and without what could break a line. */
export type MilterAnswer =
  | { readonly says: "negotiate"; readonly data: Buffer }
  /** It works on it: the wait begins anew. */
  | { readonly says: "progress" }
  | MilterDecision
  | MilterChange;

/** Ends a question. */
export type MilterDecision =
  | { readonly says: "continue" }
  | { readonly says: "accept" }
  | { readonly says: "reject" }
  | { readonly says: "tempfail" }
  | { readonly says: "discard" }
  | { readonly says: "reply"; readonly reply: MilterReply }
  /** The client's connection is to end. */
  | { readonly says: "shutdown" }
  /** No more of the body. */
  | { readonly says: "skip" };

/**
 * Only in front of the decision about a whole mail. Field values still as the milter writes them, see `field-value.ts`, and a
 * character for each byte: what it only moves about, such as the subject of old mail, need not be UTF-8.
 */
export type MilterChange =
  | { readonly says: "add-header"; readonly name: string; readonly value: string }
  | { readonly says: "insert-header"; readonly index: number; readonly name: string; readonly value: string }
  /** An empty value removes it. */
  | { readonly says: "change-header"; readonly index: number; readonly name: string; readonly value: string }
  /** Further pieces are appended. */
  | { readonly says: "replace-body"; readonly piece: Buffer }
  | { readonly says: "add-recipient"; readonly recipient: string }
  | { readonly says: "remove-recipient"; readonly recipient: string }
  | { readonly says: "change-sender"; readonly sender: string }
  | { readonly says: "quarantine"; readonly reason: string };

const BARE: Readonly<Record<string, MilterAnswer>> = {
  p: { says: "progress" },
  c: { says: "continue" },
  a: { says: "accept" },
  r: { says: "reject" },
  t: { says: "tempfail" },
  d: { says: "discard" },
  s: { says: "skip" },
  "4": { says: "shutdown" },
  f: { says: "shutdown" },
};

const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]{1,76}$/;
const MOST_VALUE_CHARACTERS = 256 * 1024;
const MOST_ADDRESS_CHARACTERS = 512;
/** Where a field may stand; what is behind the last one is at the end anyway. */
const MOST_INDEX = 1_000_000;

/** An answer of its packet; what is refused is told as "it sent …". */
export function parseMilterAnswer({ code, data }: MilterPacket): Result<MilterAnswer, string> {
  const bare = BARE[code];
  if (bare !== undefined)
    return data.length === 0 ? ok(bare) : refused(`${bare.says} with ${data.length} bytes behind it`);
  if (code === "O") return ok({ says: "negotiate", data });
  if (code === "b") return ok({ says: "replace-body", piece: data });
  if (code === "i" || code === "m") return indexed(code, data);
  const strings = milterStrings(data, code === "h" ? "latin1" : "utf8");
  if (strings === undefined) return refused(`${named(code)} with a text that does not end`);
  const [first = "", second] = strings;
  switch (code) {
    case "y": {
      const reply = parseReplyCode(first);
      return reply.ok ? ok({ says: "reply", reply: reply.value }) : reply;
    }
    case "h":
      return field(first, second, (name, value) => ({ says: "add-header", name, value }));
    // The second has parameters behind the address, such as which notices that recipient wants: ours are as for all.
    case "+":
    case "2":
      return address(first, (recipient) => ({ says: "add-recipient", recipient }));
    case "-":
      return address(first, (recipient) => ({ says: "remove-recipient", recipient }));
    case "e":
      return address(first, (sender) => ({ says: "change-sender", sender }));
    case "q":
      return ok({ says: "quarantine", reason: first.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ").slice(0, 500) });
    default:
      return refused(`${named(code)}, which no milter says`);
  }
}

function indexed(code: "i" | "m", data: Buffer): Result<MilterAnswer, string> {
  const strings = data.length < 4 ? undefined : milterStrings(data.subarray(4), "latin1");
  if (strings === undefined) return refused(`${named(code)} with a text that does not end`);
  const index = data.readUInt32BE(0);
  if (index > MOST_INDEX) return refused(`a header field's number ${index}`);
  return field(strings[0] ?? "", strings[1], (name, value) => ({
    says: code === "i" ? "insert-header" : "change-header",
    index,
    name,
    value,
  }));
}

function field(
  name: string,
  value: string | undefined,
  make: (name: string, value: string) => MilterAnswer,
): Result<MilterAnswer, string> {
  if (!FIELD_NAME.test(name)) return refused("a header field whose name is none");
  if (value === undefined) return refused("a header field without a value");
  if (value.length > MOST_VALUE_CHARACTERS) return refused(`a header field of ${value.length} characters`);
  return ok(make(name, value));
}

/** With or without its angle brackets. Whether it is one is for whoever uses it. */
function address(text: string, make: (address: string) => MilterAnswer): Result<MilterAnswer, string> {
  const bare = /^<(.*)>$/s.exec(text.trim())?.[1] ?? text.trim();
  if (bare.length > MOST_ADDRESS_CHARACTERS || /[\x00-\x1f\x7f<>]/.test(bare))
    return refused("an address that is none");
  return ok(make(bare));
}

function named(code: string): string {
  return /^[\x21-\x7e]$/.test(code) ? `"${code}"` : `code ${code.charCodeAt(0)}`;
}
