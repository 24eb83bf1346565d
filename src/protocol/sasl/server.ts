import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import type { ScramBindings } from "./scram-server.ts";
import { scramServer } from "./scram-server.ts";
import { cramMd5Server, externalServer, loginServer, plainServer } from "./password-servers.ts";
import { oauthServer } from "./oauth-server.ts";
import type { SaslAnswer, SaslMechanism, SaslQuestion } from "./question.ts";

/**
 * The server's side of a SASL exchange (RFC 4422) as a machine. Where it needs somebody who knows the accounts its step is
 * `ask`, and goes on with `told`. Base 64, `*` and the SMTP framing (RFC 4954) are for `decodeResponse` and the session.
 *
 * | mechanism | file |
 * |---|---|
 * | PLAIN (RFC 4616), LOGIN, EXTERNAL (RFC 4422 appendix A), CRAM-MD5 (RFC 2195) | `password-servers.ts` |
 * | SCRAM-SHA-1, SCRAM-SHA-256, and with -PLUS (RFC 5802, 7677, 5929, 9266) | `scram-server.ts` |
 * | OAUTHBEARER (RFC 7628), XOAUTH2 | `oauth-server.ts` |
 */
export interface SaslServer {
  readonly mechanism: SaslMechanism;
  /** `initial` is the decoded initial response, undefined when there was none. */
  start(initial: Buffer | undefined): SaslStep;
  /** The decoded response to the last challenge. */
  next(response: Buffer): SaslStep;
  /** The answer to what the last step asked. */
  told(answer: SaslAnswer): SaslStep;
}

export type SaslStep =
  /** `denied`: the answer was no, and this says so to the client in the mechanism's words; what it replies changes nothing. */
  | { readonly kind: "challenge"; readonly bytes: Buffer; readonly denied?: SaslDenied | undefined }
  | { readonly kind: "ask"; readonly question: SaslQuestion }
  /** The client wants to be who something outside of SASL (its certificate) says; `""`: whoever that is. */
  | { readonly kind: "external"; readonly authorization: string }
  | { readonly kind: "done"; readonly account: string }
  | SaslDenied
  /** 501 5.5.2: the client spoke badly. */
  | { readonly kind: "refused"; readonly problem: Problem };

/** The client is not logged in: why, and what of it the client may be told besides. */
export interface SaslDenied {
  readonly kind: "denied";
  readonly user: string;
  readonly answer: SaslDenial;
  /** A word of the mechanism's own for what was wrong with the exchange: `channel-bindings-dont-match`. */
  readonly says?: string | undefined;
  /** It came with a challenge before: only the reply is due. */
  readonly isTold?: true | undefined;
}

export type SaslDenial = Extract<SaslAnswer, { kind: "wrong" | "failed" | "blocked" }>;

/** What exchanges need of the world. */
export interface ServerMeans extends ScramBindings {
  /** Printable, without comma, at least 18 octets of chance, another one each time. */
  readonly nonce: () => string;
  /** For CRAM-MD5's challenge. */
  readonly hostname: string;
}

/** Undefined for a name we do not speak. */
export function saslServer(name: string, means: ServerMeans): SaslServer | undefined {
  const mechanism = name.toUpperCase() as SaslMechanism;
  switch (mechanism) {
    case "PLAIN":
      return plainServer();
    case "LOGIN":
      return loginServer();
    case "EXTERNAL":
      return externalServer();
    case "CRAM-MD5":
      return cramMd5Server(means);
    case "SCRAM-SHA-256":
    case "SCRAM-SHA-1":
    case "SCRAM-SHA-256-PLUS":
    case "SCRAM-SHA-1-PLUS":
      return scramServer(mechanism, means);
    case "OAUTHBEARER":
    case "XOAUTH2":
      return oauthServer(mechanism);
    default:
      return undefined;
  }
}

/** RFC 4954 section 4: strict base 64 of a response line; `=` alone is the empty initial response; `*` cancels. */
export function decodeResponse(
  line: string,
): Result<Buffer, Problem> | { readonly ok: true; readonly value: "cancel" } {
  if (line === "*") return { ok: true, value: "cancel" };
  if (line === "=" || line === "") return { ok: true, value: Buffer.alloc(0) };
  if (line.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(line)) return refused({ at: 0, expected: "base 64" });
  return ok(Buffer.from(line, "base64"));
}
