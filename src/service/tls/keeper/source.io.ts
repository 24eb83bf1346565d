import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import { readRegularFile } from "../../../foundation/read-file.io.ts";
import { bundleOf, publicPartOf } from "./bundle.ts";
import { parsePair, type CertificatePair, type PairRefusal } from "./certificate.ts";
import { pemBlocks } from "./pem.ts";
import { isPkcs11, pkcs11Pem } from "./pkcs11.ts";

/** Nobody's certificate chain comes near this. */
const MOST_PEM_BYTES = 1024 * 1024;
/** Each is read and kept; more names than this belong into a table. */
const MOST_FILES = 10_000;

export interface LoadedPair {
  readonly pair: CertificatePair;
  /** What works, but should not be so: a key that others may read. */
  readonly warnings: readonly PairRefusal[];
}

/** Reads a certificate and its key and checks that they belong together. Never throws. */
export async function loadPair(files: {
  certificate: string;
  key: string;
  names?: readonly string[] | undefined;
}): Promise<{ ok: true; value: LoadedPair } | { ok: false; problem: PairRefusal }> {
  const refuse = (part: PairRefusal["part"], { text, isUnread }: ReadPem & { readonly ok: false }) =>
    ({ ok: false, problem: { part, text, isUnread } }) as const;
  const certificatePem = await readPem(files.certificate);
  if (!certificatePem.ok) return refuse("certificate", certificatePem);
  const isKeyElsewhere = isPkcs11(files.key);
  const keyPem = isKeyElsewhere
    ? ({ ok: true, text: pkcs11Pem(files.key), isOpen: false } as const)
    : await readPem(files.key);
  if (!keyPem.ok) return refuse("key", keyPem);
  const parsed = parsePair({
    certificatePem: certificatePem.text,
    keyPem: keyPem.text,
    origin: files.certificate,
    names: files.names,
    isKeyElsewhere,
  });
  if (!parsed.ok) return parsed;
  const warnings = keyPem.isOpen ? [{ part: "key", text: openKey(files.key) } as const] : [];
  return { ok: true, value: { pair: parsed.value, warnings } };
}

function openKey(file: string): string {
  return `${file} may be read by every user of this machine`;
}

/** What a folder, or files named together, gave. A problem names its file. */
export interface LoadedPairs {
  readonly pairs: readonly CertificatePair[];
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** Something could not be read, though it is there: without a change it may be readable another time. */
  readonly isUnread?: boolean | undefined;
}

/**
 * Every pair in a folder: each certificate (`*.pem`, `*.crt`, `*.cer`) with the key that belongs to it, whichever file holds
 * that; and each folder below that has `fullchain.pem` and `privkey.pem`, as ACME clients make them. Never throws.
 */
export async function loadDirectory(directory: string): Promise<LoadedPairs> {
  const pairs: CertificatePair[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  let listed: DirectoryFiles;
  try {
    listed = await filesIn(directory);
  } catch (thrown) {
    return { pairs, problems: [unreadable(directory, thrown)], warnings, isUnread: isThere(thrown) };
  }
  if (listed.isCut) warnings.push(`${directory} has more than ${MOST_FILES} files: the rest is left out`);
  let isUnread = false;
  const texts = new Map<string, string>();
  const keys = new Map<string, string>();
  for (const file of listed.files) {
    const read = await readPem(file);
    if (!read.ok) {
      problems.push(read.text);
      isUnread ||= read.isUnread;
      continue;
    }
    texts.set(file, read.text);
    for (const key of pemBlocks(read.text).keys) {
      const publicPart = publicPartOf({ key });
      if (publicPart === undefined) problems.push(`${file} holds a private key that cannot be read`);
      else keys.set(publicPart, key);
      if (read.isOpen) warnings.push(openKey(file));
    }
  }
  for (const [file, text] of texts) {
    const [own] = pemBlocks(text).certificates;
    if (own === undefined) continue;
    const publicPart = publicPartOf({ certificate: own });
    const keyPem = publicPart === undefined ? undefined : keys.get(publicPart);
    // Folders hold authorities and bare chains, too; what no key belongs to is nobody's to show.
    if (keyPem === undefined) {
      if (/\.crt$|(^|\/)(cert|fullchain)[^/]*\.pem$/.test(file) && !isChainFile(file))
        warnings.push(`${file} has no key in ${directory}`);
      continue;
    }
    const parsed = parsePair({ certificatePem: text, keyPem, origin: file });
    if (parsed.ok) pairs.push(parsed.value);
    else problems.push(`${file} ${parsed.problem.text}`);
  }
  for (const folder of listed.folders) {
    const loaded = await loadPair({ certificate: join(folder, "fullchain.pem"), key: join(folder, "privkey.pem") });
    if (loaded.ok) {
      pairs.push(loaded.value.pair);
      warnings.push(...loaded.value.warnings.map(({ text }) => text));
    } else {
      problems.push(namingFile(loaded.problem, join(folder, "fullchain.pem"), join(folder, "privkey.pem")));
      isUnread ||= loaded.problem.isUnread === true;
    }
  }
  return { pairs: onlyLongest(pairs), problems, warnings, isUnread };
}

function isChainFile(file: string): boolean {
  return /chain|(^|[-_.])ca([-_.]|$)|root|issuer|bundle/i.test(basename(file));
}

/** A refusal as a sentence that begins with the file it is about. */
export function namingFile(refusal: PairRefusal, certificate: string, key: string): string {
  return refusal.text.startsWith("/") ? refusal.text : `${refusal.part === "key" ? key : certificate} ${refusal.text}`;
}

/** `cert.pem` and `fullchain.pem` are one certificate, the second with its chain. */
function onlyLongest(pairs: readonly CertificatePair[]): readonly CertificatePair[] {
  const kept = new Map<string, CertificatePair>();
  for (const pair of pairs) {
    const earlier = kept.get(pair.fingerprint);
    if (earlier === undefined || earlier.certificatePem.length < pair.certificatePem.length)
      kept.set(pair.fingerprint, pair);
  }
  return [...kept.values()];
}

/** Pairs out of several files that belong together, in any order. */
export async function loadFiles(files: readonly string[]): Promise<LoadedPairs> {
  let text = "";
  const warnings: string[] = [];
  for (const file of files) {
    const read = await readPem(file);
    if (!read.ok) return { pairs: [], problems: [read.text], warnings };
    if (read.isOpen && pemBlocks(read.text).keys.length > 0) warnings.push(openKey(file));
    text += `${read.text}\n`;
  }
  const bundle = bundleOf(text, files[0] ?? "");
  return {
    pairs: bundle.pairs,
    problems: bundle.problems.map((problem) => `${files.join(", ")} ${problem}`),
    warnings,
  };
}

/** What changes when one of the files does; files that are not there count, too. */
export async function markOfFiles(files: readonly string[]): Promise<string> {
  const marks: string[] = [];
  for (const file of files) {
    if (isPkcs11(file)) continue;
    try {
      // Not the content alone: who may read it may be what has been mended.
      const { mtimeMs, ctimeMs, size, ino, mode } = await stat(file);
      marks.push(`${file} ${mtimeMs} ${ctimeMs} ${size} ${ino} ${mode}`);
    } catch {
      marks.push(`${file} -`);
    }
  }
  return marks.join("\n");
}

export async function markOfDirectory(directory: string): Promise<string> {
  try {
    const { files, folders } = await filesIn(directory);
    return await markOfFiles([
      ...files,
      ...folders.flatMap((folder) => [join(folder, "fullchain.pem"), join(folder, "privkey.pem")]),
    ]);
  } catch {
    return `${directory} -`;
  }
}

interface DirectoryFiles {
  readonly files: readonly string[];
  /** Those with a certificate in them. */
  readonly folders: readonly string[];
  readonly isCut: boolean;
}

async function filesIn(directory: string): Promise<DirectoryFiles> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith(".")).sort();
  const files: string[] = [];
  const folders: string[] = [];
  for (const name of names.slice(0, MOST_FILES)) {
    const path = join(directory, name);
    // Links lead to the real files in ACME clients' folders: what counts is what is behind them.
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true && /\.(pem|crt|cer|key)$/i.test(name)) files.push(path);
    if (found?.isDirectory() === true && (await stat(join(path, "fullchain.pem")).catch(() => undefined)) !== undefined)
      folders.push(path);
  }
  return { files, folders, isCut: names.length > MOST_FILES };
}

type ReadPem =
  | { readonly ok: true; readonly text: string; readonly isOpen: boolean }
  | { readonly ok: false; readonly text: string; readonly isUnread: boolean };

async function readPem(path: string): Promise<ReadPem> {
  try {
    const { size, mode } = await stat(path);
    if (size > MOST_PEM_BYTES) return { ok: false, text: `${path} is too large to be a PEM file`, isUnread: false };
    return {
      ok: true,
      text: (await readRegularFile(path, MOST_PEM_BYTES)).toString("latin1"),
      isOpen: (mode & 0o007) !== 0,
    };
  } catch (thrown) {
    return { ok: false, text: unreadable(path, thrown), isUnread: isThere(thrown) };
  }
}

/** A file that is not there, or is a folder, is no other until it changes; other failures may be the machine's. */
export function isThere(thrown: unknown): boolean {
  const code = systemCodeOf(thrown);
  return code !== "ENOENT" && code !== "ENOTDIR" && code !== "EISDIR";
}

/** Why a file could not be read, for people. */
export function unreadable(file: string, thrown: unknown): string {
  const code = systemCodeOf(thrown);
  if (code === "ENOENT") return `${file} does not exist`;
  if (code === "EACCES" || code === "ERR_ACCESS_DENIED") return `${file} may not be read by this user`;
  if (code === "EISDIR") return `${file} is a directory`;
  return `${file} cannot be read: ${messageOf(thrown)}`;
}
