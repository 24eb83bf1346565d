import { escapeControls } from "../../../foundation/escape.ts";
import type { ClientHello } from "./client-hello.ts";
import type { ServerHello } from "./server-hello.ts";
import { cipherName, groupName, versionName } from "./wire-names.ts";

/** A ClientHello on one line: `TLSv1.3 TLSv1.2, 30 ciphers, groups X25519MLKEM768 X25519, shares X25519, for mx.example`. */
export function clientHelloLine(hello: ClientHello): string {
  const parts = [
    hello.versions.slice(0, 6).map(versionName).join(" "),
    `${hello.ciphers.length} ${hello.ciphers.length === 1 ? "cipher" : "ciphers"}`,
  ];
  if (hello.groups.length > 0) parts.push(`groups ${some(hello.groups.map(groupName))}`);
  if (hello.keyShares.length > 0) parts.push(`shares ${some(hello.keyShares.map(groupName))}`);
  if (hello.alpn.length > 0) parts.push(`alpn ${some(hello.alpn.map((name) => escapeControls(name.slice(0, 32))))}`);
  parts.push(hello.serverName === undefined ? "no server name" : `for ${escapeControls(hello.serverName)}`);
  if (hello.offersResumption) parts.push("offers to resume");
  if (hello.isMalformed) parts.push("malformed");
  return parts.join(", ");
}

/** A ServerHello on one line: `TLSv1.3, TLS_AES_256_GCM_SHA384, X25519`. */
export function serverHelloLine(hello: ServerHello): string {
  const parts = [versionName(hello.version), cipherName(hello.cipher)];
  if (hello.group !== undefined) parts.push(groupName(hello.group));
  if (hello.alpn !== undefined) parts.push(`alpn ${hello.alpn}`);
  if (hello.hasChosenSession) parts.push("resumes");
  return parts.join(", ");
}

function some(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 4).join(" ")} and ${names.length - 4} more` : names.join(" ");
}
