import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { parseMailbox } from "../address/mailbox.ts";
import { formatRfc3339, parseRfc3339 } from "../message/date-time.ts";
import {
  decodeUtf8Address,
  decodeXtext,
  encodeUtf8AddressUnitext,
  encodeUtf8AddressXtext,
  encodeXtext,
} from "./xtext.ts";

/**
 * The ESMTP parameters of MAIL and RCPT, typed and decoded. A parameter that is not listed here is refused as unknown:
 * RFC 5321 section 4.1.1.11 wants 555. Whether a listed one was offered is for the session to check.
 */
export interface MailParameters {
  /** RFC 1870. */
  readonly sizeBytes?: number | undefined;
  /** RFC 6152, RFC 3030. */
  readonly body?: Body | undefined;
  /** RFC 6531: SMTPUTF8. */
  readonly isInternational?: boolean | undefined;
  /** RFC 3461 section 4.3. */
  readonly dsnReturn?: "FULL" | "HDRS" | undefined;
  /** RFC 3461 section 4.4, decoded. */
  readonly dsnEnvelopeId?: string | undefined;
  /** RFC 4954 section 5, decoded; `""` stands for `<>`: the sender is unknown or not trusted. */
  readonly auth?: string | undefined;
  /** RFC 2852. Seconds may be zero or less for `notify`. */
  readonly deliverBy?:
    | { readonly seconds: number; readonly mode: "return" | "notify"; readonly trace: boolean }
    | undefined;
  /** RFC 4865. */
  readonly holdForSeconds?: number | undefined;
  readonly holdUntilAt?: number | undefined;
  /** RFC 6710: -9 to 9. */
  readonly priority?: number | undefined;
  /** XVERP, as Postfix has it: the delimiters wanted, `""` for the server's own. */
  readonly verp?: string | undefined;
}

export type Body = "7BIT" | "8BITMIME" | "BINARYMIME";
export type Notify = "NEVER" | "SUCCESS" | "FAILURE" | "DELAY";

export interface RcptParameters {
  /** RFC 3461 section 4.1; absent or empty means the default. */
  readonly notify?: readonly Notify[] | undefined;
  /** RFC 3461 section 4.2: `type;address`, decoded, the type in lower case. */
  readonly originalRecipient?: string | undefined;
}

export type ParameterProblem = Problem & {
  /** `unknown`: 555 5.5.4; `syntax`: 501 5.5.4. */
  readonly kind: "unknown" | "syntax";
  readonly keyword: string;
};

type Mutable<Kind> = { -readonly [Name in keyof Kind]: Kind[Name] };
type Reader<Into> = (value: string | undefined, into: Mutable<Into>) => string | undefined;

const MAIL_READERS: ReadonlyMap<string, Reader<MailParameters>> = new Map<string, Reader<MailParameters>>([
  ["SIZE", readSize],
  ["BODY", readBody],
  ["SMTPUTF8", readSmtpUtf8],
  ["RET", readRet],
  ["ENVID", readEnvid],
  ["AUTH", readAuth],
  ["BY", readBy],
  ["HOLDFOR", readHoldFor],
  ["HOLDUNTIL", readHoldUntil],
  ["MT-PRIORITY", readPriority],
  ["XVERP", readVerp],
]);
const RCPT_READERS: ReadonlyMap<string, Reader<RcptParameters>> = new Map<string, Reader<RcptParameters>>([
  ["NOTIFY", readNotify],
  ["ORCPT", readOrcpt],
]);

const NONE: MailParameters & RcptParameters = {};

/** Offsets are into `text`, counted from its start; `from` is where the parameters begin. */
export function parseMailParameters(text: string, from = 0): Result<MailParameters, ParameterProblem> {
  return parseParameters(text, from, MAIL_READERS);
}

export function parseRcptParameters(text: string, from = 0): Result<RcptParameters, ParameterProblem> {
  return parseParameters(text, from, RCPT_READERS);
}

function parseParameters<Into>(
  text: string,
  from: number,
  readers: ReadonlyMap<string, Reader<Into>>,
): Result<Into, ParameterProblem> {
  let at = skipBlanks(text, from);
  // NONE has only optional members, as both kinds of parameters do.
  if (at === text.length) return ok(NONE as Into);
  const into = {} as Mutable<Into>;
  const seen = new Set<string>();
  while (at < text.length) {
    let end = at;
    while (end < text.length && text[end] !== " " && text[end] !== "\t") end++;
    const equals = text.indexOf("=", at);
    const hasValue = equals >= 0 && equals < end;
    const keyword = text.slice(at, hasValue ? equals : end).toUpperCase();
    const read = readers.get(keyword);
    const refuse = (kind: "unknown" | "syntax", expected: string) => refused({ at, expected, kind, keyword });
    if (read === undefined) return refuse(isKeyword(keyword) ? "unknown" : "syntax", "a parameter that was offered");
    // RFC 5321 section 4.1.1.11 is silent on a repeated parameter; RFC 3461 section 4 calls it an error.
    if (seen.has(keyword)) return refuse("syntax", `${keyword} only once`);
    seen.add(keyword);
    const expected = read(hasValue ? text.slice(equals + 1, end) : undefined, into);
    if (expected !== undefined) return refuse("syntax", expected);
    at = skipBlanks(text, end);
  }
  return ok(into);
}

function readSize(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  // RFC 1870 section 3: up to twenty digits. Beyond 2^53 every limit is passed, exactly or not.
  if (value === undefined || !/^\d{1,20}$/.test(value)) return "SIZE=octets";
  into.sizeBytes = Number(value);
  return undefined;
}

function readBody(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  const body = value?.toUpperCase();
  if (body !== "7BIT" && body !== "8BITMIME" && body !== "BINARYMIME") return "BODY=7BIT, 8BITMIME or BINARYMIME";
  into.body = body;
  return undefined;
}

function readSmtpUtf8(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  if (value !== undefined) return "SMTPUTF8 without a value";
  into.isInternational = true;
  return undefined;
}

function readRet(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  const which = value?.toUpperCase();
  if (which !== "FULL" && which !== "HDRS") return "RET=FULL or RET=HDRS";
  into.dsnReturn = which;
  return undefined;
}

function readEnvid(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  const decoded = value === undefined || value === "" || value.length > 100 ? undefined : printable(decodeXtext(value));
  // RFC 3461 section 4.4: at most 100 characters, printable once decoded; so a DSN can carry it in a field.
  if (decoded === undefined) return "ENVID=xtext, at most 100 characters";
  into.dsnEnvelopeId = decoded;
  return undefined;
}

function readAuth(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  const decoded = value === undefined ? undefined : decodeXtext(value);
  if (decoded === undefined || !decoded.ok) return "AUTH=mailbox in xtext, or AUTH=<>";
  if (decoded.value !== "<>" && !parseMailbox(decoded.value).ok) return "AUTH=mailbox in xtext, or AUTH=<>";
  into.auth = decoded.value === "<>" ? "" : decoded.value;
  return undefined;
}

function readBy(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  const match = /^([+-]?\d{1,9});([RN])(T?)$/i.exec(value ?? "");
  const seconds = Number(match?.[1]);
  const mode = match?.[2]?.toUpperCase() === "R" ? "return" : "notify";
  // RFC 2852 section 4: by-time zero or less makes no sense together with R.
  if (match === null || (mode === "return" && seconds <= 0)) return "BY=seconds;R or BY=seconds;N";
  into.deliverBy = { seconds, mode, trace: match[3] !== "" };
  return undefined;
}

function readHoldFor(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  // RFC 4865 section 5: one of the two, not both.
  if (!/^[1-9]\d{0,8}$/.test(value ?? "") || into.holdUntilAt !== undefined)
    return "HOLDFOR=seconds, without HOLDUNTIL";
  into.holdForSeconds = Number(value);
  return undefined;
}

function readHoldUntil(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  const at = parseRfc3339(value ?? "");
  if (!at.ok || into.holdForSeconds !== undefined) return "HOLDUNTIL=date-time of RFC 3339, without HOLDFOR";
  into.holdUntilAt = at.value;
  return undefined;
}

function readPriority(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  if (!/^(?:-?[1-9]|0)$/.test(value ?? "")) return "MT-PRIORITY=-9 to 9";
  into.priority = Number(value);
  return undefined;
}

function readVerp(value: string | undefined, into: Mutable<MailParameters>): string | undefined {
  if (value !== undefined && !/^[-=+]{2}$/.test(value)) return "XVERP, or XVERP= and two characters of - = +";
  into.verp = value ?? "";
  return undefined;
}

function readNotify(value: string | undefined, into: Mutable<RcptParameters>): string | undefined {
  const list = parseNotify(value ?? "");
  if (list === undefined) return "NOTIFY=NEVER, or a list of SUCCESS, FAILURE, DELAY";
  into.notify = list;
  return undefined;
}

/** The value of NOTIFY; undefined where it is none. */
export function parseNotify(text: string): readonly Notify[] | undefined {
  const list: Notify[] = [];
  for (const word of text.toUpperCase().split(",")) {
    if (word !== "NEVER" && word !== "SUCCESS" && word !== "FAILURE" && word !== "DELAY") return undefined;
    if (!list.includes(word)) list.push(word);
  }
  // RFC 3461 section 4.1: NEVER stands alone.
  return list.includes("NEVER") && list.length > 1 ? undefined : list;
}

/** What XVERP may name: nothing is the server's own. */
export const VERP_DELIMITERS = /^(?:[-=+]{2})?$/;

function readOrcpt(value: string | undefined, into: Mutable<RcptParameters>): string | undefined {
  const expected = "ORCPT=type;address, the address in xtext";
  const match = /^([a-z0-9-]{1,63});(.+)$/iu.exec(value ?? "");
  // RFC 3461 section 4.2: at most 500 characters in all.
  if (match === null || (value ?? "").length > 500) return expected;
  const type = (match[1] ?? "").toLowerCase();
  const address = printable(
    type === "utf-8" ? decodeUtf8Address(match[2] ?? "") : decodeXtext(match[2] ?? ""),
    type === "utf-8",
  );
  if (address === undefined || address === "") return expected;
  into.originalRecipient = `${type};${address}`;
  return undefined;
}

/** ` SIZE=1024 BODY=8BITMIME`: each with a space before it. The caller leaves out what the next host did not offer. */
export function formatMailParameters(parameters: MailParameters): string {
  let text = "";
  if (parameters.sizeBytes !== undefined) text += ` SIZE=${parameters.sizeBytes}`;
  if (parameters.body !== undefined) text += ` BODY=${parameters.body}`;
  if (parameters.isInternational === true) text += " SMTPUTF8";
  if (parameters.dsnReturn !== undefined) text += ` RET=${parameters.dsnReturn}`;
  if (parameters.dsnEnvelopeId !== undefined) text += ` ENVID=${encodeXtext(parameters.dsnEnvelopeId)}`;
  if (parameters.auth !== undefined) text += ` AUTH=${parameters.auth === "" ? "<>" : encodeXtext(parameters.auth)}`;
  if (parameters.deliverBy !== undefined) {
    const { seconds, mode, trace } = parameters.deliverBy;
    text += ` BY=${seconds};${mode === "return" ? "R" : "N"}${trace ? "T" : ""}`;
  }
  if (parameters.holdForSeconds !== undefined) text += ` HOLDFOR=${parameters.holdForSeconds}`;
  if (parameters.holdUntilAt !== undefined) text += ` HOLDUNTIL=${formatRfc3339(parameters.holdUntilAt)}`;
  if (parameters.priority !== undefined) text += ` MT-PRIORITY=${parameters.priority}`;
  if (parameters.verp !== undefined) text += parameters.verp === "" ? " XVERP" : ` XVERP=${parameters.verp}`;
  return text;
}

/** `isInternational`: the next host offers SMTPUTF8, so that an internationalised ORCPT may travel as it is. */
export function formatRcptParameters(parameters: RcptParameters, isInternational = false): string {
  let text = "";
  if (parameters.notify !== undefined && parameters.notify.length > 0) text += ` NOTIFY=${parameters.notify.join(",")}`;
  if (parameters.originalRecipient !== undefined) {
    const [type, address] = splitOriginalRecipient(parameters.originalRecipient);
    const encode = type !== "utf-8" ? encodeXtext : isInternational ? encodeUtf8AddressUnitext : encodeUtf8AddressXtext;
    text += ` ORCPT=${type};${encode(address)}`;
  }
  return text;
}

/** `rfc822;a@b` → `["rfc822", "a@b"]`. */
function splitOriginalRecipient(text: string): readonly [type: string, address: string] {
  const semicolon = text.indexOf(";");
  return semicolon < 0 ? ["rfc822", text] : [text.slice(0, semicolon).toLowerCase(), text.slice(semicolon + 1)];
}

/** What may be copied into a header field later: no control character in any form, ASCII unless told otherwise. */
function printable(decoded: Result<string, Problem>, isInternational = false): string | undefined {
  if (!decoded.ok) return undefined;
  const unfit = isInternational ? /[\x00-\x1f\x7f-\x9f\u2028\u2029]|\p{Cs}/u : /[^\x20-\x7e]/;
  return unfit.test(decoded.value) ? undefined : decoded.value;
}

function isKeyword(text: string): boolean {
  return /^[A-Z0-9][A-Z0-9-]*$/.test(text);
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === " " || text[at] === "\t") at++;
  return at;
}
