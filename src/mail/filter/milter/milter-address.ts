import { isIPv6 } from "node:net";
import { z } from "zod";

/** Where a milter listens. */
export type MilterAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly text: string }
  | { readonly kind: "unix"; readonly path: string; readonly text: string };

/**
 * As Postfix writes it, `inet:127.0.0.1:8891` and `unix:/run/milter.sock`, or as milters and Sendmail do, `inet:8891@localhost`,
 * `inet6:8891@[::1]`, `local:/path`; undefined for anything else.
 */
export function parseMilterAddress(text: string): MilterAddress | undefined {
  const [, kind = "", rest = ""] = /^(inet6?|unix|local):(.+)$/s.exec(text) ?? [];
  if (kind === "") return undefined;
  if (!kind.startsWith("inet"))
    return rest.startsWith("/") && !rest.includes("\0")
      ? { kind: "unix", path: rest, text: `unix:${rest}` }
      : undefined;
  const turned = /^([0-9]{1,5})@(.+)$/.exec(rest);
  const given = turned ?? /^(?<host>.+):(?<port>[0-9]{1,5})$/.exec(rest);
  const host = (turned?.[2] ?? given?.groups?.["host"] ?? "").replace(/^\[(.+)\]$/, "$1");
  const port = Number(turned?.[1] ?? given?.groups?.["port"] ?? 0);
  if (port < 1 || port > 65_535) return undefined;
  if (!isIPv6(host) && !/^[A-Za-z0-9_.-]{1,253}$/.test(host)) return undefined;
  return { kind: "tcp", host, port, text: `inet:${isIPv6(host) ? `[${host}]` : host}:${port}` };
}

/** The settings' kind. */
export function milterAddress(): z.ZodType<MilterAddress, string> {
  return z
    .string()
    .transform((text, context) => {
      const address = parseMilterAddress(text);
      if (address !== undefined) return address;
      context.addIssue({ code: "custom", message: "expected inet:host:port, or unix: and a socket's path" });
      return z.NEVER;
    })
    .meta({ kind: "inet:host:port, or unix:/path" });
}
