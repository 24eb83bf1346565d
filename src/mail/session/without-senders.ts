import type { AcceptedRecipient } from "./state.ts";

/** The mail's sender for all that it stands for: what was made of another one would bring its bounces to the wrong place. */
export function withoutSenders(recipient: AcceptedRecipient): AcceptedRecipient {
  return { ...recipient, targets: recipient.targets.map((target) => ({ ...target, sender: undefined })) };
}
