import { timingSafeEqual } from "node:crypto";
import { unreachable } from "../../foundation/assert.ts";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import type { Credentials, SaslClient } from "./client.ts";
import type { ScramHash } from "./question.ts";
import { mapForSasl } from "./saslprep.ts";
import { encodeSaslName, scramHmac, scramProof, scramVerifier } from "./scram.ts";

/**
 * SCRAM as a client (RFC 5802, RFC 7677): the password never travels, and the server proves that it knows it. With -PLUS
 * the login is tied to the TLS connection, so that nobody in between can pass it on.
 */
export interface ScramMeans {
  /** Printable, without comma, at least 18 octets of chance. */
  readonly nonce: string;
  /**
   * PBKDF2 with HMAC, as many octets as the hash has. Handed in, because it takes tens of milliseconds at the iteration
   * counts that servers use, and the event loop must not stand still meanwhile: the real one runs in the thread pool
   * (`pbkdf2.io.ts`).
   */
  readonly derive: (password: Buffer, salt: Buffer, iterations: number, hash: ScramHash) => Promise<Buffer>;
  /** What -PLUS ties the login to. */
  readonly binding?: ClientBinding | undefined;
  /** We could have bound, and were offered no -PLUS: a server that did offer it learns that somebody hid it from us. */
  readonly couldBind?: boolean | undefined;
}

export interface ClientBinding {
  readonly kind: string;
  readonly value: Buffer;
}

/** RFC 7677 section 4 wants at least 4096. The upper bound keeps a hostile server from spending our CPU. */
const MIN_ITERATIONS = 4096;
const MAX_ITERATIONS = 600_000;
const MAX_CHALLENGE = 4096;
/** -PLUS without anything to bind to: the server refuses it, as it should. */
const NOTHING_BOUND = { kind: "tls-exporter", value: Buffer.alloc(0) };

type State =
  | { readonly at: "first" }
  | { readonly at: "final"; readonly serverSignature: Buffer }
  | { readonly at: "verified" }
  | { readonly at: "failed" };

export type ClientScram = `SCRAM-${ScramHash}` | `SCRAM-${ScramHash}-PLUS`;

export function scramClient(mechanism: ClientScram, credentials: Credentials, means: ScramMeans): SaslClient {
  const hash: ScramHash = mechanism.startsWith("SCRAM-SHA-256") ? "SHA-256" : "SHA-1";
  const bound = mechanism.endsWith("-PLUS") ? (means.binding ?? NOTHING_BOUND) : undefined;
  // RFC 5802 section 6.
  const unbound = means.couldBind === true ? "y" : "n";
  const gs2 = bound === undefined ? `${unbound},,` : `p=${bound.kind},,`;
  const firstBare = `n=${encodeSaslName(mapForSasl(credentials.user))},r=${means.nonce}`;
  let state: State = { at: "first" };

  function fail(expected: string) {
    state = { at: "failed" };
    return refused({ at: 0, expected });
  }

  async function onServerFirst(message: string): Promise<Result<Buffer, Problem>> {
    // RFC 5802 section 7: extensions (m=) that we do not know must fail the exchange; they would stand in front.
    const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9]\d{0,8})(?:,.*)?$/.exec(message);
    if (match === null) return fail("r=nonce,s=salt,i=iterations");
    const [, nonce = "", salt = "", count = ""] = match;
    if (!nonce.startsWith(means.nonce) || nonce.length === means.nonce.length) return fail("our nonce and more");
    const iterations = Number(count);
    if (iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS)
      return fail(`from ${MIN_ITERATIONS} to ${MAX_ITERATIONS} iterations`);
    const password = Buffer.from(mapForSasl(credentials.password), "utf8");
    const salted = await means.derive(password, Buffer.from(salt, "base64"), iterations, hash);
    const binding = Buffer.concat([Buffer.from(gs2), bound?.value ?? Buffer.alloc(0)]);
    const withoutProof = `c=${binding.toString("base64")},r=${nonce}`;
    const authMessage = `${firstBare},${message},${withoutProof}`;
    const proof = scramProof(hash, salted, authMessage);
    state = { at: "final", serverSignature: scramHmac(hash, scramVerifier(hash, salted).serverKey, authMessage) };
    return ok(Buffer.from(`${withoutProof},p=${proof.toString("base64")}`));
  }

  function onServerFinal(message: string, expected: Buffer): Result<Buffer, Problem> {
    const match = /^v=([A-Za-z0-9+/]+={0,2})(?:,.*)?$/.exec(message);
    if (match === null) return fail("v=the server's signature");
    const given = Buffer.from(match[1] ?? "", "base64");
    if (given.length !== expected.length || !timingSafeEqual(given, expected))
      return fail("the right server signature");
    state = { at: "verified" };
    return ok(Buffer.alloc(0));
  }

  return {
    mechanism,
    initial: Buffer.from(gs2 + firstBare),
    async respond(challenge) {
      if (challenge.length > MAX_CHALLENGE) return fail("a shorter challenge");
      const message = challenge.toString("utf8");
      switch (state.at) {
        case "first":
          return onServerFirst(message);
        case "final":
          return onServerFinal(message, state.serverSignature);
        case "verified":
        case "failed":
          return fail("no further challenge");
        default:
          return unreachable(state);
      }
    },
    get isTrusted() {
      return state.at === "verified";
    },
  };
}
