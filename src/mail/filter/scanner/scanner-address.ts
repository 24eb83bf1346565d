import { z } from "zod";
import { parseServerAddress, type ServerAddress } from "../../../service/table/pool/server-address.ts";

/** Where a scanner listens: a socket's path, or a host with its port. */
export type ScannerAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly text: string }
  | { readonly kind: "unix"; readonly path: string; readonly text: string };

/** `unix:/run/clamd.ctl`, `/run/clamd.ctl`, `inet:127.0.0.1:783`, `127.0.0.1:783`, `[::1]:783`, or a host alone where there is a usual port. */
export function parseScannerAddress(text: string, usualPort: number): ScannerAddress | undefined {
  const rest = text.replace(/^(?:unix|local|inet6?):/, "");
  const isPath = rest.startsWith("/");
  if (isPath ? text.startsWith("inet") : rest !== text && !text.startsWith("inet")) return undefined;
  const parsed = parseServerAddress(rest);
  if (!parsed.ok || ("scheme" in parsed.value && parsed.value.scheme !== undefined)) return undefined;
  return withText(parsed.value, usualPort);
}

function withText(address: ServerAddress, usualPort: number): ScannerAddress {
  if (address.kind === "unix") return { kind: "unix", path: address.path, text: address.path };
  const { host, port = usualPort } = address;
  return { kind: "tcp", host, port, text: `${host.includes(":") ? `[${host}]` : host}:${port}` };
}

/** The settings' kind. */
export function scannerAddress(usualPort: number): z.ZodType<ScannerAddress, string> {
  return z
    .string()
    .transform((text, context) => {
      const address = parseScannerAddress(text, usualPort);
      if (address !== undefined) return address;
      context.addIssue({ code: "custom", message: `expected host:port, or unix: and a socket's path` });
      return z.NEVER;
    })
    .meta({ kind: "host:port, or unix:/path" });
}
