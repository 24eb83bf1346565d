import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { envelopeIdOf, type MessageId } from "../../src/foundation/ids.ts";
import { bodyFilesIn } from "../../src/mail/queue/intake.io.ts";
import { openQueueStore } from "../../src/mail/queue/open-queue-store.io.ts";
import { queueSettings } from "../../src/mail/queue/settings.ts";
import type { Store } from "../../src/mail/queue/store.ts";

/** What a workload promised until it ended, from its words (`commit-workload.ts`). */
export interface Promised {
  /** Message to hash of its content: must be there, whole. */
  readonly kept: ReadonlyMap<MessageId, string>;
  /** Must not be there. */
  readonly left: ReadonlySet<MessageId>;
  readonly refusals: readonly string[];
}

export function promisedBy(words: string): Promised {
  const kept = new Map<MessageId, string>();
  const left = new Set<MessageId>();
  const refusals: string[] = [];
  // A line cut by a kill was not said.
  for (const line of words.slice(0, words.lastIndexOf("\n") + 1).split("\n")) {
    const [word, id = "", rest = ""] = line.split(" ");
    if (word === "kept") kept.set(id, rest);
    else if (word === "leaving") kept.delete(id);
    else if (word === "left") left.add(id);
    else if (word === "refused") refusals.push(rest);
  }
  return { kept, left, refusals };
}

/**
 * Opens the spool as a starting server would and compares it with the promises. Returns what is wrong, in words; an
 * empty list is what every crash must leave.
 */
export async function faultsOf(
  directory: string,
  promised: Promised,
  queueProgram?: string,
): Promise<readonly string[]> {
  const faults: string[] = [];
  {
    const settings = queueSettings.parse({ store: storeIn(directory, queueProgram) });
    await using store = await openQueueStore({ directory, settings, clock: systemClock });
    for (const [id, hash] of promised.kept) {
      const fault = await faultOf(store, directory, id, hash);
      if (fault !== undefined) faults.push(`${id}: ${fault}`);
    }
    for (const id of promised.left)
      if ((await store.message(id)) !== undefined) faults.push(`${id}: came back after its removal`);
    // Whatever is there, promised or not, must be whole: a message without its body could never be delivered.
    const present = new Set((await store.list({})).map((row) => row.message));
    for (const id of present) {
      if (promised.kept.has(id)) continue;
      const size = (await contentOf(store, directory, id).catch(() => undefined))?.length;
      if (size === undefined || size !== (await store.message(id))?.sizeBytes)
        faults.push(`${id}: in the queue, but not whole`);
    }
  }
  const file = queueProgram === undefined ? "queue.db" : PROGRAM_FILE;
  const database = new DatabaseSync(`${directory}/${file}`, { readOnly: true });
  const verdict = String(database.prepare("PRAGMA integrity_check").get()?.["integrity_check"]);
  database.close();
  if (verdict !== "ok") faults.push(`integrity_check: ${verdict}`);
  return faults;
}

const PROGRAM_FILE = "program.db";

/** `queue.store` of the settings. The program's file lies in the queue's own directory. */
export function storeIn(directory: string, queueProgram: string | undefined): object {
  return queueProgram === undefined ? {} : { process: { command: [queueProgram, `${directory}/${PROGRAM_FILE}`] } };
}

async function faultOf(store: Store, directory: string, id: MessageId, hash: string): Promise<string | undefined> {
  if ((await store.message(id)) === undefined) return "was promised, and is not there";
  const envelopes = await store.envelopes([envelopeIdOf(id, 1), envelopeIdOf(id, 2)]);
  if (envelopes.length !== 2) return `has ${envelopes.length} of 2 envelopes`;
  let content: Uint8Array | undefined;
  try {
    content = await contentOf(store, directory, id);
  } catch (thrown) {
    return `has no readable body: ${String(thrown)}`;
  }
  if (content === undefined) return "has no body";
  if (createHash("sha256").update(content).digest("hex") !== hash) return "has another body than was promised";
  return undefined;
}

async function contentOf(store: Store, directory: string, id: MessageId): Promise<Uint8Array | undefined> {
  const body = await store.body(id);
  if (body?.kind !== "file") return body?.bytes;
  const portions: Uint8Array[] = [];
  for await (const portion of await bodyFilesIn(directory).open(body.name)) portions.push(portion as Uint8Array);
  return Buffer.concat(portions);
}
