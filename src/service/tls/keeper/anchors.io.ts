import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { readRegularFile } from "../../../foundation/read-file.io.ts";
import { SYSTEM_ANCHORS, type Anchors } from "./keeper.ts";
import { pemBlocks } from "./pem.ts";
import { isThere, markOfFiles, unreadable } from "./source.io.ts";
import { isHashName, namedAuthorities, STORES, type NamedAuthorities } from "../system-authorities.ts";

/** All the authorities of the world come to less than half a megabyte. */
const MOST_ANCHOR_BYTES = 8 * 1024 * 1024;
/** They are some hundred and fifty. */
const MOST_FILES = 2000;

/** `isUnread`: it is there, and could not be read this time. */
type ReadAnchors = Anchors & { readonly isUnread?: boolean | undefined };

/**
 * Reads authorities: those of the system (which its administrator manages, with `update-ca-certificates` and the like), or
 * of a file. Where the environment names others those count, and never more than those, also when there is nothing to be
 * had from them. Only a system without a store is served by the authorities that came with Node. Never throws.
 */
export async function readAnchors(source: string): Promise<ReadAnchors> {
  if (source !== SYSTEM_ANCHORS) return await anchorsOfFile(source);
  const named = namedAuthorities(process.env);
  if (named.length > 0) return await anchorsOfNamed(named);
  const file = await systemStore();
  if (file === undefined) return { pems: getCACertificates("bundled"), origin: "the authorities that came with Node" };
  return { ...(await anchorsOfFile(file)), origin: `the system's store (${file})` };
}

/** All of the places together. `problem` also where only some of them give nothing. */
async function anchorsOfNamed(named: readonly NamedAuthorities[]): Promise<ReadAnchors> {
  const pems = new Set<string>();
  const problems: string[] = [];
  let isUnread = false;
  for (const { variable, path } of named) {
    const read = variable === "SSL_CERT_FILE" ? await anchorsOfFile(path) : await anchorsOfFolder(path);
    for (const pem of read.pems) pems.add(pem);
    if (read.problem !== undefined) problems.push(`${variable} in the server's environment: ${read.problem}`);
    isUnread ||= read.isUnread === true;
  }
  const origin = named.map(({ variable, path }) => `${variable} (${path})`).join(" and ");
  return { pems: [...pems], origin, ...(problems.length === 0 ? {} : { problem: problems.join("; ") }), isUnread };
}

async function anchorsOfFile(file: string): Promise<ReadAnchors> {
  try {
    const { size } = await stat(file);
    if (size > MOST_ANCHOR_BYTES)
      return { pems: [], origin: file, problem: `${file} is too large for a file of authorities` };
    const { certificates } = pemBlocks((await readRegularFile(file, MOST_ANCHOR_BYTES)).toString("latin1"));
    if (certificates.length > 0) return { pems: certificates, origin: file };
    return { pems: [], origin: file, problem: `${file} holds no certificate in PEM form` };
  } catch (thrown) {
    return { pems: [], origin: file, problem: unreadable(file, thrown), isUnread: isThere(thrown) };
  }
}

async function anchorsOfFolder(folder: string): Promise<ReadAnchors> {
  const none = (problem: string, isUnread = false): ReadAnchors => ({ pems: [], origin: folder, problem, isUnread });
  const pems: string[] = [];
  let bytes = 0;
  let files: readonly string[];
  try {
    files = await hashedFiles(folder);
  } catch (thrown) {
    return none(unreadable(folder, thrown), isThere(thrown));
  }
  let unread: ReadAnchors | undefined;
  for (const file of files) {
    const read = await anchorsOfFile(file);
    if (read.isUnread === true) unread ??= read;
    pems.push(...read.pems);
    for (const pem of read.pems) bytes += pem.length;
    if (bytes > MOST_ANCHOR_BYTES) return none(`${folder} is too large for a folder of authorities`);
  }
  if (pems.length > 0) return { pems, origin: folder };
  if (unread?.problem !== undefined) return none(unread.problem, true);
  return none(`${folder} holds no certificate in PEM form under the hash of its name; openssl rehash makes such names`);
}

/** Links, mostly, to where the certificates are. At most `MOST_FILES`. */
async function hashedFiles(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder)).filter(isHashName).sort();
  return names.slice(0, MOST_FILES).map((name) => join(folder, name));
}

/** What changes when a source does. */
export async function markOfAnchors(source: string): Promise<string> {
  if (source !== SYSTEM_ANCHORS) return await markOfFiles([source]);
  const named = namedAuthorities(process.env);
  if (named.length === 0) return await markOfFiles([(await systemStore()) ?? "none"]);
  const files: string[] = [];
  for (const { variable, path } of named) {
    files.push(path);
    if (variable === "SSL_CERT_DIR") files.push(...(await hashedFiles(path).catch(() => [])));
  }
  return await markOfFiles(files);
}

/** All that may be read for the system's authorities; what links in folders lead to is followed. */
export function systemStores(): readonly string[] {
  const named = namedAuthorities(process.env);
  if (named.length === 0) return STORES;
  return named.flatMap(({ variable, path }) => (variable === "SSL_CERT_DIR" ? [path, join(path, "*")] : [path]));
}

/** The first that there is; also when it cannot be read, for it is not Node's to say then who is trusted. */
async function systemStore(): Promise<string | undefined> {
  for (const file of STORES) {
    try {
      if ((await stat(file)).size > 0) return file;
    } catch (thrown) {
      if (isThere(thrown)) return file;
    }
  }
  return undefined;
}
