import type { LocalOutcome } from "../delivery.ts";
import { Turns } from "../../../foundation/turns.ts";
import type { FileAgent, FileErrand } from "./errand.ts";
import { Filing, type FilingParts } from "./filing.ts";
import { Mboxes } from "./mbox.ts";

/**
 * Files with the rights that this process has anyway, so many deliveries at once. Begins, in the background, with recovering
 * what mbox deliveries of an earlier life left unfinished; a delivery into an mbox that is not recovered yet does that first.
 * `maildirs`: who does what ends in a Maildir; without it that is done here, too.
 */
export function ownFiles(parts: Omit<FilingParts, "mboxes"> & { readonly maildirs?: FileAgent }): FileAgent {
  const filing = new Filing({ ...parts, mboxes: (own) => new Mboxes(own) });
  const { maildirs = filing } = parts;
  const turns = new Turns({ most: parts.settings.concurrency });
  // Those for one mbox wait for each other first: one that somebody else holds takes a single one of the others' places.
  const lines = new Turns({ most: Infinity, mostPerKey: 1 });
  const recovery = filing.recover(undefined);
  return {
    run(errand: FileErrand): Promise<LocalOutcome | undefined> {
      const own = { ...errand, as: undefined };
      const { place } = errand;
      if (place?.kind === "maildir") return turns.take(() => maildirs.run(own));
      const run = (): Promise<LocalOutcome | undefined> => turns.take(() => filing.run(own));
      return place === undefined ? run() : lines.take(run, { key: place.path });
    },
    leave() {
      filing.leave();
      maildirs.leave();
    },
    async [Symbol.asyncDispose]() {
      await recovery;
      await maildirs[Symbol.asyncDispose]();
    },
  };
}
