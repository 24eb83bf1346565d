import { mapForSasl } from "./saslprep.ts";
import { decodeSaslName } from "./scram.ts";
import type { SaslDenial, SaslDenied, SaslServer, SaslStep } from "./server.ts";
import { ask, challenge, ended, refuse, textOf } from "./server-steps.ts";

/**
 * OAUTHBEARER (RFC 7628) and XOAUTH2, which Google and Microsoft made before it. A token that is not good is answered with
 * JSON about it, to which the client says something without a meaning, and then the exchange has failed.
 */
export function oauthServer(mechanism: "OAUTHBEARER" | "XOAUTH2"): SaslServer {
  const parse = mechanism === "XOAUTH2" ? parseXoauth2 : parseOauthBearer;
  let user = "";
  /** What is left to say once the client has answered the JSON; some never do. */
  let denied: SaslDenied | undefined;

  function heard(message: Buffer): SaslStep {
    if (denied !== undefined) return { ...denied, isTold: true };
    // Tokens are long: those of Microsoft have two kilobytes and more.
    const text = textOf(message, MOST_MESSAGE);
    // A NUL would end the name for some who are asked about it, and not for others.
    const parsed = text === undefined || text.includes("\0") ? undefined : parse(text);
    if (parsed === undefined) return refuse(`a message of ${mechanism} with auth=Bearer and a token`);
    user = parsed.user;
    // RFC 7628 section 4.3: a client without a token wants to know what kind it should have.
    if (parsed.token === "") return complain({ kind: "wrong", because: "no token" });
    return ask({ kind: "token", user, token: parsed.token });
  }

  function complain(answer: SaslDenial): SaslStep {
    denied = { kind: "denied", user, answer };
    const json =
      mechanism === "XOAUTH2" ? { status: "401", schemes: "bearer", scope: "mail" } : { status: "invalid_token" };
    return { kind: "challenge", bytes: Buffer.from(JSON.stringify(json)), denied };
  }

  return {
    mechanism,
    start: (initial) => (initial === undefined ? challenge("") : heard(initial)),
    next: heard,
    told: (answer) => (answer.kind === "wrong" ? complain(answer) : ended(user, answer)),
  };
}

/** Below the longest line of an AUTH exchange, decoded. */
const MOST_MESSAGE = 9000;

interface Bearer {
  /** `""`: whoever the token says. */
  readonly user: string;
  readonly token: string;
}

/** RFC 7628 section 3.1: `n,a=user,` and key=value pairs, each ended by ^A, and ^A. */
function parseOauthBearer(text: string): Bearer | undefined {
  const parts = /^(?:n|y),(?:a=([^,\x01]+))?,\x01((?:[A-Za-z]+=[^\x01]*\x01)*)\x01$/.exec(text);
  if (parts === null) return undefined;
  const user = decodeSaslName(parts[1] ?? "");
  const token = bearerOf(valueOf(parts[2] ?? "", "auth"));
  return user === undefined || token === undefined ? undefined : { user: mapForSasl(user), token };
}

/** `user=…^Aauth=Bearer …^A^A` */
function parseXoauth2(text: string): Bearer | undefined {
  const parts = /^((?:[A-Za-z]+=[^\x01]*\x01)+)\x01$/.exec(text);
  const user = valueOf(parts?.[1] ?? "", "user");
  const token = bearerOf(valueOf(parts?.[1] ?? "", "auth"));
  return user === undefined || user === "" || token === undefined ? undefined : { user, token };
}

function valueOf(pairs: string, name: string): string | undefined {
  const pair = pairs.split("\x01").find((one) => one.toLowerCase().startsWith(`${name}=`));
  return pair?.slice(name.length + 1);
}

/** RFC 6750 section 2.1; `""` where the client has no token. */
function bearerOf(auth: string | undefined): string | undefined {
  if (auth === "") return "";
  return /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(auth ?? "")?.[1];
}
