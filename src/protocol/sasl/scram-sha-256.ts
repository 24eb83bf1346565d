import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { unreachable } from "../../foundation/assert.ts";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import type { Credentials, SaslClient } from "./client.ts";

/**
 * SCRAM-SHA-256 as a client (RFC 5802, RFC 7677): the password never travels, and the server proves that it knows it.
 * Without channel binding: gs2 header `n,,`.
 */
export interface ScramMeans {
  /** Printable, without comma, at least 18 octets of chance. */
  readonly nonce: string;
  /**
   * PBKDF2 with HMAC-SHA-256, 32 octets. Handed in, because it takes tens of milliseconds at the iteration counts that
   * servers use, and the event loop must not stand still meanwhile: the real one runs in the thread pool (`pbkdf2.io.ts`).
   */
  readonly derive: (password: Buffer, salt: Buffer, iterations: number) => Promise<Buffer>;
}

/** RFC 7677 section 4 wants at least 4096. The upper bound keeps a hostile server from spending our CPU. */
const MIN_ITERATIONS = 4096;
const MAX_ITERATIONS = 600_000;
const MAX_CHALLENGE = 4096;
const GS2_HEADER = "n,,";
// RFC 4013 section 2.1, RFC 3454 table B.1: commonly mapped to nothing.
const NOTHING = new RegExp(
  "\\u{ad}|\\u{34f}|\\u{1806}|[\\u{180b}-\\u{180d}]|\\u{200c}|\\u{200d}|\\u{2060}|[\\u{fe00}-\\u{fe0f}]|\\u{feff}",
  "gu",
);

type State =
  | { readonly at: "first" }
  | { readonly at: "final"; readonly serverSignature: Buffer }
  | { readonly at: "verified" }
  | { readonly at: "failed" };

export function scramSha256Client(credentials: Credentials, means: ScramMeans): SaslClient {
  const firstBare = `n=${saslName(credentials.user)},r=${means.nonce}`;
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
    const password = Buffer.from(preparePassword(credentials.password), "utf8");
    const salted = await means.derive(password, Buffer.from(salt, "base64"), iterations);
    const clientKey = hmac(salted, "Client Key");
    const withoutProof = `c=${Buffer.from(GS2_HEADER).toString("base64")},r=${nonce}`;
    const authMessage = `${firstBare},${message},${withoutProof}`;
    const signature = hmac(createHash("sha256").update(clientKey).digest(), authMessage);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
    state = { at: "final", serverSignature: hmac(hmac(salted, "Server Key"), authMessage) };
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
    mechanism: "SCRAM-SHA-256",
    initial: Buffer.from(GS2_HEADER + firstBare),
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

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** RFC 5802 section 5.1: comma and equals sign are the protocol's own. */
function saslName(user: string): string {
  return preparePassword(user).replaceAll("=", "=3D").replaceAll(",", "=2C");
}

/**
 * SASLprep (RFC 4013) as far as it changes what people type: other spaces become a space, the characters that stand for
 * nothing go, NFKC. Its prohibitions are left to the server, which knows what it stored.
 */
function preparePassword(text: string): string {
  return text
    .replace(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, " ")
    .replace(NOTHING, "")
    .normalize("NFKC");
}
