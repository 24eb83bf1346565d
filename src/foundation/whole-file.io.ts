import { randomUUID } from "node:crypto";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileSystem } from "./file-system.io.ts";

/** Names of what is being written: nobody else has such. */
const UNFINISHED = /^\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Another process may be writing, for as long as a reload lasts; never for so long. */
const UNFINISHED_MS = 3_600_000;

/** Never half a file under its name: written beside, synced, renamed. What fails leaves nothing. Throws what the disk says. */
export async function writeWhole(
  path: string,
  content: string | Uint8Array | ((file: FileHandle) => Promise<void>),
  mode: number,
): Promise<void> {
  const beside = join(dirname(path), `.${randomUUID()}`);
  const handle = await open(beside, "wx", mode);
  try {
    await (typeof content === "function" ? content(handle) : handle.writeFile(content));
    await handle.sync();
    await handle.close();
    await rename(beside, path);
  } catch (thrown) {
    await handle.close().catch(() => {});
    await rm(beside, { force: true }).catch(() => {});
    throw thrown;
  }
  await fileSystem.syncDirectory(dirname(path));
}

/** Removes what a crash has left of `writeWhole` in a folder, as far as it can. Never throws. */
export async function sweepUnfinished(folder: string, nowAt: number): Promise<void> {
  const names = await fileSystem.list(folder).catch((): string[] => []);
  for (const name of names.filter((each) => UNFINISHED.test(each))) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && nowAt - found.mtimeMs > UNFINISHED_MS) await rm(path, { force: true }).catch(() => {});
  }
}
