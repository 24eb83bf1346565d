import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { systemCodeOf } from "../../foundation/error.ts";
import { writeWhole } from "../../foundation/whole-file.io.ts";

const SECRET_BYTES = 32;

/**
 * The secret from which salts of users that do not exist are made, from its file; made when there is none. It outlives
 * restarts, or a restart would tell who exists. One that is too short (a disk that was full) is made anew.
 */
export async function loginSecret(file: string): Promise<Uint8Array> {
  const kept = await readFile(file).catch((thrown: unknown) => {
    if (systemCodeOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  });
  if (kept !== undefined && kept.length >= SECRET_BYTES) return kept;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const made = randomBytes(SECRET_BYTES);
  await writeWhole(file, made, 0o600);
  return made;
}
