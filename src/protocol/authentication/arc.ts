import type { BodyHashes, BodyHash } from "./body-hashes.ts";
import { relaxedField } from "./canonical.ts";
import { algorithmOf, dnsName, parseDkimSignature, withoutSignature, type DkimSignature } from "./dkim-signature.ts";
import { isSignatureOf, isSignedBy, SKEW_SECONDS } from "./dkim-verify.ts";
import type { KeyAnswer, KeyFinder } from "./key-finder.ts";
import { rawValue, type RawField } from "./raw-fields.ts";
import { base64Bytes, parseTagList, type TagList } from "./tag-list.ts";

/**
 * The chain of those who forwarded a message and sealed what they had found (RFC 8617). Each set is three fields: results
 * (AAR), a signature over the message (AMS) and a seal over all sets up to there (AS). A chain passes when all seals and the
 * newest signature are valid; it says nothing about whom to believe.
 */
export interface ArcResult {
  readonly result: "none" | "pass" | "fail" | "temperror";
  readonly because?: string | undefined;
  /** By number, the oldest first; empty unless the structure is whole. */
  readonly sets: readonly ArcSet[];
}

export interface ArcSet {
  readonly instance: number;
  readonly results: RawField;
  readonly message: RawField;
  readonly seal: RawField;
  /** `d=` of the seal. */
  readonly sealer: string;
  readonly selector: string;
  readonly chain: "none" | "pass" | "fail";
}

/** RFC 8617 section 4.2.1 lets a chain be fifty long; each of them is a lookup and a signature. */
const MOST_SETS = 50;
const NAMES = ["arc-authentication-results", "arc-message-signature", "arc-seal"] as const;

interface Prepared {
  readonly sets: readonly ArcSet[];
  readonly newest: DkimSignature;
  readonly hash: BodyHash;
  readonly messageKey: Promise<KeyAnswer>;
  readonly seals: readonly { readonly tags: TagList; readonly key: Promise<KeyAnswer> }[];
}

/** Asks for hash and keys; what comes back finishes when the body has been read. */
export function verifyArc(
  fields: readonly RawField[],
  hashes: BodyHashes,
  keys: KeyFinder,
  nowSeconds: number,
): () => Promise<ArcResult> {
  const structure = arcSets(fields);
  if (structure.kind !== "sets")
    return async () => ({
      result: structure.kind,
      because: structure.kind === "fail" ? structure.text : undefined,
      sets: [],
    });
  const prepared = prepare(structure.sets, hashes, keys);
  if (typeof prepared === "string") return async () => ({ result: "fail", because: prepared, sets: structure.sets });
  return async () => ({ ...(await judge(prepared, fields, nowSeconds)), sets: prepared.sets });
}

/**
 * The chain of a mail that was judged before, when it came: what was changed in the mail since then breaks its signature, and
 * says nothing against those who sealed it. Only that its sets are still there is looked at.
 */
export function judgedArc(fields: readonly RawField[], result: "pass" | "fail"): ArcResult {
  const structure = arcSets(fields);
  if (structure.kind === "sets") return { result, sets: structure.sets };
  return { result: structure.kind, because: structure.kind === "fail" ? structure.text : undefined, sets: [] };
}

type Structure =
  | { readonly kind: "none" }
  | { readonly kind: "fail"; readonly text: string }
  | { readonly kind: "sets"; readonly sets: readonly ArcSet[] };

/** The sets by number: one field of each kind for each number from one on (RFC 8617 section 5.2, steps 1 to 3). */
function arcSets(fields: readonly RawField[]): Structure {
  const found = new Map<number, Map<string, RawField>>();
  let count = 0;
  for (const field of fields) {
    if (!NAMES.some((name) => name === field.name)) continue;
    if (++count > 3 * MOST_SETS) return { kind: "fail", text: `the chain is longer than ${MOST_SETS}` };
    const instance = instanceOf(field);
    if (instance === undefined) return { kind: "fail", text: `a field ${field.name} has no number` };
    const set = found.get(instance) ?? new Map<string, RawField>();
    if (set.has(field.name)) return { kind: "fail", text: `set ${instance} has two fields ${field.name}` };
    set.set(field.name, field);
    found.set(instance, set);
  }
  if (found.size === 0) return { kind: "none" };
  const sets: ArcSet[] = [];
  for (let instance = 1; instance <= found.size; instance++) {
    const set = found.get(instance);
    const [results, message, seal] = NAMES.map((name) => set?.get(name));
    if (results === undefined || message === undefined || seal === undefined)
      return { kind: "fail", text: `set ${instance} is not whole` };
    const tags = parseTagList(rawValue(seal));
    const sealer = dnsName(tags?.get("d"));
    const selector = dnsName(tags?.get("s"));
    const chain = tags?.get("cv")?.toLowerCase();
    if (tags === undefined || sealer === undefined || selector === undefined)
      return { kind: "fail", text: `the seal ${instance} is malformed` };
    if (tags.has("h") || tags.has("bh")) return { kind: "fail", text: `the seal ${instance} has h= or bh=` };
    if (chain !== "none" && chain !== "pass" && chain !== "fail")
      return { kind: "fail", text: `the seal ${instance} has no cv=` };
    sets.push({ instance, results, message, seal, sealer, selector, chain });
  }
  // Of a chain that was broken once, nothing is read any more.
  if (sets.at(-1)?.chain === "fail") return { kind: "fail", text: "the last who sealed it found it broken" };
  const wrong = sets.find(({ instance, chain }) => chain !== (instance === 1 ? "none" : "pass"));
  if (wrong !== undefined) return { kind: "fail", text: `the seal ${wrong.instance} says cv=${wrong.chain}` };
  return { kind: "sets", sets };
}

/** `i=1` to `i=50`. In the results field it stands in front of the name of the server. */
function instanceOf(field: RawField): number | undefined {
  const value = rawValue(field);
  const written =
    field.name === "arc-authentication-results"
      ? /^\s*(?:\([^()]*\)\s*)?i\s*=\s*([0-9]+)\s*(?:\([^()]*\)\s*)?;/.exec(value)?.[1]
      : parseTagList(value)?.get("i");
  if (written === undefined || !/^[0-9]{1,3}$/.test(written)) return undefined;
  const instance = Number(written);
  return instance >= 1 && instance <= MOST_SETS ? instance : undefined;
}

function prepare(sets: readonly ArcSet[], hashes: BodyHashes, keys: KeyFinder): Prepared | string {
  const newestSet = sets.at(-1);
  if (newestSet === undefined) return "there is no set";
  // Older signatures are only looked at: what was changed behind them may have broken them.
  for (const { instance, message } of sets) {
    const parsed = parseDkimSignature(message, "arc");
    if (!parsed.ok) return `the signature ${instance} is malformed: ${parsed.fault.text}`;
  }
  const newest = parseDkimSignature(newestSet.message, "arc");
  if (!newest.ok) return newest.fault.text;
  const seals = [];
  for (const { seal, selector, sealer, instance } of sets) {
    const tags = parseTagList(rawValue(seal)) ?? new Map<string, string>();
    if (algorithmOf(tags) === undefined) return `the seal ${instance} is of no accepted algorithm`;
    if (base64Bytes(tags.get("b") ?? "") === undefined) return `the seal ${instance} has no signature`;
    if (tags.has("t") && !/^[0-9]{1,12}$/.test(tags.get("t") ?? "")) return `the seal ${instance} has a malformed t=`;
    const key = keys(selector, sealer);
    key.catch(() => {});
    seals.push({ tags, key });
  }
  const messageKey = keys(newest.value.selector, newest.value.domain);
  messageKey.catch(() => {});
  const hash = hashes.want(newest.value.body, newest.value.bodyBytes);
  return { sets, newest: newest.value, hash, messageKey, seals };
}

async function judge(
  { sets, newest, hash, messageKey, seals }: Prepared,
  fields: readonly RawField[],
  nowSeconds: number,
): Promise<Pick<ArcResult, "result" | "because">> {
  const answer = await messageKey;
  const last = sets.length;
  if (answer.kind === "failed") return { result: "temperror", because: answer.text };
  if (answer.kind === "unusable") return { result: "fail", because: `signature ${last}: ${answer.text}` };
  // RFC 8617 section 4.1.2: but for its three differences the field means what a DKIM-Signature means, `x=` included. Of older
  // signatures it says nothing: they are not asked any more.
  if (newest.expiresAt !== undefined && newest.expiresAt + SKEW_SECONDS < nowSeconds)
    return { result: "fail", because: `the signature ${last} has expired` };
  if (hash.digest !== newest.bodyHash) return { result: "fail", because: `the body was changed behind set ${last}` };
  if (newest.bodyBytes !== undefined && newest.bodyBytes !== hash.totalBytes)
    return { result: "fail", because: `set ${last} covers another part of the body than all of it` };
  if (!newest.algorithm.startsWith(answer.key.kind) || !isSignedBy(newest, fields, answer.key))
    return { result: "fail", because: `the signature ${last} is not valid` };
  // The newest first: that is where a chain breaks.
  for (let at = last - 1; at >= 0; at--) {
    const seal = seals[at];
    if (seal === undefined) continue;
    // oxlint-disable-next-line no-await-in-loop -- the keys are under way, all of them at once
    const key = await seal.key;
    if (key.kind === "failed") return { result: "temperror", because: key.text };
    if (key.kind === "unusable") return { result: "fail", because: `seal ${at + 1}: ${key.text}` };
    const signature = base64Bytes(seal.tags.get("b") ?? "") ?? Buffer.alloc(0);
    const isOfKind = algorithmOf(seal.tags)?.startsWith(key.key.kind) ?? false;
    if (!isOfKind || !isSignatureOf(sealedText(sets.slice(0, at + 1)), signature, key.key))
      return { result: "fail", because: `the seal ${at + 1} is not valid` };
  }
  return { result: "pass" };
}

/** What a seal signs: all sets in order, results, signature, seal; its own last, without `b=` and CRLF (RFC 8617 section 5.1.1). */
export function sealedText(sets: readonly Pick<ArcSet, "results" | "message" | "seal">[]): string {
  const lines: string[] = [];
  for (const [at, { results, message, seal }] of sets.entries()) {
    const own = at === sets.length - 1 ? withoutSignature(seal) : seal;
    lines.push(relaxedField(results.text), relaxedField(message.text), relaxedField(own.text));
  }
  return lines.join("\r\n");
}
