import { dnsFindingText } from "../../protocol/dns/resolver.ts";
import type { SigningKeyCheck, SigningKeyWish } from "../../admin/cli/domains/signing-world.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import { readSecretFile } from "../../foundation/read-file.io.ts";
import { readDkimKey } from "../../protocol/authentication/dkim-key.ts";
import { zoneLine } from "../../service/autoconfig/expected-records.ts";
import { createResolver } from "../../service/dns/resolver.io.ts";
import { makeSigningKey, publicKeyText, type PublicKeyText } from "../../service/signing/make-key.io.ts";
import type { LoadedSettings } from "./load-settings.ts";
import { keyTableLines, signingSourcesOf } from "./signing-files.ts";

/** `posthorn dkim key make`. */
export async function makeKey({
  domain,
  selector,
  kind,
  bits,
  file,
}: SigningKeyWish): Promise<{ readonly line: string }> {
  try {
    const made = await makeSigningKey(kind, bits, file);
    return { line: dkimLine(domain, selector, made) };
  } catch (thrown) {
    throw new PosthornError("USAGE", {
      message: `${file}: ${messageOf(thrown)}`,
      advice: "name a file that is not there yet, in a folder that you may write to",
      cause: thrown,
    });
  }
}

function dkimLine(domain: string, selector: string, { kind, key }: PublicKeyText): string {
  const name = `${selector}._domainkey.${domain}`;
  return zoneLine({ name, type: "TXT", value: `v=DKIM1; k=${kind}; p=${key}`, purpose: "dkim", need: "needed" });
}

export interface SettingsKey {
  readonly domain: string;
  readonly selector: string;
  readonly file: string;
}

export interface SettingsKeys {
  readonly keys: readonly SettingsKey[];
  /** Lines of tables that name no key that can be used. */
  readonly wrong: readonly { readonly domain: string; readonly text: string }[];
}

/** Every key that filters of the settings sign with, those of tables in files or in place included. */
export async function signingKeysOf({ settings }: Pick<LoadedSettings, "settings">): Promise<SettingsKeys> {
  const keys: SettingsKey[] = [];
  const wrong: { domain: string; text: string }[] = [];
  for (const source of signingSourcesOf(settings).values()) {
    keys.push(...source.keys.map(({ domain, selector, key }) => ({ domain, selector, file: key })));
    // oxlint-disable-next-line no-await-in-loop -- a few tables
    for (const { domain, where, files } of await keyTableLines(source, settings.tables)) {
      if (typeof files !== "string") keys.push(...files.map((one) => ({ domain, ...one })));
      else wrong.push({ domain, text: `${where ?? `table ${source.keyTable ?? ""}`}: ${files}` });
    }
  }
  return { keys, wrong };
}

/** `posthorn dkim check`. */
export async function checkKeys(loaded: LoadedSettings): Promise<readonly SigningKeyCheck[]> {
  await using resolver = createResolver({ clock: systemClock, settings: loaded.settings.dns });
  const { keys, wrong } = await signingKeysOf(loaded);
  const checks = wrong.map(({ domain, text }): SigningKeyCheck => ({ name: domain, standing: "WRONG", text }));
  for (const { domain, selector, file } of keys) {
    const name = `${selector}._domainkey.${domain}`;
    let own: PublicKeyText;
    try {
      // oxlint-disable-next-line no-await-in-loop -- in order
      own = publicKeyText(await readSecretFile(file));
    } catch (thrown) {
      checks.push({ name, standing: "WRONG", text: `${file}: ${messageOf(thrown)}` });
      continue;
    }
    // oxlint-disable-next-line no-await-in-loop -- in order
    const answer = await resolver.txt(name);
    if (answer.kind === "failed") checks.push({ name, standing: "unknown", text: dnsFindingText(answer.finding) });
    else if (answer.kind === "none")
      checks.push({ name, standing: "MISSING", text: `publish ${dkimLine(domain, selector, own)}` });
    else checks.push({ name, ...compared(answer.records, own) });
  }
  return checks;
}

function compared(records: readonly string[], own: PublicKeyText): Pick<SigningKeyCheck, "standing" | "text"> {
  const [record = "", more] = records;
  if (more !== undefined)
    return { standing: "WRONG", text: `there are ${records.length} records: which one is meant nobody knows` };
  const reading = readDkimKey(record);
  if (reading.kind === "unusable") return { standing: "WRONG", text: reading.text };
  const published = publicKeyText(reading.key.key.export({ type: "spki", format: "pem" }).toString());
  if (published.kind !== own.kind || published.key !== own.key)
    return { standing: "WRONG", text: "another key is published: nobody can verify what is signed with this one" };
  return { standing: "ok", text: reading.key.isTesting ? "the record says that the key is only tried out (t=y)" : "" };
}
