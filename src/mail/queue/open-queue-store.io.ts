import type { Store } from "./store.ts";
import { openStore, type StoreOptions } from "./store.io.ts";

/** The store that the settings name: the embedded one, or a program's. Rejects as they do. */
export async function openQueueStore(options: StoreOptions): Promise<Store> {
  const { process: program } = options.settings.store;
  if (program === undefined) return await openStore(options);
  const { openProcessStore } = await import("./process/process-store.io.ts");
  return await openProcessStore(program.command, options);
}
