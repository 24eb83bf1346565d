import { createHmac } from "node:crypto";
import { ok, refused } from "../../foundation/result.ts";
import type { Credentials, SaslClient } from "./client.ts";

/** PLAIN (RFC 4616): the password itself, so only ever under TLS. */
export function plainClient(credentials: Credentials): SaslClient {
  const message = Buffer.from(`\0${credentials.user}\0${credentials.password}`, "utf8");
  return {
    mechanism: "PLAIN",
    initial: message,
    // A server that ignored the initial response asks with an empty challenge.
    respond: async (challenge) => (challenge.length === 0 ? ok(message) : unexpected),
    isTrusted: true,
  };
}

/** LOGIN, which no RFC defines: user name, then password, whatever the prompts say. */
export function loginClient(credentials: Credentials): SaslClient {
  const answers = [Buffer.from(credentials.user, "utf8"), Buffer.from(credentials.password, "utf8")];
  return {
    mechanism: "LOGIN",
    initial: undefined,
    respond: async () => {
      const answer = answers.shift();
      return answer === undefined ? unexpected : ok(answer);
    },
    isTrusted: true,
  };
}

/** CRAM-MD5 (RFC 2195): the password does not travel, but the server proves nothing, and MD5 is what it is. */
export function cramMd5Client(credentials: Credentials): SaslClient {
  let hasAnswered = false;
  return {
    mechanism: "CRAM-MD5",
    initial: undefined,
    respond: async (challenge) => {
      if (hasAnswered || challenge.length === 0) return unexpected;
      hasAnswered = true;
      const digest = createHmac("md5", Buffer.from(credentials.password, "utf8")).update(challenge).digest("hex");
      return ok(Buffer.from(`${credentials.user} ${digest}`, "utf8"));
    },
    isTrusted: true,
  };
}

/** EXTERNAL (RFC 4422 appendix A): the certificate of the TLS connection says who we are; nothing secret is sent. */
export function externalClient(authorization: string): SaslClient {
  const message = Buffer.from(authorization, "utf8");
  return {
    mechanism: "EXTERNAL",
    initial: message,
    respond: async (challenge) => (challenge.length === 0 ? ok(message) : unexpected),
    isTrusted: true,
  };
}

const unexpected = refused({ at: 0, expected: "no such challenge" });
