import type { SaslServer, ServerMeans, SaslStep } from "./server.ts";
import { ask, challenge, ended, refuse, textOf } from "./server-steps.ts";

/** PLAIN (RFC 4616). */
export function plainServer(): SaslServer {
  let asked = "";
  function finish(message: Buffer): SaslStep {
    const parts = textOf(message)?.split("\0");
    const [authorization = "", user = "", password = ""] = parts ?? [];
    if (parts?.length !== 3 || user === "" || password === "")
      return refuse("an authorisation identity, a user and a password, with NULs between");
    // To act for another user needs a right that no account has here.
    if (authorization !== "" && authorization !== user) return refuse("no other authorisation identity");
    asked = user;
    return ask({ kind: "password", user, password });
  }
  return {
    mechanism: "PLAIN",
    start: (initial) => (initial === undefined ? challenge("") : finish(initial)),
    next: finish,
    told: (answer) => ended(asked, answer),
  };
}

/** LOGIN, which no RFC defines: old clients wait for exactly these prompts. */
export function loginServer(): SaslServer {
  let user: string | undefined;
  function onUser(response: Buffer): SaslStep {
    user = textOf(response);
    if (user === undefined || user === "" || user.includes("\0")) return refuse("a user name");
    return challenge("Password:");
  }
  return {
    mechanism: "LOGIN",
    start: (initial) => (initial === undefined ? challenge("Username:") : onUser(initial)),
    next(response) {
      if (user === undefined) return onUser(response);
      const password = textOf(response);
      if (password === undefined || password === "" || password.includes("\0")) return refuse("a password");
      return ask({ kind: "password", user, password });
    },
    told: (answer) => ended(user ?? "", answer),
  };
}

/** EXTERNAL (RFC 4422 appendix A): the response is the authorisation identity, or nothing. */
export function externalServer(): SaslServer {
  function finish(message: Buffer): SaslStep {
    const authorization = textOf(message);
    if (authorization === undefined || authorization.includes("\0")) return refuse("an authorisation identity");
    return { kind: "external", authorization };
  }
  return {
    mechanism: "EXTERNAL",
    start: (initial) => (initial === undefined ? challenge("") : finish(initial)),
    next: finish,
    told: (answer) => ended("", answer),
  };
}

/** CRAM-MD5 (RFC 2195): `user digest`, where the digest is HMAC-MD5 of the challenge under the password. */
export function cramMd5Server({ nonce, hostname }: Pick<ServerMeans, "nonce" | "hostname">): SaslServer {
  let given = "";
  let asked = "";
  return {
    mechanism: "CRAM-MD5",
    start(initial) {
      // RFC 4954 section 4: the server speaks first, so a client has nothing to say yet.
      if (initial !== undefined) return refuse("no initial response");
      given = `<${nonce()}@${hostname}>`;
      return challenge(given);
    },
    next(response) {
      const parts = /^([^\0]+) ([\da-f]{32})$/i.exec(textOf(response) ?? "");
      const [, user = "", digest = ""] = parts ?? [];
      if (parts === null || given === "") return refuse("a user name, a space and 32 hexadecimal digits");
      asked = user;
      return ask({ kind: "digest", user, challenge: given, digest: digest.toLowerCase() });
    },
    told: (answer) => ended(asked, answer),
  };
}
