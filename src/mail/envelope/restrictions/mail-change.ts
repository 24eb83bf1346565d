/**
 * What a restriction wants done to a mail that it lets pass: policy servers say such things. It is remembered with the
 * transaction, and done when the mail is complete; where one restriction says discard, the rest does not matter.
 */
export type MailChange = {
  /** For the log. */
  readonly by: string;
  /** Whose wish it is, by the place among the restrictions of the listener. */
  readonly place?: number | undefined;
} &
  /** In front of all fields, ours too: `X-Greylist: delayed 300 seconds`, without its line end. Only before the content. */
  (
    | { readonly change: "add-field"; readonly field: string }
    /** It is kept in the queue, and not delivered before somebody lets it go. */
    | { readonly change: "hold"; readonly because: string }
    /** The client is told that we have it; nobody gets it. */
    | { readonly change: "discard"; readonly because: string }
    /** One address gets it, instead of all recipients. */
    | { readonly change: "redirect"; readonly to: string }
    /** One address more gets it, and nobody sees that. */
    | { readonly change: "copy"; readonly to: string }
    /** It goes where this action sends it: the name of an action in the settings. */
    | { readonly change: "action"; readonly action: string }
  );

/** Where a session stands. */
export const RESTRICTION_STAGES = ["connect", "helo", "auth", "mail", "rcpt", "data", "end-of-data"] as const;
export type RestrictionStage = (typeof RESTRICTION_STAGES)[number];
