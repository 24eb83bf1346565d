import { timingSafeEqual } from "node:crypto";
import { unreachable } from "../../foundation/assert.ts";
import { saslprep } from "./saslprep.ts";
import { decodeSaslName } from "./scram.ts";
import type { SaslMechanism, ScramHash } from "./question.ts";
import type { SaslServer, SaslStep } from "./server.ts";
import { ask, challenge, ended, refuse, textOf } from "./server-steps.ts";

/**
 * SCRAM (RFC 5802, 7677) as a server. The keys stay with those who keep them: they are asked for the salt, and then
 * whether the proof is right. An exchange that fails ends without a server-final-message, which RFC 5802 section 5.1 leaves
 * to us: one round trip less, and every client understands it; the words it would have held go into the reply.
 */
export interface ScramBindings {
  /** What ties the login to the TLS connection; undefined for kinds that it has not. */
  readonly binding: (kind: string) => Buffer | undefined;
  /** A -PLUS mechanism is offered on this connection: a client that says it was not has been lied to. */
  readonly offersBinding: boolean;
}

type ScramMechanism = Extract<SaslMechanism, `SCRAM-${string}`>;

interface First {
  /** `n,,`: what the client's last message repeats, encoded, before the binding's value. */
  readonly gs2: string;
  readonly bare: string;
  readonly user: string;
  readonly bound: Buffer;
  readonly nonce: string;
}

type State =
  | { readonly at: "first" }
  | { readonly at: "salting"; readonly first: First }
  | { readonly at: "final"; readonly first: First; readonly serverFirst: string; readonly nonce: string }
  | { readonly at: "proving"; readonly first: First }
  | { readonly at: "proved"; readonly account: string }
  | { readonly at: "over" };

const MOST_MESSAGE = 4096;
const MOST_NONCE = 512;

export function scramServer(
  mechanism: ScramMechanism,
  means: ScramBindings & { readonly nonce: () => string },
): SaslServer {
  const hash: ScramHash = mechanism.startsWith("SCRAM-SHA-256") ? "SHA-256" : "SHA-1";
  const isPlus = mechanism.endsWith("-PLUS");
  let state: State = { at: "first" };

  function over(step: SaslStep): SaslStep {
    state = { at: "over" };
    return step;
  }
  function deny(user: string, says: string): SaslStep {
    return over({ kind: "denied", user, answer: { kind: "wrong", because: says }, says });
  }

  function onFirst(message: string): SaslStep {
    const parts = /^((n|y|p=([A-Za-z0-9.-]{1,64})),(?:a=([^,\0]+))?,)([^\0]*)$/.exec(message);
    if (parts === null) return over(refuse("a gs2 header, a user name and a nonce"));
    const [, gs2 = "", flag = "", kind, authorization, bare = ""] = parts;
    if (bare.startsWith("m=")) return deny("", "extensions-not-supported");
    const inner = /^n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]*)*$/.exec(bare);
    const [, name = "", nonce = ""] = inner ?? [];
    if (inner === null || nonce.length > MOST_NONCE) return over(refuse("a user name and a nonce"));
    const user = preparedName(name);
    if (user === undefined) return deny("", "invalid-username-encoding");
    if (authorization !== undefined && preparedName(authorization) !== user)
      return over(refuse("no other authorisation identity"));
    // RFC 5802 section 6: -PLUS and only it is bound; who could have, and says we could not, talks with somebody between us.
    if (isPlus !== (kind !== undefined))
      return deny(user, isPlus ? "channel-binding-not-supported" : "no-channel-binding-without-plus");
    if (flag === "y" && means.offersBinding) return deny(user, "server-does-support-channel-binding");
    const bound = kind === undefined ? Buffer.alloc(0) : means.binding(kind);
    if (bound === undefined) return deny(user, "unsupported-channel-binding-type");
    state = { at: "salting", first: { gs2, bare, user, bound, nonce } };
    return ask({ kind: "scram-salt", user, hash });
  }

  function onFinal(message: string, { first, serverFirst, nonce }: Extract<State, { at: "final" }>): SaslStep {
    const parts =
      /^(c=([A-Za-z0-9+/]+={0,2}),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,\0]*)*?),p=([A-Za-z0-9+/]+={0,2})$/.exec(
        message,
      );
    if (parts === null) return over(refuse("a channel binding, the nonce and a proof"));
    const [, withoutProof = "", binding = "", repeated = "", proof = ""] = parts;
    const expected = Buffer.concat([Buffer.from(first.gs2), first.bound]);
    const given = Buffer.from(binding, "base64");
    if (given.length !== expected.length || !timingSafeEqual(given, expected))
      return deny(first.user, "channel-bindings-dont-match");
    if (repeated !== nonce) return deny(first.user, "other-error");
    state = { at: "proving", first };
    const authMessage = `${first.bare},${serverFirst},${withoutProof}`;
    return ask({ kind: "scram-proof", user: first.user, hash, authMessage, proof });
  }

  function heard(message: Buffer): SaslStep {
    const text = textOf(message, MOST_MESSAGE);
    if (text === undefined) return over(refuse("UTF-8 of a few hundred characters"));
    switch (state.at) {
      case "first":
        return onFirst(text);
      case "final":
        return onFinal(text, state);
      case "proved":
        // RFC 4954 has no room for data beside a success: the client acknowledges our proof with nothing.
        return text === "" ? over({ kind: "done", account: state.account }) : over(refuse("an empty response"));
      case "salting":
      case "proving":
      case "over":
        return over(refuse("nothing more"));
      default:
        return unreachable(state);
    }
  }

  return {
    mechanism,
    start: (initial) => (initial === undefined ? challenge("") : heard(initial)),
    next: heard,
    told(answer) {
      if (state.at === "salting" && answer.kind === "salt") {
        const nonce = state.first.nonce + means.nonce();
        const serverFirst = `r=${nonce},s=${answer.salt},i=${answer.iterations}`;
        state = { at: "final", first: state.first, serverFirst, nonce };
        return challenge(serverFirst);
      }
      if (state.at === "proving" && answer.kind === "right" && answer.serverSignature !== undefined) {
        state = { at: "proved", account: answer.account };
        return challenge(`v=${answer.serverSignature}`);
      }
      const user = state.at === "salting" || state.at === "proving" ? state.first.user : "";
      if (answer.kind === "right" || answer.kind === "salt")
        return over(ended(user, { kind: "failed", text: "an answer to nothing" }));
      if (state.at === "proving" && answer.kind === "wrong")
        return over({ kind: "denied", user, answer, says: "invalid-proof" });
      return over(ended(user, answer));
    },
  };
}

function preparedName(text: string): string | undefined {
  const decoded = decodeSaslName(text);
  const name = decoded === undefined ? undefined : saslprep(decoded);
  return name === "" ? undefined : name;
}
