import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../../foundation/clock.io.ts";
import { messageOf } from "../../../foundation/error.ts";
import { bodyFilesIn } from "../../queue/intake.io.ts";
import type { LocalOutcome } from "../delivery.ts";
import { putOff, toldEvents, type ToldEvent } from "./agent-help.ts";
import type { FileErrand } from "./errand.ts";
import { Filing } from "./filing.ts";
import type { MailboxSettings } from "./settings.ts";
import { waitingMailFs } from "./waiting-mail-fs.io.ts";

/**
 * A thread that puts mail into Maildirs with this process's own rights, one errand after the other. Begun by
 * `filing-threads.io.ts`. Each call of the file system is waited for where it is made: a mail makes nine of them, and each
 * would else be a trip to one of Node's four threads and back.
 */
export interface FilingTask {
  readonly settings: MailboxSettings;
  /** The queue's directory. */
  readonly queue: string;
  /** Absolute: where mbox deliveries note what they do. */
  readonly intents: string;
  readonly hostname: string;
  /** `local.extensionDelimiter` of the settings; `""`: addresses have no extensions. */
  readonly extensionDelimiter: string;
  /** Whether a `.forward` may name included lists. */
  readonly mayInclude: boolean;
  /** When this process began: no earlier attempt has come anywhere with mail that was received later. */
  readonly startedAt: number;
}

export type FromFilingThread =
  | { readonly kind: "ready" }
  | { readonly kind: "done"; readonly outcome: LocalOutcome | undefined }
  | { readonly kind: "event"; readonly event: ToldEvent };

const port = parentPort;
if (port !== null) {
  // Our own pool, of this version, is at the other end.
  const task = workerData as FilingTask;
  const say = (message: FromFilingThread): void => port.postMessage(message);
  const files = bodyFilesIn(task.queue);
  const filing = new Filing({
    ...task,
    clock: systemClock,
    emit: toldEvents((event) => say({ kind: "event", event })),
    fs: waitingMailFs,
    openBody: async (body) => (body.kind === "inline" ? once(body.bytes) : files.open(body.name)),
    intentsOf: () => task.intents,
  });
  port.on("message", (errand: FileErrand) => {
    void filing
      .run(errand)
      .catch((thrown: unknown) => putOff(errand, `the delivery failed: ${messageOf(thrown)}`))
      .then((outcome) => say({ kind: "done", outcome }));
  });
  say({ kind: "ready" });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
