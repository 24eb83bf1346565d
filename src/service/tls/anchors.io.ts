import { readFile, stat } from "node:fs/promises";
import { getCACertificates } from "node:tls";
import { SYSTEM_ANCHORS, type Anchors } from "./keeper.ts";
import { pemBlocks } from "./pem.ts";
import { isThere, markOfFiles, unreadable } from "./source.io.ts";

/** All the authorities of the world come to less than half a megabyte. */
const MOST_ANCHOR_BYTES = 8 * 1024 * 1024;

/** `isUnread`: it is there, and could not be read this time. */
type ReadAnchors = Anchors & { readonly isUnread?: boolean | undefined };

/**
 * Reads authorities: those of the system (which its administrator manages, with `update-ca-certificates` and the like), or
 * of a file. A system without a store is served by the authorities that came with Node. Never throws.
 */
export async function readAnchors(source: string): Promise<ReadAnchors> {
  if (source !== SYSTEM_ANCHORS) return await anchorsOfFile(source);
  const file = await systemStore();
  if (file !== undefined) {
    const read = await anchorsOfFile(file);
    if (read.pems.length > 0) return { ...read, origin: `the system's store (${file})` };
  }
  return { pems: getCACertificates("bundled"), origin: "the authorities that came with Node" };
}

async function anchorsOfFile(file: string): Promise<ReadAnchors> {
  try {
    const { size } = await stat(file);
    if (size > MOST_ANCHOR_BYTES)
      return { pems: [], origin: file, problem: `${file} is too large for a file of authorities` };
    const { certificates } = pemBlocks(await readFile(file, "latin1"));
    if (certificates.length > 0) return { pems: certificates, origin: file };
    return { pems: [], origin: file, problem: `${file} holds no certificate in PEM form` };
  } catch (thrown) {
    return { pems: [], origin: file, problem: unreadable(file, thrown), isUnread: isThere(thrown) };
  }
}

/** What changes when a source does. */
export async function markOfAnchors(source: string): Promise<string> {
  return await markOfFiles([source === SYSTEM_ANCHORS ? ((await systemStore()) ?? "none") : source]);
}

/** Where systems keep them in one file. Those of other kinds than the first known are for Alpine, Fedora, BSD, macOS. */
const STORES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
  "/usr/local/share/certs/ca-root-nss.crt",
] as const;

/** The files that may be the system's store. `SSL_CERT_FILE` names another one, as for every program that uses OpenSSL. */
export function systemStores(): readonly string[] {
  const named = process.env["SSL_CERT_FILE"];
  return named === undefined || named === "" ? STORES : [named];
}

async function systemStore(): Promise<string | undefined> {
  for (const file of systemStores()) {
    try {
      if ((await stat(file)).size > 0) return file;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
