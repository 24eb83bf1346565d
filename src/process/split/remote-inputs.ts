import type { Clock } from "../../foundation/clock.ts";
import { boundsOf } from "../../mail/log/journal.ts";
import type { JournalSettings } from "../../mail/log/settings.ts";
import type { InputJournal } from "../../mail/scheduler/replay/replay.ts";
import type { Channel } from "./channel.ts";
import { MOST_LOG_BACKLOG_BYTES } from "./worker-role.ts";

const INPUTS_WAIT_MS = 50;

/**
 * The journal's inputs over a channel, a portion at a time: counts by itself when a new start is due. A channel that is
 * new or was away has missed something, so a start is due then, too.
 */
export function remoteInputs(
  log: () => Channel | undefined,
  settings: JournalSettings,
  clock: Clock,
): InputJournal & { readonly send: () => void } {
  const { enabled, inputs } = settings;
  const { mostInputBytes } = boundsOf(settings);
  let known: Channel | undefined;
  let charactersSinceStart = Number.POSITIVE_INFINITY;
  let waiting: (readonly [at: number, json: string, isStart: boolean])[] = [];
  const send = (): void => {
    const portion = waiting;
    waiting = [];
    // What an earlier channel was to get would leave a gap in this one's record.
    if (known === undefined || log() !== known) return;
    if (known.backlogBytes() < MOST_LOG_BACKLOG_BYTES) known.note("recordInputs", [portion]);
    else known = undefined;
  };
  return {
    send,
    get wantsStart() {
      if (!enabled || !inputs.enabled) return false;
      const channel = log();
      // Nobody would have it, and writing the whole state down for each event costs mail its time.
      if (channel === undefined || channel.backlogBytes() >= MOST_LOG_BACKLOG_BYTES) return false;
      return channel !== known || charactersSinceStart > mostInputBytes / 4;
    },
    recordInput(at, json, isStart) {
      const channel = log();
      if (!enabled || !inputs.enabled || channel === undefined) return;
      if (isStart && channel !== known) {
        known = channel;
        waiting.length = 0;
      }
      if (channel !== known) return;
      charactersSinceStart = isStart ? 0 : charactersSinceStart + json.length;
      if (waiting.length === 0) clock.after(INPUTS_WAIT_MS, send);
      waiting.push([at, json, isStart]);
    },
  };
}
