import { messageOf } from "../../foundation/error.ts";
import type { Emit } from "../../foundation/events.ts";
import { tellUntaken, type DropFolder } from "../../mail/connection/drop-folder.io.ts";
import type { LocalSubmissionSettings } from "../../mail/connection/local-settings.ts";
import * as events from "../events.ts";

type Wanting = Pick<LocalSubmissionSettings, "enabled" | "drop">;

/** Whether mail that users left while the server was down is taken in. */
export function wantsDrop({ enabled, drop }: Wanting): boolean {
  return enabled && drop;
}

/** Tells of mail in the drop folder that the settings let nobody take in. */
export function tellWhatWaits(folder: string, settings: Wanting, emit: Emit): void {
  if (wantsDrop(settings)) return;
  tellUntaken(folder, emit).catch((thrown: unknown) =>
    emit(events.roleTrouble, { role: "drop folder", problem: messageOf(thrown) }),
  );
}

/** The drop folder of a process that gets new settings while it runs. */
export interface FollowedDrop {
  /** From now on with these settings. */
  take(settings: Wanting): void;
  close(): Promise<void>;
}

/** Each taker has a name of its own, for the one before may still hand in what it has when the next begins. */
export function followedDrop(folder: string, emit: Emit, make: (claimer: string) => DropFolder): FollowedDrop {
  let count = 0;
  let current: DropFolder | undefined;
  const ending = new Set<Promise<void>>();
  const end = (): Promise<void> => {
    const left: Promise<void> = (current?.close() ?? Promise.resolve()).finally(() => ending.delete(left));
    ending.add(left);
    current = undefined;
    return left;
  };
  return {
    take(settings) {
      if (wantsDrop(settings)) {
        if (current !== undefined) return;
        current = make(`server-${++count}`);
        current.start();
      } else void end().then(() => tellWhatWaits(folder, settings, emit));
    },
    async close() {
      void end();
      await Promise.all(ending);
    },
  };
}
