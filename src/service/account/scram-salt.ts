import { createHmac } from "node:crypto";
import type { ScramHash } from "../../protocol/sasl/question.ts";

/**
 * The salt of an account that has none kept: of one whose password is kept itself, and of one that does not exist. The
 * same for ever, and from the same secret for both, so that it tells nobody which of the two it is.
 */
export function scramSalt(secret: Uint8Array, hash: ScramHash, user: string): Buffer {
  return createHmac("sha256", secret).update(`${hash} ${user.toLowerCase()}`).digest().subarray(0, 16);
}
