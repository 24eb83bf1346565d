import { pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import type { ScramHash } from "./question.ts";
import { SCRAM_HASHES } from "./scram.ts";

const run = promisify(pbkdf2);

/** PBKDF2 with HMAC, as SCRAM salts passwords, in the thread pool: the event loop goes on meanwhile. */
export function scramPbkdf2(password: Buffer, salt: Buffer, iterations: number, hash: ScramHash): Promise<Buffer> {
  const { digest, bytes } = SCRAM_HASHES[hash];
  return run(password, salt, iterations, bytes, digest);
}
