import type { SaslAnswer, SaslQuestion } from "./question.ts";
import type { SaslStep } from "./server.ts";

/** RFC 4616 section 2 allows long texts; no account has them. */
const MOST_TEXT = 1024;

/** UTF-8, and no longer than an account's name or a password is; else undefined. */
export function textOf(bytes: Buffer, most = 3 * MOST_TEXT): string | undefined {
  if (bytes.length > most) return undefined;
  const text = bytes.toString("utf8");
  return text.includes("\ufffd") ? undefined : text;
}

export function challenge(text: string): SaslStep {
  return { kind: "challenge", bytes: Buffer.from(text, "utf8") };
}

export function refuse(expected: string): SaslStep {
  return { kind: "refused", problem: { at: 0, expected } };
}

export function ask(question: SaslQuestion): SaslStep {
  return { kind: "ask", question };
}

/** Where an answer ends the exchange. */
export function ended(user: string, answer: SaslAnswer): SaslStep {
  if (answer.kind === "right") return { kind: "done", account: answer.account };
  if (answer.kind === "salt") return { kind: "denied", user, answer: { kind: "failed", text: "an answer to nothing" } };
  return { kind: "denied", user, answer };
}
