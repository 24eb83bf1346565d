import { createHmac, randomBytes } from "node:crypto";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { readRegularFile, UnfitFile } from "../../foundation/read-file.io.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import type { OauthSettings } from "./backend-settings.ts";
import { issuerClient, type IssuerClient } from "./issuer-client.io.ts";
import { isTokenText, judgeClaims } from "./oauth-token.ts";
import type { SystemTrust } from "../table/pool/system-trust.ts";
import type { Turns } from "../../foundation/turns.ts";

/** Of a file of keys. */
const MOST_KEYS_BYTES = 1024 * 1024;
const MOST_KEPT = 10_000;
/** How far clocks may differ. */
const TOLERANCE_S = 30;

type Claims = Readonly<Record<string, unknown>>;
/** The token's claims; a text: why it is not good. Rejects where that cannot be found out. */
type Verify = (token: string, signal: AbortSignal) => Promise<Claims | string>;

/** Tokens instead of passwords: asked of their issuer (RFC 7662), or checked with its keys (RFC 7519). */
export async function oauthAuthenticator(
  settings: OauthSettings,
  clientSecret: string | undefined,
  world: { readonly clock: Clock; readonly trust: SystemTrust; readonly turns: Turns },
): Promise<Authenticator & { close(): void }> {
  const { clock, turns } = world;
  const issuer = issuerClient(world.trust);
  const verify = await verifierOf(settings, clientSecret, clock, issuer);
  return {
    checkPassword: () => Promise.resolve({ kind: "wrong" }),
    async checkToken(user, token, signal): Promise<PasswordVerdict> {
      if (!isTokenText(token)) return { kind: "wrong", because: "the token is in no form of a bearer token" };
      try {
        const claims = await turns.tryTake(() =>
          withDeadline(clock, settings.timeout, "the issuer's answer", (within) => verify(token, within), signal),
        );
        if (claims === undefined) return { kind: "failed", text: "too many token checks wait" };
        if (typeof claims === "string") return { kind: "wrong", because: claims };
        return judgeClaims(claims, settings, user);
      } catch (thrown) {
        return { kind: "failed", text: `the token cannot be checked: ${messageOf(thrown)}` };
      }
    },
    mechanisms: ["OAUTHBEARER", "XOAUTH2"],
    close: () => issuer.close(),
  };
}

async function verifierOf(
  settings: OauthSettings,
  clientSecret: string | undefined,
  clock: Clock,
  issuer: IssuerClient,
): Promise<Verify> {
  const { check } = settings;
  return check.by === "introspection"
    ? introspection(check.url, check.clientId, clientSecret, settings.remember, clock, issuer)
    : keys(check, settings, issuer);
}

/** RFC 7662. What the issuer said is believed for a while, at most until the token expires. */
function introspection(
  url: string,
  clientId: string | undefined,
  clientSecret: string | undefined,
  rememberMs: number,
  clock: Clock,
  issuer: IssuerClient,
): Verify {
  const kept = new Map<string, { readonly claims: Claims; readonly untilAt: number }>();
  const key = randomBytes(32);
  return async (token, signal) => {
    const mark = createHmac("sha256", key).update(token).digest("base64");
    const known = kept.get(mark);
    if (known !== undefined && known.untilAt > clock.now()) return known.claims;
    kept.delete(mark);
    const body = new URLSearchParams({ token, token_type_hint: "access_token" });
    // RFC 6749 section 2.3.1: by HTTP authentication where there is a secret; a public client only says who it is.
    if (clientId !== undefined && clientSecret === undefined) body.set("client_id", clientId);
    const headers: Record<string, string> = {
      accept: "application/json",
      "content-type": "application/x-www-form-urlencoded",
    };
    if (clientSecret !== undefined)
      headers["authorization"] = clientId === undefined ? `Bearer ${clientSecret}` : basic(clientId, clientSecret);
    const claims = asClaims(
      JSON.parse(await issuer.ask(url, { method: "POST", headers, body: body.toString(), signal })),
    );
    const isActive = claims?.["active"];
    if (claims === undefined || typeof isActive !== "boolean")
      throw new Error(`${url} does not say whether it is active`);
    if (!isActive) return "the token is not active";
    const now = clock.now();
    const { exp, nbf } = claims;
    if (typeof exp === "number" && exp * 1000 + TOLERANCE_S * 1000 <= now) return "the token has expired";
    if (typeof nbf === "number" && nbf * 1000 - TOLERANCE_S * 1000 > now) return "the token is not yet in force";
    const untilAt = Math.min(now + rememberMs, typeof exp === "number" ? exp * 1000 : Number.POSITIVE_INFINITY);
    if (untilAt > now) kept.set(mark, { claims, untilAt });
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      kept.delete(oldest);
    }
    return claims;
  };
}

/** By the issuer's keys. Only signatures with public keys count: an HMAC's key would be one that the clients share. */
async function keys(
  check: Extract<OauthSettings["check"], { by: "keys" }>,
  { issuer, audience, timeout }: OauthSettings,
  client: IssuerClient,
): Promise<Verify> {
  const jose = await import("jose");
  const keySet =
    check.url === undefined
      ? undefined
      : jose.createRemoteJWKSet(new URL(check.url), {
          timeoutDuration: timeout,
          [jose.customFetch]: async (url, { headers, signal }) =>
            new Response(await client.ask(url, { method: "GET", headers: Object.fromEntries(headers), signal })),
        });
  const local = check.file === undefined ? undefined : await localKeys(check.file, jose);
  return async (token) => {
    const options = {
      algorithms: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
      clockTolerance: TOLERANCE_S,
      audience: [...audience],
      requiredClaims: ["exp"],
      ...(issuer === undefined ? {} : { issuer }),
    };
    try {
      const { payload } =
        local === undefined && keySet !== undefined
          ? await jose.jwtVerify(token, keySet, options)
          : await jose.jwtVerify(token, local ?? (() => Promise.reject(new Error("there are no keys"))), options);
      return payload;
    } catch (thrown) {
      // The keys could not be had: nobody knows. All else says something about the token.
      const isTrouble =
        !(thrown instanceof jose.errors.JOSEError) ||
        thrown instanceof jose.errors.JWKSTimeout ||
        thrown instanceof jose.errors.JWKSInvalid ||
        thrown.constructor === jose.errors.JOSEError;
      if (isTrouble) throw thrown;
      return `the token is not good: ${thrown.message}`;
    }
  };
}

async function localKeys(file: string, jose: typeof import("jose")) {
  try {
    const read: unknown = JSON.parse((await readRegularFile(file, MOST_KEYS_BYTES)).toString("utf8"));
    const claims = asClaims(read);
    if (!Array.isArray(claims?.["keys"])) throw new Error(`${file} is no JSON Web Key Set`);
    // jose checks each key as it uses it.
    return jose.createLocalJWKSet(read as Parameters<typeof jose.createLocalJWKSet>[0]);
  } catch (thrown) {
    const text =
      systemCodeOf(thrown) === undefined && !(thrown instanceof UnfitFile)
        ? messageOf(thrown)
        : `${file} cannot be read: ${messageOf(thrown)}`;
    return () => Promise.reject(new Error(text));
  }
}

/** RFC 6749 section 2.3.1: both parts are encoded as forms are. */
function basic(id: string, secret: string): string {
  const encode = (text: string): string => new URLSearchParams({ x: text }).toString().slice(2);
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString("base64")}`;
}

function asClaims(value: unknown): Claims | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Claims) : undefined;
}
