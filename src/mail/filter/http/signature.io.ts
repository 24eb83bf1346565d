import { createHmac, type Hmac } from "node:crypto";
import type { QuestionBody } from "./question-body.ts";

/**
 * The signature of a question, in the form that Standard Webhooks has (standardwebhooks.com, 1.0), for which there are
 * libraries: HMAC-SHA256 over id, time and body, with dots between. Who checks it also looks whether the time is close to his own
 * and the id new: then nobody can ask the same again.
 */
export async function signatureHeaders(
  secret: string,
  question: { readonly id: string; readonly at: number; readonly body: QuestionBody },
): Promise<Record<string, string>> {
  const seconds = String(Math.floor(question.at / 1000));
  const sum: Hmac = createHmac("sha256", keyOf(secret));
  sum.update(`${question.id}.${seconds}.`);
  for await (const piece of question.body.read()) sum.update(piece);
  return {
    "webhook-id": question.id,
    "webhook-timestamp": seconds,
    "webhook-signature": `v1,${sum.digest("base64")}`,
  };
}

/** `whsec_` and base64, or the text itself. */
function keyOf(secret: string): Buffer {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  return encoded === undefined ? Buffer.from(secret) : Buffer.from(encoded, "base64");
}
