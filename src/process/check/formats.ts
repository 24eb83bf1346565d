import { refuseNewer } from "../../foundation/database-format.io.ts";
import { greylistDatabase } from "../../mail/envelope/restrictions/greylist-database.ts";
import { dmarcDatabase } from "../../mail/filter/authentication/dmarc-database.ts";
import { journalDatabase } from "../../mail/log/journal.ts";
import { queueDatabase } from "../../mail/queue/schema.ts";
import type { Folders } from "../folders.ts";

/**
 * Before a server opens or changes anything: no database in its state directory is of a newer format than it knows. Else it
 * must not start, for what it would do half of (a queue without greylisting, a log without a memory) is worse than a plain
 * word to whoever has just gone back a version. Throws `STORE_VERSION`.
 */
export function checkFormats({ queue, journalFile, greylistFile, dmarcFile }: Folders): void {
  refuseNewer(`${queue}/queue.db`, queueDatabase);
  refuseNewer(journalFile, journalDatabase);
  refuseNewer(greylistFile, greylistDatabase);
  refuseNewer(dmarcFile, dmarcDatabase);
}
