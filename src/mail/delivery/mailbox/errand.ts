import type { RunAs } from "../../../foundation/ffi/identity.ts";
import type { LocalOutcome, LocalRequest } from "../delivery.ts";
import type { Quota } from "./quota.ts";

/**
 * What is to be done with somebody's files for one envelope: whose rights it takes and which place it means were found out
 * before, so that whoever has those rights decides nothing. Plain data: it may go to another process.
 */
export interface FileErrand {
  readonly request: LocalRequest;
  /** Whose rights; undefined: our own. */
  readonly as: RunAs | undefined;
  /** The user's `.forward` files, the first that is there counts; empty: none is looked for. */
  readonly forward: readonly string[];
  /** The user whose `.forward` it is. */
  readonly user: string;
  /** Undefined: only the `.forward` is looked for. */
  readonly place: Place | undefined;
}

export type Place =
  /** `extension` may name a folder of it (Maildir++). */
  | { readonly kind: "maildir"; readonly path: string; readonly extension: string; readonly quota?: Quota | undefined }
  /** `isOfSettings`: the operator chose the path, outside the home, so the settings' group may help to write there. */
  | { readonly kind: "mbox"; readonly path: string; readonly isOfSettings: boolean }
  /** A file that an alias or a `.forward` names; kept as an mbox. */
  | { readonly kind: "file"; readonly path: string };

/**
 * Does errands with the rights that they say; undefined when there was no `.forward` and no place. Never rejects for what a
 * disk or a user's files did.
 */
export interface FileAgent extends AsyncDisposable {
  run(errand: FileErrand): Promise<LocalOutcome | undefined>;
  /** The server stops: what waits for a mailbox that somebody else holds is put off at once. */
  leave(): void;
}
