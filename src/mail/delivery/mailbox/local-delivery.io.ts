import { localDelivery, type LocalDeliveryParts } from "./local-delivery.ts";
import type { LocalDelivery } from "../delivery.ts";
import { mailFs } from "./mail-fs.io.ts";

/**
 * Final delivery on the machine's own file system. Begins, in the background, with recovering what mbox deliveries of an
 * earlier life left unfinished.
 */
export function createLocalDelivery(parts: Omit<LocalDeliveryParts, "fs">): LocalDelivery & AsyncDisposable {
  return localDelivery({ ...parts, fs: mailFs });
}
