import { bodyFilesIn } from "../../mail/queue/intake.io.ts";
import type { Body } from "../../mail/queue/store.ts";
import type { Folders } from "../folders.ts";

/** The content of a body, wherever it is kept. Stopping early closes the file. */
export function bodyOpener(folders: Folders): (body: Body) => AsyncIterable<Uint8Array> {
  const files = bodyFilesIn(folders.queue);
  return async function* open(body) {
    if (body.kind === "inline") yield body.bytes;
    else yield* await files.open(body.name);
  };
}
