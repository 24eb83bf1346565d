import type { FilterStage, MailEdit } from "../filter.ts";

/** The tag of what a filter called junk. */
export const JUNK = "junk";

/** As in OpenSMTPD: what is called junk is delivered, with a field that says so. */
const FIELD: MailEdit = { edit: "add-field", name: "X-Spam", value: "yes", at: 0 };

/** Whether what a session sends was called junk: all of it, when that was said before MAIL, or the mail under way. */
export class JunkMark {
  #is: "no" | "mail" | "session" = "no";

  set(stage: FilterStage): void {
    if (this.#is === "session") return;
    this.#is = stage === "connect" || stage === "helo" || stage === "auth" ? "session" : "mail";
  }

  /** The mail under way is over. */
  forgetMail(): void {
    if (this.#is === "mail") this.#is = "no";
  }

  /** What that means for a mail that is complete. */
  take(): { readonly edits: readonly MailEdit[]; readonly tags?: readonly string[]; readonly because?: string } {
    const isJunk = this.#is !== "no";
    this.forgetMail();
    return isJunk ? { edits: [FIELD], tags: [JUNK], because: "it is junk" } : { edits: [] };
  }
}
