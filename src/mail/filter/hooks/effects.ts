import { reply, type Reply } from "../../../protocol/smtp/reply.ts";

/**
 * What hooks may say, as plain data, so that it can come from a thread. Each has a function of its own; TypeScript says
 * which of them a hook may use. Whatever the types say, `read-answer.ts` looks at what came.
 */
export type HookEffect = MessageEffect | HeloEffect | SenderEffect | RcptEffect | SessionEffect;

export type SessionEffect =
  | { readonly effect: "accept" }
  | { readonly effect: "skip" }
  | { readonly effect: "refuse"; readonly reply: Reply }
  | { readonly effect: "disconnect"; readonly reply: Reply }
  | { readonly effect: "tag"; readonly tags: readonly string[] };

export type HeloEffect = SessionEffect | { readonly effect: "rewrite-helo"; readonly to: string };

export type MailEffect =
  | SessionEffect
  | { readonly effect: "discard"; readonly because?: string | undefined }
  | { readonly effect: "quarantine"; readonly because: string };

type RewriteSender = { readonly effect: "rewrite-sender"; readonly to: string };

export type SenderEffect = MailEffect | RewriteSender;
export type RcptEffect = MailEffect | { readonly effect: "rewrite-recipient"; readonly to: string };

export type MessageEffect =
  | Exclude<MailEffect, { readonly effect: "skip" | "disconnect" }>
  | RewriteSender
  | { readonly effect: "add-header"; readonly name: string; readonly value: string; readonly at?: number | undefined }
  | { readonly effect: "change-header"; readonly name: string; readonly value: string; readonly nth: number }
  | { readonly effect: "remove-header"; readonly name: string; readonly nth?: number | undefined }
  | { readonly effect: "replace-body"; readonly body: BodySource }
  | { readonly effect: "add-recipient"; readonly recipient: string }
  | { readonly effect: "remove-recipient"; readonly recipient: string }
  | { readonly effect: "choose-action"; readonly action: string }
  | {
      readonly effect: "score";
      readonly value: number;
      readonly wanted?: number | undefined;
      readonly symbols: string;
    };

/** Lines end in CRLF there. Text is written as UTF-8. */
export type BodySource = string | Uint8Array | AsyncIterable<Uint8Array | string>;

type Refuse = Extract<SessionEffect, { effect: "refuse" }>;

/** Nothing against it: the same as saying nothing. Filters behind this one, and the rules, may still refuse. */
export function accept(): SessionEffect & { readonly effect: "accept" } {
  return { effect: "accept" };
}

/** Nothing against it, and these hooks need not be asked any more: about the session when said before MAIL, else about this mail. */
export function skip(): SessionEffect & { readonly effect: "skip" } {
  return { effect: "skip" };
}

/** For good: `reject(550, "5.7.1", "No such thing here")`, or only the text. */
export function reject(text?: string): Refuse;
export function reject(code: number, status: string, text?: string): Refuse;
export function reject(
  first: number | string = "Refused by local policy",
  status = "5.7.1",
  text = "Refused by local policy",
): Refuse {
  return typeof first === "number" ? refuse(first, status, text) : refuse(550, "5.7.1", first);
}

/** The client is to come again: `defer(451, "4.7.1", "Not now")`, or only the text. */
export function defer(text?: string): Refuse;
export function defer(code: number, status: string, text?: string): Refuse;
export function defer(first: number | string = "Try again later", status = "4.7.1", text = "Try again later"): Refuse {
  return typeof first === "number" ? refuse(first, status, text) : refuse(451, "4.7.1", first);
}

function refuse(code: number, status: string, text: string): Refuse {
  return { effect: "refuse", reply: reply(code, status, ...text.split(/\r?\n/)) };
}

/** The session ends with a 421, or with what is given. */
export function disconnect(
  text = "Closing the connection",
  code = 421,
  status = code < 500 ? "4.7.0" : "5.7.0",
): Extract<SessionEffect, { effect: "disconnect" }> {
  return { effect: "disconnect", reply: reply(code, status, ...text.split(/\r?\n/)) };
}

/** The mail is accepted and thrown away. `because` is for the log. */
export function discard(because?: string): Extract<MailEffect, { effect: "discard" }> {
  return { effect: "discard", because };
}

/** The mail is accepted and kept where an operator finds it. `because` is for the operator. */
export function quarantine(because: string): Extract<MailEffect, { effect: "quarantine" }> {
  return { effect: "quarantine", because };
}

/** Words that rules match as `tag`. */
export function tag(...tags: readonly string[]): Extract<SessionEffect, { effect: "tag" }> {
  return { effect: "tag", tags };
}

/** The name in HELO or EHLO is another one, for all who look at it later. */
export function rewriteHelo(to: string): Extract<HeloEffect, { effect: "rewrite-helo" }> {
  return { effect: "rewrite-helo", to };
}

/** The sender of the envelope is another one; `""` is the null sender. */
export function rewriteSender(to: string): RewriteSender {
  return { effect: "rewrite-sender", to };
}

/** The recipient that was just given is another one. The rules judge it anew. */
export function rewriteRecipient(to: string): Extract<RcptEffect, { effect: "rewrite-recipient" }> {
  return { effect: "rewrite-recipient", to };
}

/** Behind the last field, or with `at` 0 in front of all. What is not ASCII is written as RFC 2047 wants it. */
export function addHeader(name: string, value: string, at?: number): Extract<MessageEffect, { effect: "add-header" }> {
  return { effect: "add-header", name, value, at };
}

/** The nth field of the name, from 1; where there are fewer it is added. */
export function changeHeader(
  name: string,
  value: string,
  nth = 1,
): Extract<MessageEffect, { effect: "change-header" }> {
  return { effect: "change-header", name, value, nth };
}

/** The nth field of the name, from 1, or all of them. */
export function removeHeader(name: string, nth?: number): Extract<MessageEffect, { effect: "remove-header" }> {
  return { effect: "remove-header", name, nth };
}

/** All behind the empty line. Large bodies are given in pieces. */
export function replaceBody(body: BodySource): Extract<MessageEffect, { effect: "replace-body" }> {
  return { effect: "replace-body", body };
}

/** Goes through the rules as if the client had given it. */
export function addRecipient(recipient: string): Extract<MessageEffect, { effect: "add-recipient" }> {
  return { effect: "add-recipient", recipient };
}

/** As the client gave it. A mail that loses all of its recipients is discarded. */
export function removeRecipient(recipient: string): Extract<MessageEffect, { effect: "remove-recipient" }> {
  return { effect: "remove-recipient", recipient };
}

/** The action for all recipients, instead of the one that the rules chose; its name in the settings. */
export function chooseAction(action: string): Extract<MessageEffect, { effect: "choose-action" }> {
  return { effect: "choose-action", action };
}

/** For the log: how bad it is, from where on it would be too bad, and what that is made of. */
export function score(
  value: number,
  about: { readonly wanted?: number; readonly symbols?: string } = {},
): Extract<MessageEffect, { effect: "score" }> {
  return { effect: "score", value, wanted: about.wanted, symbols: about.symbols ?? "" };
}
