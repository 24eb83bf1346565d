import { pbkdf2 } from "node:crypto";
import { promisify } from "node:util";

const run = promisify(pbkdf2);

/** PBKDF2 with HMAC-SHA-256 and 32 octets, in the thread pool: the event loop goes on meanwhile. */
export function pbkdf2Sha256(password: Buffer, salt: Buffer, iterations: number): Promise<Buffer> {
  return run(password, salt, iterations, 32, "sha256");
}
