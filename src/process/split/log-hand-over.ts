import { encodeRecords, type EventRecord } from "../../mail/log/record.ts";
import type { Channel } from "./channel.ts";
import { MOST_LOG_BACKLOG_BYTES } from "./worker-role.ts";

/** Hands records to the log process. What that one does not take stays with the emitter, which bounds and counts it. */
export function logHandOver(log: () => Channel | undefined): (records: readonly EventRecord[]) => boolean {
  return (records) => {
    const channel = log();
    if (channel === undefined || !channel.isOpen || channel.backlogBytes() > MOST_LOG_BACKLOG_BYTES) return false;
    channel.note("write", [encodeRecords(records)]);
    return true;
  };
}
