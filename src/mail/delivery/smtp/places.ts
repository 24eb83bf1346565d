import type { Failure } from "../../envelope/failure.ts";
import type { NextHost, TlsMode } from "../../route/next-host.ts";
import type { Dialled } from "./dial.ts";

/** Where a session goes, by the relay's scheme: ports and the second try of `ssl`, and how hosts are named in the log. */
const SMTPS_PORT = 465;

/** A port that speaks TLS from the first byte would never greet us in the clear. */
export function firstMode(mode: TlsMode, host: NextHost): TlsMode {
  const isUnix = "path" in host.address;
  if (mode === "starttls-or-implicit" && !isUnix && "port" in host.address && host.address.port === SMTPS_PORT)
    return "implicit";
  // On a unix socket nobody listens in; encryption would only cost.
  return mode === "may" && isUnix ? "never" : mode;
}

/** The second place of `ssl://`: 465 after 25, and a port that a person gave for both ways. */
export function implicitPlace(asked: TlsMode, tried: TlsMode, host: NextHost): NextHost | undefined {
  if (asked !== "starttls-or-implicit" || tried !== "starttls-or-implicit" || "path" in host.address) return undefined;
  const { ip, port } = host.address;
  return { ...host, address: { ip, port: port === 25 ? SMTPS_PORT : port } };
}

export function hostName(host: NextHost): string {
  if ("path" in host.address)
    return host.name.includes("/") ? `localhost[${host.address.path}]` : `${host.name}[${host.address.path}]`;
  return `${host.name}[${host.address.ip}]:${host.address.port}`;
}

export function connectFailure(dialled: Extract<Dialled, { ok: false }>, host: string): Failure {
  const cause = { kind: "connect", reason: dialled.reason, text: dialled.text } as const;
  return { lasting: "temporary", status: "4.4.1", cause, host };
}

export function tlsFailure(text: string, host: string): Failure {
  return { lasting: "temporary", status: "4.7.5", cause: { kind: "tls", reason: "handshake", text }, host };
}

/** A session that cannot even be begun, for reasons of ours: mending them frees the mail. */
export function refusal(
  cause: Failure["cause"],
  status: string,
  host?: string,
): { readonly ok: false; readonly failure: Failure; readonly scope: "relay" } {
  return { ok: false, failure: { lasting: "temporary", status, cause, host }, scope: "relay" };
}

/** Why nothing is opened any more. */
export const STOPPING = "this server is stopping";

/** A session that we did not want any longer: no host is to blame. */
export function stopping(host: string): {
  readonly ok: false;
  readonly failure: Failure;
  readonly scope: "address";
} {
  const cause = { kind: "internal", text: STOPPING } as const;
  return { ok: false, failure: { lasting: "temporary", status: "4.3.0", cause, host }, scope: "address" };
}
