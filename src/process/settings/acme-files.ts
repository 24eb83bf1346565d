import { isIP } from "node:net";
import type { SettingPath } from "../../service/config/config.ts";
import type { AcmeItem } from "../../service/acme/acme.ts";
import type { Settings } from "./settings.ts";

/** What the settings say of certificates that an authority issues to us. */

type AcmeParts = Pick<Settings, "acme" | "certificates" | "listeners">;

/** Every certificate to get, in the order of the settings. */
export function acmeItemsOf(settings: Pick<Settings, "certificates">): readonly AcmeItem[] {
  return settings.certificates.flatMap((source) =>
    source.kind === "acme" ? source.keyKinds.map((kind) => ({ label: source.label, kind, names: source.names })) : [],
  );
}

/** Where the authority's questions are answered. */
export interface AcmePlace {
  readonly name: "acme-http" | "acme-tls-alpn";
  readonly address?: string | undefined;
  readonly port: number;
}

/** `listeners`: those with implicit TLS on the port answer, as they know every challenge. Undefined: there is nothing to answer. */
export function acmePlaceOf(settings: AcmeParts): AcmePlace | "listeners" | undefined {
  if (acmeItemsOf(settings).length === 0) return undefined;
  const { challenge, http, tlsAlpn } = settings.acme;
  if (challenge === "http-01") return { name: "acme-http", ...http };
  const isThere = settings.listeners.some((listener) => listener.tls === "implicit" && isSamePlace(listener, tlsAlpn));
  return isThere ? "listeners" : { name: "acme-tls-alpn", ...tlsAlpn };
}

interface TcpPlace {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  readonly path?: string | undefined;
}

function isSamePlace(one: TcpPlace, other: TcpPlace): boolean {
  if (one.path !== undefined || one.port === 0 || one.port !== other.port) return false;
  return one.address === undefined || other.address === undefined || one.address === other.address;
}

/** What is wrong with them, as far as the settings alone show it. */
export function acmeProblems(
  settings: AcmeParts,
): readonly { readonly path: SettingPath; readonly text: string; readonly severity?: "warning" | undefined }[] {
  const problems: { path: SettingPath; text: string; severity?: "warning" }[] = [];
  const seen = new Map<string, number>();
  for (const [at, source] of settings.certificates.entries()) {
    if (source.kind !== "acme") continue;
    const path = ["certificates", at, "acme"];
    const earlier = seen.get(source.label);
    if (earlier === undefined) seen.set(source.label, at);
    else
      problems.push({
        path,
        text: `certificates[${earlier}] is called ${source.label} too: give them labels that differ`,
      });
    for (const [place, name] of source.names.entries())
      if (isIP(name) !== 0 || !name.includes(".") || name.includes("_"))
        problems.push({
          path: [...path, place],
          text: `no authority issues a certificate for ${name}: expected a full host name such as mx.example.org`,
        });
    if (new Set(source.names).size < source.names.length) problems.push({ path, text: "a name is there twice" });
  }
  const { acme } = settings;
  if (seen.size === 0) {
    if (acme.termsAgreed)
      problems.push({
        path: ["acme"],
        text: "has no effect: no entry of `certificates` says `acme`",
        severity: "warning",
      });
    return problems;
  }
  if (!acme.termsAgreed)
    problems.push({
      path: ["acme", "termsAgreed"],
      text: "the authority issues nothing to those who have not agreed to its terms: read them, then set `terms-agreed: true`",
    });
  const place = acmePlaceOf(settings);
  if (typeof place !== "object") return problems;
  const setting = place.name === "acme-http" ? "http" : "tlsAlpn";
  for (const listener of settings.listeners)
    if (isSamePlace(listener, place))
      problems.push({
        path: ["acme", setting, "port"],
        text: `port ${place.port} is that of listener ${listener.name}`,
      });
  return problems;
}
