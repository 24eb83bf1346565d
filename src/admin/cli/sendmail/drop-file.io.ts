import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";

/**
 * Leaves a file in a folder in which everybody may make files and nobody else may look (`drop-folder.io.ts` takes it from
 * there). It has its final name when it is whole and on the disk. The folder's own entry is not ours to make durable, for we
 * cannot open the folder: whoever takes the mail in does that with the queue.
 */
export async function dropFile(folder: string, bytes: Uint8Array): Promise<void> {
  const name = randomBytes(24).toString("base64url");
  const unfinished = join(folder, `.${name}.part`);
  // The server is another user, and reads it by this mode; nobody else knows the name.
  const file = await open(
    unfinished,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o644,
  );
  try {
    await file.chmod(0o644);
    await file.writeFile(bytes);
    await file.sync();
    await file.close();
    await rename(unfinished, join(folder, `${name}.mail`));
  } catch (thrown) {
    await file.close().catch(() => {});
    await unlink(unfinished).catch(() => {});
    throw thrown;
  }
}
