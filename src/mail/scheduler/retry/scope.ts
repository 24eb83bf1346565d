import type { Failure } from "../../envelope/failure.ts";

/**
 * What a failure speaks about, and so how far it is believed:
 *
 * | scope | what follows |
 * |---|---|
 * | `recipient` | this envelope only |
 * | `overflow` | nobody: the transaction was full, and who did not fit follows in the next one |
 * | `sender` | all envelopes of this sender at this relay; others go on |
 * | `connection` | this session only: it ended, the next one may be fine |
 * | `verdict` | our address there, in words only: this envelope, or the route where it is believed (`verdicts.ts`) |
 * | `route` | this one of our addresses at this address of the host; it rests, other sources go on |
 * | `address` | this address of the host, from wherever we come |
 * | `host` | the host by all its addresses |
 * | `relay` | everything that goes the same way: its credentials, its names |
 */
export type Scope = "recipient" | "overflow" | "sender" | "connection" | Wide | "verdict";
/** What concerns mail that the host has not seen. */
export type Wide = "route" | "address" | "host" | "relay";

interface Rule {
  readonly during?: ReadonlySet<string> | undefined;
  readonly codes?: ReadonlySet<number> | undefined;
  /** Of the enhanced status, without its class: `3.2` is 4.3.2 as well as 5.3.2; `7` is all of x.7.y; `none` that there is none. */
  readonly status?: readonly string[] | undefined;
  /** All of them. */
  readonly words?: readonly RegExp[] | undefined;
  readonly unless?: RegExp | undefined;
  readonly scope: Scope;
  readonly source: string;
}

const SESSION: ReadonlySet<string> = new Set([
  "connect",
  "greeting",
  "EHLO",
  "HELO",
  "LHLO",
  "STARTTLS",
  "RSET",
  "idle",
]);
const AT_MAIL: ReadonlySet<string> = new Set(["MAIL"]);
const AT_RCPT: ReadonlySet<string> = new Set(["RCPT"]);
const AT_CONTENT: ReadonlySet<string> = new Set(["BDAT", "content", "end of DATA"]);
export const BEFORE_CONTENT: ReadonlySet<string> = new Set(["MAIL", "RCPT", "DATA"]);

const FOR_GOOD: ReadonlySet<number> = new Set([500, 501, 502, 503, 504, 550, 551, 552, 553, 554, 555]);

/** Hosts that wait for us to come back rather than shut us out. */
const GREYLISTING = /gr[ea]y-?\s?list/i;
/**
 * A client, a host or an IP address is spoken of. Bare words are no verdict on us: attachments are blocked, senders' domains
 * have a reputation, and people block each other. Plain words only: a host's text is not to be searched twice.
 */
const NAMES_US =
  /\b(?:your (?:ip|host|hostname|server|mail ?server|network)|(?:client|sending|connecting) (?:ip|host|server|address)|ip address|ptr|reverse dns|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9a-f]{1,4}:(?:[0-9a-f]{0,4}:){2,6}[0-9a-f]{0,4})\b/i;
const COMPLAINS =
  /\b(?:block(?:ed)?|block-? ?list(?:ed)?|black-? ?list(?:ed)?|deny-?list(?:ed)?|banned|denied|refused|rejected|listed|listing|(?:not|never) (?:be )?accepted|deferred|reputation|dnsbl|rbl|spamhaus|spamcop|barracuda|rate[- ]?limit(?:ed)?|throttl\w{1,9}|unusual rate|unsolicited|too (?:many|much)|too fast|volume|hostname|ptr|reverse dns)\b/i;
/** What a receiver says of the sender's domain, or of a recipient that is none of its own, with our address as the evidence. */
const OF_THIS_MAIL =
  /\b(?:spf|dkim|dmarc|openspf|authenticat\w{1,6}|not (?:authori[sz]ed|permitted|allowed)|relay(?:ing)? (?:access|denied|not)|to relay|gr[ea]y-?\s?list\w{0,4})\b/i;

/** The first that fits decides. Sections are of RFC 5321 where no other is named. */
const WRITTEN: readonly Rule[] = [
  // Who has seen the content and refuses it for good speaks of the content, whatever else the words and the status say.
  { during: AT_CONTENT, codes: FOR_GOOD, scope: "recipient", source: "section 4.2.1" },
  // A host that is full, congested or going down says so to everybody, whatever it was asked (RFC 3463 sections 3.4, 3.5).
  { status: ["3.1", "3.2", "4.5"], unless: GREYLISTING, scope: "host", source: "RFC 3463 sections 3.4 and 3.5" },
  { codes: new Set([421]), scope: "route", source: "sections 3.8 and 4.2.2" },
  // It will never take mail, but another exchanger of the domain may.
  { codes: new Set([521]), scope: "host", source: "RFC 7504 section 4.1" },
  { codes: new Set([556]), scope: "recipient", source: "RFC 7504 section 4.2" },
  { during: SESSION, scope: "route", source: "sections 3.1 and 4.3.2" },
  { during: new Set(["AUTH"]), scope: "relay", source: "RFC 4954 section 6" },
  {
    during: AT_RCPT,
    codes: new Set([452, 552]),
    status: ["5.3", "none"],
    scope: "overflow",
    source: "section 4.5.3.1.10",
  },
  {
    during: new Set([...BEFORE_CONTENT, ...AT_CONTENT]),
    status: ["7", "none"],
    words: [NAMES_US, COMPLAINS],
    unless: OF_THIS_MAIL,
    scope: "verdict",
    source: "RFC 3463 section 3.8",
  },
  { during: AT_MAIL, codes: new Set([452]), status: ["none"], scope: "host", source: "section 4.2.2: 452, storage" },
  { during: AT_MAIL, status: ["3.4", "2", "6"], scope: "recipient", source: "RFC 1870 section 6, RFC 6531: this mail" },
  { during: AT_MAIL, codes: new Set([552, 555]), status: ["none"], scope: "recipient", source: "section 4.1.1.11" },
  { during: AT_MAIL, status: ["1", "7"], unless: GREYLISTING, scope: "sender", source: "RFC 3463 sections 3.2, 3.8" },
  { during: AT_MAIL, codes: new Set([450, 550, 553]), status: ["none", "0"], scope: "sender", source: "section 3.3" },
  // RCPT, DATA and the end of the content: this mail to this recipient.
  { scope: "recipient", source: "section 3.3" },
];

/** The same, all with the same fields: they are looked through for each failure. */
const RULES: readonly Rule[] = WRITTEN.map(({ during, codes, status, words, unless, scope, source }) => {
  return { during, codes, status, words, unless, scope, source };
});

/**
 * The scope of a failure by its reply, stage and status; `said` is what the delivery made of one that is no reply, and of
 * logins and encryption, about which it knows more.
 */
export function scopeOf(failure: Failure, said: "recipient" | "address" | "host" | "relay"): Scope {
  const { cause, reply } = failure;
  if (reply?.code === 421) return ruleFor(failure, "").scope;
  if (cause.kind === "reply") return ruleFor(failure, cause.during).scope;
  if (cause.kind === "connect") {
    // We could not even set out from there: that is the source's own matter.
    return said === "address" && OUR_END.has(cause.reason) ? "route" : said;
  }
  if (said !== "recipient") return said;
  return cause.kind === "lost" || cause.kind === "protocol" ? "connection" : "recipient";
}

const OUR_END: ReadonlySet<string> = new Set(["unreachable", "source", "other"]);

/** It met one mail: a reply to it, or a connection that ended in the middle of it. Others were not offered. */
export function isOfOneMail({ cause }: Failure): boolean {
  return "during" in cause && (BEFORE_CONTENT.has(cause.during) || AT_CONTENT.has(cause.during));
}

/** What a refusal for good says about the host is over some day. */
export function forNow(failure: Failure): Failure {
  return failure.lasting === "temporary"
    ? failure
    : { ...failure, lasting: "temporary", status: `4${failure.status.slice(1)}` };
}

/** How far each reaches: of several failures in one transaction, the one that reaches farthest says what to do with the rest. */
const REACH: readonly Scope[] = [
  "recipient",
  "overflow",
  "connection",
  "sender",
  "verdict",
  "route",
  "address",
  "host",
  "relay",
];

/** Of all recipients' failures the one that speaks about more than its recipient and reaches farthest. */
export function farthestOf(
  failures: readonly Failure[],
): { readonly failure: Failure; readonly scope: Scope } | undefined {
  let farthest: { failure: Failure; scope: Scope } | undefined;
  for (const failure of failures) {
    const scope = scopeOf(failure, "recipient");
    if (REACH.indexOf(scope) > REACH.indexOf(farthest?.scope ?? "recipient")) farthest = { failure, scope };
  }
  return farthest;
}

function ruleFor(failure: Failure, during: string): Rule {
  const code = failure.reply?.code ?? 0;
  const { subject, detailed } = withoutClass(failure.reply?.status);
  // Few rules look at it, and this is asked several times of each failure.
  let text: string | undefined;
  for (const rule of RULES) {
    const { during: stages, codes, status, words, unless } = rule;
    if (stages !== undefined && !stages.has(during)) continue;
    if (codes !== undefined && !codes.has(code)) continue;
    if (status !== undefined && !status.includes(subject) && !status.includes(detailed)) continue;
    if (words !== undefined || unless !== undefined) {
      text ??= failure.reply === undefined ? "" : failure.reply.lines.join(" ").slice(0, 1000);
      if (unless?.test(text) === true || words?.every((word) => word.test(text ?? "")) === false) continue;
    }
    return rule;
  }
  // The last one fits everything.
  return RULES.at(-1) ?? { scope: "recipient", source: "" };
}

/** `2` and `2.0` of 4.2.0: what rules write of a status. */
function withoutClass(status: string | undefined): { readonly subject: string; readonly detailed: string } {
  if (status === undefined) return { subject: "none", detailed: "none" };
  const dot = status.indexOf(".") + 1;
  const second = dot === 0 ? -1 : status.indexOf(".", dot);
  const detailed = dot === 0 ? "" : status.slice(dot);
  return { subject: second < 0 ? detailed : status.slice(dot, second), detailed };
}

/** The words of greylisting, whatever else the reply says. */
function namesGreylisting(failure: Failure): boolean {
  return failure.reply?.lines.some((line) => GREYLISTING.test(line.slice(0, 1000))) === true;
}

/**
 * A temporary refusal that greylisting may be behind: of a recipient, or of DATA after recipients that were taken (as
 * OpenBSD's spamd does). A mailbox that is full or disabled says so itself, and content that is refused is no greylisting
 * unless it is named.
 */
export function mayBeGreylisting(failure: Failure): boolean {
  const { cause, reply, lasting } = failure;
  if (lasting !== "temporary" || cause.kind !== "reply" || reply === undefined || reply.code > 499) return false;
  if (scopeOf(failure, "recipient") !== "recipient") return false;
  if (namesGreylisting(failure)) return true;
  if (cause.during !== "RCPT" && cause.during !== "DATA") return false;
  const status = reply.status ?? "";
  return !["4.2.1", "4.2.2", "4.2.3", "4.1.1", "4.1.2", "4.5.3"].includes(status);
}
