import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";

/**
 * The server's side of a SASL exchange: PLAIN (RFC 4616), LOGIN and EXTERNAL (RFC 4422 appendix A). The machine ends in
 * credentials, or in the identity that is claimed; whether they are right is for others. Base 64, `*` and the SMTP framing (RFC 4954) are handled by `decodeResponse` and the session.
 */
export interface SaslServer {
  readonly mechanism: ServerMechanism;
  /** `initial` is the decoded initial response, undefined when there was none. */
  start(initial: Buffer | undefined): SaslStep;
  /** The decoded response to the last challenge. */
  next(response: Buffer): SaslStep;
}

export type SaslStep =
  | { readonly kind: "challenge"; readonly bytes: Buffer }
  | { readonly kind: "credentials"; readonly user: string; readonly password: string }
  /** The client wants to be who something outside of SASL (its certificate) says; `""`: whoever that is. */
  | { readonly kind: "external"; readonly authorization: string }
  /** 501 5.5.2: the client spoke badly. */
  | { readonly kind: "refused"; readonly problem: Problem };

export const PASSWORD_MECHANISMS = ["PLAIN", "LOGIN"] as const;
export type ServerMechanism = (typeof PASSWORD_MECHANISMS)[number] | "EXTERNAL";

/** RFC 4616 section 2 allows long texts; no account has them. */
const MAX_TEXT = 1024;
const EMPTY = Buffer.alloc(0);

export function saslServer(mechanism: string): SaslServer | undefined {
  switch (mechanism.toUpperCase()) {
    case "PLAIN":
      return plainServer();
    case "LOGIN":
      return loginServer();
    case "EXTERNAL":
      return externalServer();
    default:
      return undefined;
  }
}

function plainServer(): SaslServer {
  function finish(message: Buffer): SaslStep {
    const parts = textOf(message)?.split("\0");
    const [authorization = "", user = "", password = ""] = parts ?? [];
    if (parts?.length !== 3 || user === "" || password === "")
      return refuse("an authorisation identity, a user and a password, with NULs between");
    // To act for another user needs a right that no account has here.
    if (authorization !== "" && authorization !== user) return refuse("no other authorisation identity");
    return { kind: "credentials", user, password };
  }
  return {
    mechanism: "PLAIN",
    start: (initial) => (initial === undefined ? { kind: "challenge", bytes: EMPTY } : finish(initial)),
    next: finish,
  };
}

function loginServer(): SaslServer {
  let user: string | undefined;
  function onUser(response: Buffer): SaslStep {
    user = textOf(response);
    if (user === undefined || user === "" || user.includes("\0")) return refuse("a user name");
    return { kind: "challenge", bytes: Buffer.from("Password:") };
  }
  return {
    mechanism: "LOGIN",
    // Old clients wait for exactly these prompts.
    start: (initial) =>
      initial === undefined ? { kind: "challenge", bytes: Buffer.from("Username:") } : onUser(initial),
    next(response) {
      if (user === undefined) return onUser(response);
      const password = textOf(response);
      if (password === undefined || password === "" || password.includes("\0")) return refuse("a password");
      return { kind: "credentials", user, password };
    },
  };
}

/** RFC 4422 appendix A: the response is the authorisation identity, or nothing. */
function externalServer(): SaslServer {
  function finish(message: Buffer): SaslStep {
    const authorization = textOf(message);
    if (authorization === undefined || authorization.includes("\0")) return refuse("an authorisation identity");
    return { kind: "external", authorization };
  }
  return {
    mechanism: "EXTERNAL",
    start: (initial) => (initial === undefined ? { kind: "challenge", bytes: EMPTY } : finish(initial)),
    next: finish,
  };
}

/** RFC 4954 section 4: strict base 64 of a response line; `=` alone is the empty initial response; `*` cancels. */
export function decodeResponse(
  line: string,
): Result<Buffer, Problem> | { readonly ok: true; readonly value: "cancel" } {
  if (line === "*") return { ok: true, value: "cancel" };
  if (line === "=" || line === "") return { ok: true, value: EMPTY };
  if (line.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(line)) return refused({ at: 0, expected: "base 64" });
  return ok(Buffer.from(line, "base64"));
}

function textOf(bytes: Buffer): string | undefined {
  if (bytes.length > 3 * MAX_TEXT) return undefined;
  const text = bytes.toString("utf8");
  return text.includes("\ufffd") ? undefined : text;
}

function refuse(expected: string): SaslStep {
  return { kind: "refused", problem: { at: 0, expected } };
}
