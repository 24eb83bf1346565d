import { PosthornError } from "../../../foundation/error.ts";

/**
 * Whether the journal's file may have the answer that the server did not give: none runs, or it tells this user only of own
 * mail. The user of the server's processes, for one, may read the file all the same.
 */
export function journalInstead(thrown: unknown): boolean {
  return (
    thrown instanceof PosthornError && (thrown.code === "CONTROL_UNREACHABLE" || thrown.code === "CONTROL_REFUSED")
  );
}
