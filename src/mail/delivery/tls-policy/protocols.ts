import { ok, refused, type Result } from "../../../foundation/result.ts";

export const TLS_VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;
export type TlsVersion = (typeof TLS_VERSIONS)[number];

export function isOlder(version: TlsVersion, than: TlsVersion): boolean {
  return TLS_VERSIONS.indexOf(version) < TLS_VERSIONS.indexOf(than);
}

/** A range of versions. */
export interface Protocols {
  readonly minVersion?: TlsVersion | undefined;
  readonly maxVersion?: TlsVersion | undefined;
}

/**
 * Versions as Postfix's tables have them: `>=TLSv1.2`, `<=TLSv1.2`, names that are allowed, or names with `!` that are not;
 * parted by commas or colons. What is left must be one range. Names from before TLS 1.0 may be forbidden, not allowed. The
 * oldest version is said where one is left out below it, or where it is named itself: `>=TLSv1` is more than the usual.
 */
export function parseProtocols(text: string): Result<Protocols, string> {
  let left: readonly TlsVersion[] = TLS_VERSIONS;
  const allowed: TlsVersion[] = [];
  let hasOldest = false;
  const words = text.split(/[,:\s]+/).filter((one) => one !== "");
  if (words.length === 0) return refused("expected versions such as >=TLSv1.2, got none");
  for (const word of words) {
    const [, mark = "", name = ""] = /^(>=|<=|!)?(.*)$/.exec(word) ?? [];
    if (mark === "!" && /^SSLv[23]$/i.test(name)) continue;
    const version = TLS_VERSIONS.find(
      (known) => known.toLowerCase() === name.toLowerCase() || (known === "TLSv1" && name.toLowerCase() === "tlsv1.0"),
    );
    if (version === undefined)
      return refused(`expected versions such as >=TLSv1.2, got ${JSON.stringify(word.slice(0, 40))}`);
    const at = TLS_VERSIONS.indexOf(version);
    hasOldest ||= mark === "" || mark === ">=";
    if (mark === "") allowed.push(version);
    else
      left = left.filter((known) => {
        const position = TLS_VERSIONS.indexOf(known);
        return mark === "!" ? position !== at : mark === ">=" ? position >= at : position <= at;
      });
  }
  if (allowed.length > 0) left = left.filter((known) => allowed.includes(known));
  const [first] = left;
  const last = left.at(-1);
  if (first === undefined || last === undefined) return refused("no version is left");
  if (TLS_VERSIONS.indexOf(last) - TLS_VERSIONS.indexOf(first) !== left.length - 1)
    return refused("expected versions without a gap between them");
  return ok({
    ...(first === TLS_VERSIONS[0] && !hasOldest ? {} : { minVersion: first }),
    ...(last === TLS_VERSIONS.at(-1) ? {} : { maxVersion: last }),
  });
}
