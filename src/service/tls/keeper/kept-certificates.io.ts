import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import { fileSystem } from "../../../foundation/file-system.io.ts";
import { sweepUnfinished, writeWhole } from "../../../foundation/whole-file.io.ts";
import { certificateRequest } from "./certificate-request.io.ts";
import { parsePair, servesName, type CertificatePair, type RequestedKeyKind } from "./certificate.ts";
import { loadPair, namingFile, type LoadedPairs } from "./source.io.ts";

/**
 * Certificates that an authority issued to us over ACME, with their keys, and what belongs to that: account keys and notes.
 * Only the keeper has this. Below its directory:
 *
 *     kept/LABEL/ec.pem, rsa.pem     key and chain in one file, so that no crash can part them; mode 0600
 *     accounts/ID.pem                the account's key, for each directory of an authority
 *     acme.json                      what went wrong when, so that a restart does not begin to ask anew
 */
export interface KeptCertificates {
  /** Where a certificate is, whether it is there yet or not. */
  fileOf(label: string, kind: RequestedKeyKind): string;
  /** Nothing, without a problem, while there is none yet. Never throws. */
  load(label: string, kind: RequestedKeyKind): Promise<Pick<LoadedPairs, "pairs" | "problems" | "isUnread">>;
  /** Makes a key and keeps it until its chain comes; a later request for the same replaces it. */
  request(label: string, kind: RequestedKeyKind, names: readonly string[]): Promise<string>;
  /** Checks what was issued for the last request, and stores it durably. Says why not. */
  keep(
    label: string,
    kind: RequestedKeyKind,
    chainPem: string,
  ): Promise<{ pair: CertificatePair } | { problem: string }>;
  /** The key of our account with the authority of this directory, made when there is none. Throws what the disk says. */
  accountKey(directoryUrl: string): Promise<string>;
  /** Undefined when there are none, or they cannot be read. */
  notes(): Promise<string | undefined>;
  /** Says why not. */
  keepNotes(text: string): Promise<string | undefined>;
  /** Removes what crashes have left half written, keys among it. Never throws. */
  sweep(nowAt: number): Promise<void>;
}

/** Labels are names of folders, too. */
const LABEL = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** Chains that authorities send are a hundredth of this. */
const MOST_CHAIN_LENGTH = 1_000_000;

export function keptCertificates(directory: string): KeptCertificates {
  const notesFile = join(directory, "acme.json");
  const requested = new Map<string, { readonly keyPem: string; readonly names: readonly string[] }>();
  const fileOf = (label: string, kind: RequestedKeyKind): string => {
    if (!LABEL.test(label) || !["ec", "rsa"].includes(kind))
      throw new TypeError(`${label}/${kind} is no certificate's`);
    return join(directory, "kept", label, `${kind}.pem`);
  };
  return {
    fileOf,
    async load(label, kind) {
      const file = fileOf(label, kind);
      if ((await stat(file).catch(() => undefined)) === undefined) return { pairs: [], problems: [] };
      const loaded = await loadPair({ certificate: file, key: file });
      if (loaded.ok) return { pairs: [loaded.value.pair], problems: [] };
      return { pairs: [], problems: [namingFile(loaded.problem, file, file)], isUnread: loaded.problem.isUnread };
    },
    async request(label, kind, names) {
      fileOf(label, kind);
      const { keyPem, requestPem } = await certificateRequest(kind, names);
      requested.set(`${label}/${kind}`, { keyPem, names });
      return requestPem;
    },
    async keep(label, kind, chainPem) {
      const wanted = requested.get(`${label}/${kind}`);
      if (wanted === undefined) return { problem: "nothing was asked for: the keeper has been started anew meanwhile" };
      if (chainPem.length > MOST_CHAIN_LENGTH) return { problem: "the chain is longer than any" };
      const file = fileOf(label, kind);
      const parsed = parsePair({ certificatePem: chainPem, keyPem: wanted.keyPem, origin: file });
      if (!parsed.ok) return { problem: `the ${parsed.problem.part} ${parsed.problem.text}` };
      const pair = parsed.value;
      const missing = wanted.names.filter((name) => !servesName(pair, name));
      if (missing.length > 0) return { problem: `the certificate is not for ${missing.join(", ")}` };
      try {
        await mkdir(join(directory, "kept", label), { recursive: true, mode: 0o700 });
        await writeWhole(file, `${pair.keyPem}${pair.certificatePem}`, 0o600);
      } catch (thrown) {
        return { problem: `it cannot be stored in ${file}: ${messageOf(thrown)}` };
      }
      requested.delete(`${label}/${kind}`);
      return { pair };
    },
    async accountKey(directoryUrl) {
      const id = createHash("sha256").update(directoryUrl).digest("hex").slice(0, 16);
      const file = join(directory, "accounts", `${id}.pem`);
      try {
        return await readFile(file, "utf8");
      } catch (thrown) {
        if (systemCodeOf(thrown) !== "ENOENT") throw thrown;
      }
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      await mkdir(join(directory, "accounts"), { recursive: true, mode: 0o700 });
      await writeWhole(file, keyPem, 0o600);
      return keyPem;
    },
    notes: () => readFile(notesFile, "utf8").catch(() => undefined),
    async keepNotes(text) {
      try {
        await writeWhole(notesFile, text, 0o600);
        return undefined;
      } catch (thrown) {
        return messageOf(thrown);
      }
    },
    async sweep(nowAt) {
      const labels = await fileSystem.list(join(directory, "kept")).catch((): string[] => []);
      const folders = [
        directory,
        join(directory, "accounts"),
        ...labels.map((label) => join(directory, "kept", label)),
      ];
      for (const folder of folders) await sweepUnfinished(folder, nowAt);
    },
  };
}
