import { createPrivateKey, type KeyObject } from "node:crypto";
import { join, normalize } from "node:path";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { readSecretFile } from "../../foundation/read-file.io.ts";
import type { Table } from "../table/table.ts";
import type { SigningSource } from "./settings.ts";
import { domainsAbove, type SigningKeeper, type SigningKeyMaterial, type SigningKeysAnswer } from "./signing-keys.ts";

const MOST_KEYS = 8;

/** The keeper's side: files and tables are read anew at each question, which comes once a minute for each domain. */
export function signingKeeper(
  sources: ReadonlyMap<string, SigningSource>,
  table: (name: string) => Table | undefined,
): SigningKeeper {
  return {
    async signingKeys(filter, domain): Promise<SigningKeysAnswer> {
      const source = sources.get(filter);
      if (source === undefined) return { kind: "none" };
      try {
        for (const name of domainsAbove(domain)) {
          // oxlint-disable-next-line no-await-in-loop -- the nearest decides
          const files = await filesFor(source, name, table);
          if (typeof files === "string") return { kind: "failed", text: files };
          if (files.length === 0) continue;
          // oxlint-disable-next-line no-await-in-loop -- and is the last
          const keys = await Promise.all(
            files.slice(0, MOST_KEYS).map(({ selector, file }) => readSigningKey(selector, file)),
          );
          return { kind: "found", domain: name, keys };
        }
        return { kind: "none" };
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },
  };
}

interface KeyFile {
  readonly selector: string;
  readonly file: string;
}

async function filesFor(
  source: SigningSource,
  domain: string,
  table: (name: string) => Table | undefined,
): Promise<readonly KeyFile[] | string> {
  const listed = source.keys
    .filter((key) => key.domain === domain)
    .map(({ selector, key }) => ({ selector, file: key }));
  if (source.keyTable === undefined || listed.length > 0) return listed;
  const answer = await table(source.keyTable)?.exact(domain);
  if (answer === undefined) return `the table ${source.keyTable} is not there`;
  if (answer.kind === "failed") return answer.text;
  if (answer.kind === "none") return [];
  return keyFilesIn(answer.value, source.keyFolder ?? "");
}

/** `selector:file, selector:file`; a text says what is wrong. */
export function keyFilesIn(value: string, folder: string): readonly KeyFile[] | string {
  const files: KeyFile[] = [];
  for (const part of value.split(",")) {
    const match = /^\s*([A-Za-z0-9._-]+)\s*:\s*(\S+)\s*$/.exec(part);
    if (match === null) return `expected selector:file instead of ${JSON.stringify(part.trim().slice(0, 60))}`;
    const [, selector = "", file = ""] = match;
    // A table must not lead out of the folder, whoever writes it.
    const path = normalize(join(folder, file));
    if (folder === "" || !path.startsWith(`${normalize(folder)}/`))
      return `the file ${file} is not below the key folder`;
    files.push({ selector: selector.toLowerCase(), file: path });
  }
  return files;
}

/** Throws an error that names the file. */
export async function readSigningKey(selector: string, file: string): Promise<SigningKeyMaterial> {
  const text = await readSecretFile(file).catch((thrown: unknown) => {
    throw new Error(
      systemCodeOf(thrown) === "ENOENT"
        ? `${file} does not exist; \`posthorn dkim key make\` makes a key`
        : `${file} cannot be read: ${messageOf(thrown)}`,
      { cause: thrown },
    );
  });
  const key = privateKeyIn(text, file);
  const kind = key.asymmetricKeyType;
  if (kind !== "rsa" && kind !== "ed25519")
    throw new Error(`${file} holds a key of ${kind ?? "an unknown kind"}, not of RSA or Ed25519`);
  const bits = key.asymmetricKeyDetails?.modulusLength;
  // RFC 8301 section 3.2: signers use at least 1024 bits, and receivers take no fewer.
  if (bits !== undefined && bits < 1024)
    throw new Error(`${file} holds an RSA key of ${bits} bits; others take no fewer than 1024`);
  return { selector, kind, pem: key.export({ type: "pkcs8", format: "pem" }).toString() };
}

function privateKeyIn(text: string, file: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (thrown) {
    const reason = text.includes("-----BEGIN ENCRYPTED") ? "it is encrypted" : messageOf(thrown);
    const what = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text) ? `that can be read: ${reason}` : "in PEM form";
    throw new Error(`${file} holds no private key ${what}`, { cause: thrown });
  }
}
