import type { DnsFinding } from "../../protocol/dns/resolver.ts";
import type { Reply } from "../../protocol/smtp/reply.ts";

/**
 * Mail could not go: told as data, never thrown. Permanent means that no repeat can help; in doubt it is temporary.
 * `cause.kind` is the closed list of reason codes that log, metrics, DSN, CLI and console share.
 */
export interface Failure {
  readonly lasting: "temporary" | "permanent";
  /** RFC 3463 enhanced status, `4.4.1`. */
  readonly status: string;
  readonly cause: Cause;
  /** What the next host said, if it spoke. */
  readonly reply?: Reply | undefined;
  /** The next host as `name[address]:port`, when one was reached or tried. */
  readonly host?: string | undefined;
}

export type Cause =
  /** The next host answered a command with a 4xx or 5xx; `during` is that command (`RCPT`, `end of DATA`, `greeting`). */
  | { readonly kind: "reply"; readonly during: string }
  | { readonly kind: "dns"; readonly finding: DnsFinding }
  | { readonly kind: "no-such-domain"; readonly domain: string }
  /** RFC 7505: the domain says that it takes no mail. */
  | { readonly kind: "null-mx"; readonly domain: string }
  /** The domain's best MX is this host, but no rule makes it local. */
  | { readonly kind: "mx-loop"; readonly domain: string }
  /** `isDomain`: the domain names no mail server, and has no address itself. */
  | { readonly kind: "no-address"; readonly host: string; readonly isDomain?: boolean | undefined }
  | {
      readonly kind: "connect";
      /** `source`: our own address cannot be used, which says nothing about the host. */
      readonly reason: "refused" | "timeout" | "unreachable" | "reset" | "source" | "other";
      readonly text: string;
    }
  /** The connection ended, or went silent, in the middle. `during` names the command that waited. */
  | { readonly kind: "lost"; readonly reason: "closed" | "reset" | "timeout" | "other"; readonly during: string }
  | { readonly kind: "protocol"; readonly during: string; readonly text: string }
  /** Encryption was asked for and could not be had. */
  | {
      readonly kind: "tls";
      readonly reason: "not-offered" | "refused" | "handshake" | "unverified" | "policy";
      readonly text: string;
    }
  | {
      readonly kind: "auth";
      readonly reason: "not-offered" | "no-mechanism" | "refused" | "not-encrypted";
      readonly text: string;
    }
  /** The next host lacks what this message needs. */
  | {
      readonly kind: "unsupported";
      readonly extension: "SMTPUTF8" | "8BITMIME" | "BINARYMIME" | "SIZE" | "DELIVERBY" | "REQUIRETLS";
      /** The host offers it; it is we who do not use it there. */
      readonly isWithheld?: boolean | undefined;
    }
  | {
      readonly kind: "mailbox";
      /** `forward`: the user's own `.forward` cannot be used. */
      readonly reason: "no-such-user" | "locked" | "full" | "permission" | "io" | "forward";
      readonly text: string;
    }
  /** `text` is for the operator, `told` for the mail's sender: what the command has to say to him, without what else it wrote. */
  | { readonly kind: "command"; readonly text: string; readonly told?: string | undefined }
  /** An alias or a `.forward` leads nowhere. `text` may name tables and files and is for the operator; `told` is for the sender. */
  | {
      readonly kind: "alias";
      readonly reason: "loop" | "too-many" | "unknown" | "refused" | "nobody" | "not-now";
      readonly text: string;
      readonly told?: string | undefined;
    }
  /** The next host did not take other mail, and this was kept from it. Nothing is said of what that mail was told. */
  | { readonly kind: "not-tried" }
  | { readonly kind: "hops"; readonly count: number }
  | { readonly kind: "expired"; readonly afterMs: number }
  | { readonly kind: "deliver-by"; readonly at: number }
  /** The settings no longer have the action that the rules chose, or it is incomplete. */
  | { readonly kind: "settings"; readonly text: string }
  | { readonly kind: "operator"; readonly text: string }
  /** Our side could not do its part: a worker died, the body could not be read. */
  | { readonly kind: "internal"; readonly text: string };

export type CauseKind = Cause["kind"];
