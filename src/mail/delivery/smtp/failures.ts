import type { Reply } from "../../../protocol/smtp/reply.ts";
import type { Failure } from "../../envelope/failure.ts";

/** The commands and moments of a session that can fail, in the words of log and DSN. */
export type During =
  | "connect"
  | "greeting"
  | "EHLO"
  | "HELO"
  | "LHLO"
  | "STARTTLS"
  | "TLS handshake"
  | "AUTH"
  | "RSET"
  | "XFORWARD"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "BDAT"
  | "content"
  | "end of DATA"
  | "idle";

/** How a connection came to its end before we wanted it. */
export interface Ended {
  readonly reason: "closed" | "reset" | "timeout" | "protocol" | "other";
  readonly text: string;
}

/**
 * A refusal as a failure. 4xx is temporary, 5xx permanent; RFC 5321 section 4.5.3.1.10: a 552 for RCPT means too many
 * recipients and counts as 452. Anything else in its place is a breach of the protocol, which may be over tomorrow.
 */
export function replyFailure(reply: Reply, during: During, host: string): Failure {
  const kind = Math.floor(reply.code / 100);
  if (kind !== 4 && kind !== 5) {
    const text = `unexpected reply ${reply.code}`;
    return { lasting: "temporary", status: "4.5.0", cause: { kind: "protocol", during, text }, reply, host };
  }
  const isTemporary = kind === 4 || (during === "RCPT" && reply.code === 552);
  const said = reply.status ?? `${kind}.0.0`;
  const status = isTemporary ? `4${said.slice(1)}` : said;
  return { lasting: isTemporary ? "temporary" : "permanent", status, cause: { kind: "reply", during }, reply, host };
}

/** The same, for refusals that speak about the session rather than the mail: never for good. */
export function sessionFailure(reply: Reply, during: During, host: string): Failure {
  const failure = replyFailure(reply, during, host);
  return { ...failure, lasting: "temporary", status: `4${failure.status.slice(1)}` };
}

/**
 * The host takes no mail in plaintext: RFC 3207 section 4, and X.7.10 of the registry of status codes (RFC 5248). Where
 * encryption was to be had or will be, that is about the session and not about the mail.
 */
export function wantsTls({ code, status }: Reply): boolean {
  return code === 530 || status === "5.7.10";
}

/**
 * The same in so many words. 530 wants a login, too (RFC 4954 section 6): of a host that has offered no encryption it says that
 * it wants some only where it says so, and then another of its addresses may offer it, or this one, without what stands between.
 */
export function asksForTls(reply: Reply): boolean {
  return reply.status === "5.7.10" || (reply.code === 530 && /\b(?:START)?TLS\b|encrypt/i.test(reply.lines.join(" ")));
}

export function lostFailure(ended: Ended, during: During, host: string, reply?: Reply): Failure {
  if (ended.reason === "protocol")
    return {
      lasting: "temporary",
      status: "4.5.0",
      cause: { kind: "protocol", during, text: ended.text },
      reply,
      host,
    };
  return { lasting: "temporary", status: "4.4.2", cause: { kind: "lost", reason: ended.reason, during }, reply, host };
}

/** RCPT was refused because the transaction is full, not because of the recipient. */
export function isTooMany(reply: Reply): boolean {
  return reply.code === 552 || (reply.code === 452 && (reply.status === undefined || reply.status.endsWith(".5.3")));
}
