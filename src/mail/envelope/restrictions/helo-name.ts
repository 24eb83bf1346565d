import { parseIpAddress } from "../../../protocol/address/ip-address.ts";
import { addressBytes } from "../../../service/table/network.ts";

/** What the name in EHLO looks like (RFC 5321 section 4.1.1.1): a host's name, an address literal, or neither. */
export type HeloName =
  | { readonly kind: "name"; readonly name: string; readonly isQualified: boolean }
  | { readonly kind: "literal"; readonly bytes: Uint8Array }
  | { readonly kind: "invalid" };

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** Underscores pass, as hosts of Windows have them; an address without brackets is none of the two. */
export function heloName(text: string): HeloName {
  if (text.startsWith("[") && text.endsWith("]")) {
    const inside = text.slice(1, -1);
    const isSix = /^ipv6:/i.test(inside);
    const address = parseIpAddress(isSix ? inside.slice(5) : inside);
    // An IPv6 address without its tag is not what the grammar says.
    if (address === undefined || (address.family === 6) !== isSix) return { kind: "invalid" };
    const bytes = addressBytes(isSix ? inside.slice(5) : inside);
    return bytes === undefined ? { kind: "invalid" } : { kind: "literal", bytes };
  }
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  const labels = name.split(".");
  if (name.length > 253 || !labels.every((label) => LABEL.test(label))) return { kind: "invalid" };
  if (/^\d+$/.test(labels.at(-1) ?? "")) return { kind: "invalid" };
  return { kind: "name", name: name.toLowerCase(), isQualified: labels.length > 1 };
}
