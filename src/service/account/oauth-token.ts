import type { PasswordVerdict } from "./authenticator.ts";
import type { OauthSettings } from "./backend-settings.ts";

/** Longer ones are no bearer tokens of anybody's. */
const MOST_TOKEN_LENGTH = 16_384;

/** RFC 6750 section 2.1: what a bearer token is made of. */
export function isTokenText(token: string): boolean {
  return token.length <= MOST_TOKEN_LENGTH && /^[A-Za-z0-9._~+/-]+=*$/.test(token);
}

/**
 * Whether what is claimed of a token that is genuine and in force lets the client in: issuer, audience, scope and whose it
 * is. `user` is whom the client says to be; `""`: whoever the token says.
 */
export function judgeClaims(
  claims: Readonly<Record<string, unknown>>,
  settings: Pick<OauthSettings, "issuer" | "audience" | "scope" | "userClaim">,
  user: string,
): PasswordVerdict {
  const wrong = (because: string): PasswordVerdict => ({ kind: "wrong", because: `the token ${because}` });
  const { issuer, audience, scope, userClaim } = settings;
  if (issuer !== undefined && claims["iss"] !== issuer)
    return wrong(claims["iss"] === undefined ? "names no issuer" : "is of another issuer");
  if (audience.length > 0 && !texts(claims["aud"]).some((one) => audience.includes(one)))
    return wrong("is not for this service (aud)");
  const granted = new Set([...words(claims["scope"]), ...words(claims["scp"])]);
  const missing = scope.find((one) => !granted.has(one));
  if (missing !== undefined) return wrong(`does not allow ${missing} (scope)`);
  const owner = claims[userClaim];
  if (typeof owner !== "string" || owner === "" || owner.length > 255 || /[\x00-\x20\x7f]/.test(owner))
    return wrong(`does not say whose it is (${userClaim})`);
  // Anybody can claim an address; the issuer says whether it was shown to be theirs, some of them as a text.
  const verified = claims["email_verified"];
  if (userClaim === "email" && verified !== undefined && verified !== true && verified !== "true")
    return wrong("has an e-mail address that was not verified");
  const account = owner.toLowerCase();
  if (user !== "" && user.toLowerCase() !== account) return wrong(`is ${account}'s`);
  return { kind: "right", account };
}

/** RFC 7519 section 4.1.3: one text, or a list of them. */
function texts(value: unknown): readonly string[] {
  return (Array.isArray(value) ? value : [value]).filter((one) => typeof one === "string");
}

/** RFC 6749 section 3.3: words with spaces between them; some issuers write a list. */
function words(value: unknown): readonly string[] {
  return texts(value)
    .flatMap((one) => one.split(" "))
    .filter((one) => one !== "");
}
