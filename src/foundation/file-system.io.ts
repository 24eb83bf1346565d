import { open, readdir, unlink } from "node:fs/promises";
import { systemCodeOf } from "./error.ts";

/** What everybody who keeps files durably asks of the machine's file system. What is not there is an answer. */
export const fileSystem = {
  /** Makes durable which names the directory has. */
  async syncDirectory(path: string): Promise<void> {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  /** False when it was not there. */
  async unlink(path: string): Promise<boolean> {
    return (await ifThere(unlink(path).then(() => true))) ?? false;
  },
  /** Empty when the directory is not there. */
  async list(path: string): Promise<string[]> {
    return (await ifThere(readdir(path))) ?? [];
  },
};

/** Undefined when the file or directory is not there. */
export async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}
