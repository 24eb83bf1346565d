import { isUtf8 } from "node:buffer";
import { judgedArc, type ArcResult } from "../../../protocol/authentication/arc.ts";
import { ARC_BODY, sealArc } from "../../../protocol/authentication/arc-seal.ts";
import { BodyHashes } from "../../../protocol/authentication/body-hashes.ts";
import { signDkim } from "../../../protocol/authentication/dkim-sign.ts";
import { createKeyFinder } from "../../../protocol/authentication/key-finder.ts";
import { rawFields, type RawField } from "../../../protocol/authentication/raw-fields.ts";
import { sealedResults } from "../../../protocol/authentication/results-field.ts";
import { verifyMessage } from "../../../protocol/authentication/verify-message.ts";
import type { SigningKeeper } from "../../../service/signing/signing-keys.ts";
import { withoutNul } from "../../../protocol/smtp/dot-stuffer.ts";
import { filterFailed } from "../failed.ts";
import type { Filter, FilterMail, MailVerdict } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { judgingFilter } from "../scanner/judging-filter.ts";
import { fromDomains } from "./from-domains.ts";
import { isOwnMail } from "./is-own-mail.ts";
import type { SignSettings } from "./settings.ts";
import { signingCache, type KnownKeys } from "./signing-cache.ts";

type FoundKeys = Extract<KnownKeys, { kind: "found" }>;

/**
 * DKIM signatures for mail of our own, as many as its domain has keys; and ARC seals for mail of others. The domain in From
 * chooses the keys. A key that can't be read fails the filter: such mail waits rather than going out unsigned.
 */
export function signFilter(name: string, settings: SignSettings, world: FilterWorld): Filter {
  const { clock } = world;
  const keysOf = signingCache(world.signing ?? NO_KEYS, name, clock);
  const keyFinder = createKeyFinder(world.resolver);
  const oversign = [...new Set(["from", ...settings.oversigned])];

  /** The keys for a domain, or undefined where it has none. */
  const keysFor = async (domain: string): Promise<FoundKeys | undefined> => {
    const known = await keysOf(domain);
    if (known.kind === "failed")
      throw filterFailed(
        `the keys to sign for ${domain} can't be had: ${known.text}`,
        "see that the keeper can read the files that the filter names",
      );
    if (known.kind === "none" || (known.domain !== domain && !settings.subdomains)) return undefined;
    return known;
  };

  const sign = async (mail: FilterMail, fields: readonly RawField[], signal: AbortSignal): Promise<MailVerdict> => {
    const [domain, other] = fromDomains(fields);
    // Whose mail it is can't be said of one with several authors or none.
    if (domain === undefined || other !== undefined) return unchanged("From names no domain, or several");
    const found = await keysFor(domain);
    if (found === undefined) return unchanged(`no key for ${domain}`);
    const hashes = new BodyHashes();
    const hash = hashes.want(settings.body);
    await readBody(mail, hashes, signal);
    const atSeconds = Math.floor(clock.now() / 1000);
    const values = found.keys.map((key) =>
      signDkim(fields, hash.digest, key, {
        header: settings.header,
        body: settings.body,
        sign: settings.signed,
        oversign,
        atSeconds,
        ...(settings.expires === undefined
          ? {}
          : { expiresAtSeconds: atSeconds + Math.floor(settings.expires / 1000) }),
        ...(domain === found.domain ? {} : { identity: `@${domain}` }),
      }),
    );
    return {
      fate: { kind: "keep" },
      edits: values.map((value) => ({ edit: "add-field", name: "DKIM-Signature", value, at: 0 })),
      tags: [`signed=${found.domain}`],
      because: `signed for ${found.domain} by ${found.keys.map(({ selector }) => selector).join(", ")}`,
    };
  };

  /**
   * The chain as it was when the mail came: RFC 8617 section 5.1 has all changes made before the seal, and they are no fault of
   * those who sealed before. Where nobody said how it came, it is judged now. The body is read in either case.
   */
  const chainOf = async (
    mail: FilterMail,
    fields: readonly RawField[],
    hashes: BodyHashes,
    nowSeconds: number,
    signal: AbortSignal,
  ): Promise<ArcResult> => {
    await readBody(mail, hashes, signal);
    const judged = (["pass", "fail"] as const).find((result) => mail.facts.tags.includes(`arc=${result}`));
    if (judged !== undefined) return judgedArc(fields, judged);
    // Its signatures were judged before; here only the chain is looked at, which is over the mail as it came.
    const terms = { mostSignatures: 0, acceptPartial: false, nowSeconds };
    const message = { fields: rawFields(mail.header), body: () => mail.body.read() };
    return (await verifyMessage(message, keyFinder(signal), terms, signal)).arc;
  };

  const seal = async (
    mail: FilterMail,
    fields: readonly RawField[],
    sealer: string,
    signal: AbortSignal,
  ): Promise<MailVerdict> => {
    const authority = settings.authority ?? world.hostname.toLowerCase();
    // Only a field that we wrote ourselves is sealed. The filter that judges takes out what others wrote in its name; where it was
    // not asked about this mail, theirs still stands there.
    if (mail.facts.mail.resultsOf?.includes(authority) !== true)
      return unchanged(`no filter here wrote Authentication-Results of ${authority} into it`);
    const found = await keysFor(sealer);
    const key = found?.keys[0];
    if (found === undefined || key === undefined)
      throw filterFailed(
        `there is no key of ${sealer} to seal with`,
        "give the filter a key of that domain, or leave out `seal`",
      );
    const hashes = new BodyHashes();
    const hash = hashes.want(ARC_BODY);
    const nowSeconds = Math.floor(clock.now() / 1000);
    const arc = await chainOf(mail, fields, hashes, nowSeconds, signal);
    const results = sealedResults(fields, authority);
    if (results === undefined) return unchanged(`no Authentication-Results of ${authority}`);
    // Fields are octets here, and text to those who write them: what is no UTF-8 would not come out as it was sealed.
    if (!isUtf8(Buffer.from(results, "latin1")))
      return unchanged(`Authentication-Results of ${authority} that are no UTF-8 can't be sealed`);
    const set = sealArc(fields, arc, hash.digest, results, key, {
      sign: [...new Set([...oversign, ...settings.signed, "dkim-signature"])],
      atSeconds: nowSeconds,
    });
    if (set === undefined) return unchanged("the chain can't be continued");
    return {
      fate: { kind: "keep" },
      edits: [
        {
          edit: "add-field",
          name: "ARC-Authentication-Results",
          value: Buffer.from(set.results, "latin1").toString("utf8"),
          at: 0,
        },
        { edit: "add-field", name: "ARC-Message-Signature", value: set.message, at: 0 },
        { edit: "add-field", name: "ARC-Seal", value: set.seal, at: 0 },
      ],
      because: `sealed for ${found.domain}, the chain before: ${arc.result}`,
    };
  };

  return judgingFilter(
    name,
    {
      where:
        settings.keyTable === undefined
          ? `keys of ${settings.keys.map(({ domain }) => domain).join(", ")}`
          : `keys in table ${settings.keyTable}`,
      async judge(mail, signal) {
        const fields = rawFields(asItLeaves(mail)(mail.header));
        if (settings.whose === "everybody" || isOwnMail(mail.facts, fields)) return sign(mail, fields, signal);
        return settings.seal === undefined ? unchanged() : seal(mail, fields, settings.seal, signal);
      },
    },
    world,
  );
}

const NO_KEYS: SigningKeeper = { signingKeys: async () => ({ kind: "none" }) };

function unchanged(because?: string): MailVerdict {
  return { fate: { kind: "keep" }, ...(because === undefined ? {} : { because }) };
}

/** The signature is over what the next host gets: of a NUL it gets nothing but in binary mail. */
function asItLeaves({ facts }: FilterMail): (bytes: Buffer) => Buffer {
  return facts.mail.body === "BINARYMIME" ? (bytes) => bytes : withoutNul;
}

async function readBody(mail: FilterMail, hashes: BodyHashes, signal: AbortSignal): Promise<void> {
  const leaving = asItLeaves(mail);
  for await (const piece of mail.body.read()) {
    signal.throwIfAborted();
    hashes.update(leaving(piece));
  }
  hashes.finish();
}
