import { isIPv6 } from "node:net";
import { ok, refused, type Problem, type Result } from "../../../foundation/result.ts";
import { parseIpAddress } from "../../../protocol/address/ip-address.ts";

/** Where a database or directory listens. */
export type ServerAddress =
  | {
      readonly kind: "tcp";
      /** A name or an address, without brackets. */
      readonly host: string;
      readonly port: number | undefined;
      /** As it was written in a URL such as `ldaps://host`. */
      readonly scheme?: string;
    }
  | { readonly kind: "unix"; readonly path: string };

/** `db.example.org`, `db.example.org:5433`, `192.0.2.1`, `[2001:db8::1]:5432`, `2001:db8::1`, `/run/db.sock`, `ldaps://host:port`. */
export function parseServerAddress(text: string): Result<ServerAddress, Problem> {
  const expected = "a host, host:port, or a socket's path";
  if (text.startsWith("/"))
    return text.includes("\0") ? refused({ at: 0, expected }) : ok({ kind: "unix", path: text });
  if (isIPv6(text)) return ok({ kind: "tcp", host: text, port: undefined });
  const found = /^(?:([a-z]{2,10}):\/\/)?(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]{1,253}))(?::(\d{1,5}))?\/?$/.exec(
    text,
  );
  const host = found?.[2] ?? found?.[3];
  if (found === null || host === undefined || (found[2] !== undefined && !isIPv6(host)))
    return refused({ at: 0, expected });
  const port = found[4] === undefined ? undefined : Number(found[4]);
  if (port !== undefined && (port < 1 || port > 65_535)) return refused({ at: text.lastIndexOf(":") + 1, expected });
  return ok({ kind: "tcp", host, port, ...(found[1] === undefined ? {} : { scheme: found[1] }) });
}

/** Whether what is sent there stays on this machine. */
export function isThisMachine(address: ServerAddress): boolean {
  if (address.kind === "unix") return true;
  if (address.host.toLowerCase() === "localhost") return true;
  const parsed = parseIpAddress(address.host);
  if (parsed === undefined) return false;
  const { bytes } = parsed;
  return bytes.length === 4 ? bytes[0] === 127 : bytes.every((byte, at) => byte === (at === 15 ? 1 : 0));
}

/** The same for what the settings have checked. Throws. */
export function serverAddress(text: string): ServerAddress {
  const address = parseServerAddress(text);
  if (!address.ok) throw new Error(`${text}: expected ${address.problem.expected}`);
  return address.value;
}
