import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import { readSecretFile } from "../../foundation/read-file.io.ts";
import type { SettingPath } from "../../service/config/config.ts";
import type { LoadedSettings } from "./load-settings.ts";

/** Shorter ones can be guessed from one address that was seen. */
const SHORTEST = 16;

/**
 * The secrets that SRS signs with: those of the files that the settings name, or the one that this server has made. None
 * when it has yet to be made. Whoever loads the settings is who may read them; roles get what they need.
 */
export async function loadSrsSecrets(
  settings: {
    readonly state: string;
    readonly srs?: { readonly secretFiles?: readonly string[] | undefined } | undefined;
  },
  tell: (path: SettingPath, text: string, severity?: "error" | "warning") => void,
): Promise<readonly string[] | undefined> {
  const { srs } = settings;
  if (srs === undefined) return undefined;
  if (srs.secretFiles === undefined) {
    const own = await readFile(ownFile(settings.state), "utf8").catch(() => "");
    return firstLine(own) === "" ? [] : [firstLine(own)];
  }
  const secrets: string[] = [];
  for (const [at, file] of srs.secretFiles.entries()) {
    const path: SettingPath = srs.secretFiles.length === 1 ? ["srs", "secretFiles"] : ["srs", "secretFiles", at];
    try {
      const secret = firstLine(await readSecretFile(file));
      if (secret === "") tell(path, `${file} has an empty first line`);
      else if (secret.length < SHORTEST)
        tell(path, `the secret in ${file} has fewer than ${SHORTEST} characters: it can be guessed`, "warning");
      secrets.push(secret);
    } catch (thrown) {
      const isMissing = systemCodeOf(thrown) === "ENOENT";
      tell(path, isMissing ? `${file} does not exist` : `${file} cannot be read: ${messageOf(thrown)}`);
    }
  }
  return secrets;
}

/**
 * Settings with a secret to sign with: where none is named and none is there, makes one and keeps it in the state directory,
 * for addresses made today must be known in three weeks. Throws `PRIVILEGES` when it cannot be kept.
 */
export function withSrsSecret(loaded: LoadedSettings): LoadedSettings {
  const { settings, secrets } = loaded;
  if (settings.srs === undefined || settings.srs.secretFiles !== undefined || secrets.srs?.length !== 0) return loaded;
  return { ...loaded, secrets: { ...secrets, srs: [makeSecret(settings.state)] } };
}

function makeSecret(state: string): string {
  const file = ownFile(state);
  const fresh = `${file}.${process.pid}`;
  const secret = randomBytes(32).toString("base64url");
  try {
    rmSync(fresh, { force: true });
    const fd = openSync(fresh, "wx", 0o600);
    try {
      writeSync(fd, `${secret}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    // Whole or not at all, and never in place of one that somebody else has made meanwhile.
    linkSync(fresh, file);
    rmSync(fresh);
    const folder = openSync(state, "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
    return secret;
  } catch (cause) {
    rmSync(fresh, { force: true });
    if (systemCodeOf(cause) === "EEXIST") {
      const theirs = firstLine(readFileSync(file, "utf8"));
      if (theirs !== "") return theirs;
    }
    throw new PosthornError("PRIVILEGES", {
      message: `cannot make a secret for SRS: ${messageOf(cause)}`,
      advice: `see that ${file} can be written and read, or name files in \`srs.secret-files\``,
      cause,
    });
  }
}

function ownFile(state: string): string {
  return join(state, "srs-secret");
}

function firstLine(text: string): string {
  return (text.split(/\r?\n/, 1)[0] ?? "").trim();
}
