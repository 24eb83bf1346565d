import { messageOf, PosthornError, systemCodeOf } from "../../../foundation/error.ts";
import type { Failure } from "../../envelope/failure.ts";

type MailboxReason = Extract<Failure["cause"], { kind: "mailbox" }>["reason"];

interface Meaning {
  readonly lasting: Failure["lasting"];
  readonly status: string;
  readonly reason: MailboxReason;
}

const io: Meaning = { lasting: "temporary", status: "4.3.0", reason: "io" };
// Somebody with access can mend these while the mail waits, so they are temporary.
const permission: Meaning = { lasting: "temporary", status: "4.3.5", reason: "permission" };

/**
 * The system's errors as fates of an envelope: the one place where that is decided. What is not listed is temporary,
 * for a disk that failed in an unknown way says nothing about the recipient.
 */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOSPC: { lasting: "temporary", status: "4.3.1", reason: "full" },
  EDQUOT: { lasting: "temporary", status: "4.2.2", reason: "full" },
  EFBIG: { lasting: "temporary", status: "4.2.2", reason: "full" },
  EACCES: permission,
  EPERM: permission,
  EROFS: permission,
  ELOOP: permission,
  ENOTDIR: permission,
  EISDIR: permission,
  ERR_ACCESS_DENIED: permission,
  // The recipient's own name makes the path; waiting makes it no shorter.
  ENAMETOOLONG: { lasting: "permanent", status: "5.1.1", reason: "no-such-user" },
};

/**
 * What a thrown error means for the envelope; `mailbox` is the place, for the text. `overQuota`: whether a mailbox without
 * room is waited for.
 */
export function diskFailure(thrown: unknown, mailbox: string, overQuota: "defer" | "bounce" = "defer"): Failure {
  if (thrown instanceof OverQuota) {
    const text = `${mailbox}: ${thrown.message}`;
    return overQuota === "bounce"
      ? { lasting: "permanent", status: "5.2.2", cause: { kind: "mailbox", reason: "full", text } }
      : temporary("4.2.2", "full", text);
  }
  if (thrown instanceof MailboxRefusal) {
    const { reason } = thrown;
    return temporary(reason === "locked" ? "4.2.0" : permission.status, reason, `${mailbox}: ${thrown.message}`);
  }
  if (thrown instanceof PosthornError) return temporary(io.status, io.reason, `${thrown.message} (${thrown.advice})`);
  const { lasting, status, reason } = MEANINGS[systemCodeOf(thrown) ?? ""] ?? io;
  return { lasting, status, cause: { kind: "mailbox", reason, text: `${mailbox}: ${messageOf(thrown)}` } };
}

function temporary(status: string, reason: MailboxReason, text: string): Failure {
  return { lasting: "temporary", status, cause: { kind: "mailbox", reason, text } };
}

/** We will not, or cannot now, deliver there, although no system call failed. Always temporary. */
export class MailboxRefusal extends Error {
  override readonly name = "MailboxRefusal";
  readonly reason: "locked" | "permission";

  constructor(reason: "locked" | "permission", message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The mailbox may hold no more. */
export class OverQuota extends Error {
  override readonly name = "OverQuota";
}
