import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isMap, isScalar, parseAllDocuments } from "yaml";
import { zoneResolver } from "../../testing/dns-zone.ts";
import { sealArc } from "./arc-seal.ts";
import { judgedArc, sealedText, type ArcResult } from "./arc.ts";
import { BodyHash } from "./body-hashes.ts";
import { selectFields } from "./canonical.ts";
import { signText, type SigningKey } from "./dkim-sign.ts";
import { isSignatureOf, signedText } from "./dkim-verify.ts";
import { createKeyFinder } from "./key-finder.ts";
import { rawFields, type RawField } from "./raw-fields.ts";
import { sealedResults } from "./results-field.ts";
import { base64Bytes, parseTagList, withoutBlanks } from "./tag-list.ts";
import { verifyMessage } from "./verify-message.ts";

const SUITE = join(import.meta.dirname, "../../../test/vectors/arc-test-suite");

interface Case {
  readonly message: string;
  /** Of a validation: what the chain is worth. Empty where the last seal says that it was broken, which ends it (5.2, step 2). */
  readonly cv?: string | null;
  /** Of a signing: when, over which fields, for whom, and the values of the three fields. */
  readonly t: number;
  readonly "sig-headers": string;
  readonly "srv-id": string;
  readonly AS: string;
  readonly AMS: string;
  readonly AAR: string;
}

interface Scenario {
  readonly cases: readonly (readonly [name: string, wanted: Case])[];
  readonly records: Readonly<Record<string, string>>;
  readonly domain: string;
  readonly selector: string;
  readonly key: string;
}

/** The suite's files name four cases twice over: none of them is passed over here. */
function scenariosOf(file: string): readonly Scenario[] {
  return parseAllDocuments(readFileSync(join(SUITE, file), "latin1"), { uniqueKeys: false }).map((document) => {
    assert.deepEqual(document.errors, []);
    const tests: unknown = document.get("tests");
    assert.ok(isMap(tests));
    const whole = document.toJS() as { readonly [name: string]: unknown };
    return {
      cases: tests.items.map(({ key, value }) => {
        assert.ok(isScalar(key) && isMap(value));
        return [String(key.value), value.toJSON() as Case] as const;
      }),
      records: whole["txt-records"] as Record<string, string>,
      domain: String(whole["domain"]),
      selector: String(whole["sel"]),
      key: String(whole["privatekey"]),
    };
  });
}

/** Header fields and body of a message with any line ends. */
function parted(text: string): { readonly fields: readonly RawField[]; readonly body: Buffer } {
  const message = text.replace(/\r?\n/g, "\r\n");
  const end = message.startsWith("\r\n") ? 0 : message.indexOf("\r\n\r\n") + 2;
  const header = end === 1 ? message : message.slice(0, end);
  return { fields: rawFields(header), body: Buffer.from(message.slice(header.length + 2), "latin1") };
}

async function chainOf(
  { fields, body }: ReturnType<typeof parted>,
  records: Readonly<Record<string, string>>,
  nowSeconds = 20_000,
): Promise<ArcResult> {
  const zone = Object.entries(records).map(([name, text]) => [`${name} TXT`, [text.replaceAll("\n", "")]] as const);
  const keys = createKeyFinder(zoneResolver(Object.fromEntries(zone)))();
  const pieces = async function* () {
    yield body;
  };
  const terms = { mostSignatures: 0, acceptPartial: false, nowSeconds };
  return (await verifyMessage({ fields, body: pieces }, keys, terms)).arc;
}

/**
 * The suite is of a draft. Where its word is not ours, a later or a higher one is against it. One that begins to pass is an
 * error here: then it leaves the list.
 */
const MISSES: Readonly<Record<string, string>> = {
  ams_fields_a_sha1:
    "RFC 8301 section 3.1: rsa-sha1 MUST NOT be used to verify (RFC 8617 section 4.1.2 takes DKIM's algorithms)",
  as_fields_a_sha1: "RFC 8301 section 3.1, by RFC 8617 section 4.1.3, as above",
  ams_fields_h_empty: "RFC 6376 section 3.5, by RFC 8617 section 4.1.2: the list in h= MUST NOT be empty",
  ams_fields_h_mis_hdr: "RFC 6376 section 3.5: between the colons of h= stands a name, of one character at least",
};

test("the public test suite of ARC is answered as it wants: validation", async (context) => {
  const wrong: string[] = [];
  let all = 0;
  for (const { cases, records } of scenariosOf("arc-draft-validation-tests.yml")) {
    for (const [name, { message, cv }] of cases) {
      all++;
      const wanted = (cv ?? "").toLowerCase() || "fail";
      const { result, because } = await chainOf(parted(message), records);
      if (result !== wanted) wrong.push(`${name}: wanted ${wanted}, got ${result} (${because})`);
    }
  }
  context.diagnostic(`ARC suite, validation: ${all - wrong.length} of ${all}`);
  for (const text of wrong) context.diagnostic(`${text}: ${MISSES[text.split(":")[0] ?? ""]}`);
  assert.equal(all, 174);
  assert.deepEqual(new Set(wrong.map((text) => text.split(":")[0])), new Set(Object.keys(MISSES)), wrong.join("\n"));
});

/** The suite folds values for its readers; YAML takes the blanks behind the folds away. */
const field = (name: string, value: string): RawField => ({
  name: name.toLowerCase(),
  text: `${name}: ${value.trim().replace(/\r?\n[ \t]*/g, "\r\n ")}`,
});
const unfolded = (text: string): string => text.replace(/\s+/g, " ").trim();
const tagsOf = (value: string): ReadonlyMap<string, string> =>
  new Map([...(parseTagList(value) ?? [])].map(([name, text]) => [name, withoutBlanks(text)]));

/** A tag list as those wrote it who made the suite: in the order of the alphabet, a blank behind each. */
function ordered(tags: ReadonlyMap<string, string>): string {
  const sorted = [...tags].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return sorted.map(([name, text]) => `${name}=${text}`).join("; ");
}

/** The chain as the results say that it came; the suite's older sets are not all valid, and none is asked for. */
function saidOf(fields: readonly RawField[], results: string): ArcResult {
  const said = /\barc=(pass|fail)\b/.exec(results)?.[1];
  return said === "pass" || said === "fail" ? judgedArc(fields, said) : { result: "none", sets: [] };
}

test("the public test suite of ARC is answered as it wants: signing", async (context) => {
  const wrong: string[] = [];
  let all = 0;
  for (const { cases, records, domain, selector, key: pem } of scenariosOf("arc-draft-sign-tests.yml")) {
    const key: SigningKey = { domain, selector, kind: "rsa", key: createPrivateKey(pem) };
    for (const [name, wanted] of cases) {
      all++;
      const message = parted(wanted.message);
      const { fields } = message;
      const results = sealedResults(fields, wanted["srv-id"]) ?? "";
      const before = name === "no_additional_sig" ? judgedArc(fields, "fail") : saidOf(fields, results);
      const names = wanted["sig-headers"].split(":");
      const set = sealArc(fields, before, hashOf(message.body), results, key, { sign: names, atSeconds: wanted.t });
      if (wanted.AS.trim() === "" || set === undefined) {
        if ((wanted.AS.trim() === "") !== (set === undefined)) wrong.push(`${name}: a set, or none`);
        continue;
      }
      // The order of tags is everybody's own, and is signed with the rest. So: our tags are the suite's tags with the suite's
      // values; and written in its order, our key makes its signature of them, octet by octet.
      const signature = signedText(
        "relaxed",
        selectFields(fields, names),
        field("ARC-Message-Signature", ordered(tagsOf(set.message))),
      );
      const theirs = {
        results: field("ARC-Authentication-Results", wanted.AAR),
        message: field("ARC-Message-Signature", ordered(tagsOf(wanted.AMS))),
        seal: field("ARC-Seal", ordered(tagsOf(set.seal))),
      };
      // A seal that says `fail` covers its own set alone.
      const older = before.result === "fail" ? [] : before.sets;
      const signed = (text: string): [string, string] => ["b", signText(text, "rsa", key.key)];
      const asTheirs = {
        AAR: unfolded(set.results),
        AMS: ordered(new Map([...tagsOf(set.message), signed(signature)])),
        AS: ordered(new Map([...tagsOf(set.seal), signed(sealedText([...older, theirs]))])),
      };
      for (const [which, ours] of Object.entries(asTheirs)) {
        const suites =
          which === "AAR" ? unfolded(wanted.AAR) : ordered(tagsOf(which === "AMS" ? wanted.AMS : wanted.AS));
        if (ours !== suites) wrong.push(`${name}: ${which} is ${ours} rather than ${suites}`);
      }
      // And as we write it, it holds.
      const own = [
        field("ARC-Seal", set.seal),
        field("ARC-Message-Signature", set.message),
        field("ARC-Authentication-Results", set.results),
      ] as const;
      const seal = base64Bytes(tagsOf(set.seal).get("b") ?? "") ?? Buffer.alloc(0);
      const sealed = sealedText([...older, { seal: own[0], message: own[1], results: own[2] }]);
      if (!isSignatureOf(sealed, seal, { kind: "rsa", key: createPublicKey(pem) }))
        wrong.push(`${name}: our seal does not hold`);
      const { result, because } = await chainOf({ ...message, fields: [...own, ...fields] }, records);
      if (before.result === "none" && result !== "pass") wrong.push(`${name}: our set does not hold, ${because}`);
    }
  }
  const missed = new Set(wrong.map((text) => text.split(":")[0]));
  context.diagnostic(`ARC suite, signing: ${all - missed.size} of ${all}`);
  assert.equal(all, 17);
  assert.deepEqual(wrong, []);
});

const HEADER = "From: a@example.org\r\nSubject: one\r\n";
const ed25519 = generateKeyPairSync("ed25519");
const signer: SigningKey = { domain: "example.org", selector: "e", kind: "ed25519", key: ed25519.privateKey };
const signerRecords = {
  "e._domainkey.example.org": `v=DKIM1; k=ed25519; p=${ed25519.publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("base64")}`,
};

/** One more set in front of a mail; `more` are tags for its signature that our sealer never writes. */
async function sealedOnce(mail: string, atSeconds: number, more = ""): Promise<string> {
  const message = parted(mail);
  const before = await chainOf(message, signerRecords, atSeconds);
  const set = sealArc(message.fields, before, hashOf(message.body) + more, " mx.example.org; dmarc=pass", signer, {
    sign: ["from"],
    atSeconds,
  });
  return `ARC-Seal:${set?.seal}\r\nARC-Message-Signature:${set?.message}\r\nARC-Authentication-Results:${set?.results}\r\n${mail}`;
}

test("a chain whose newest signature has expired fails; older signatures may have", async () => {
  const once = await sealedOnce(`${HEADER}\r\nbody\r\n`, 10_000, ";\r\n\tx=20000");
  const at = async (mail: string, nowSeconds: number) => chainOf(parted(mail), signerRecords, nowSeconds);
  assert.equal((await at(once, 20_000)).result, "pass");
  // Clocks may differ by some minutes.
  assert.equal((await at(once, 20_300)).result, "pass");
  const late = await at(once, 20_301);
  assert.equal(late.result, "fail");
  assert.match(late.because ?? "", /signature 1 has expired/);
  const twice = await sealedOnce(once, 15_000);
  assert.equal((await at(twice, 100_000)).result, "pass");
  assert.equal(
    (await at(await sealedOnce(twice, 15_000, ";\r\n\tx=14000"), 15_000)).result,
    "fail",
    "it ends before it begins",
  );
});

test("all that the fields of our name say stands in one, and nothing of others or of what can't be read", () => {
  const results = (...values: readonly string[]) =>
    sealedResults(
      values.map((value) => field("Authentication-Results", value)),
      "MX.example.org",
    );
  assert.equal(results("other.example; spf=pass"), undefined);
  assert.equal(results("mx.example.org; none", "mx.example.org 1; None;"), " mx.example.org; none");
  assert.equal(
    results(
      'mx.example.org (a;b); dkim=pass reason="x;y" (c;d)',
      "mx.example.org; none",
      "other.example; arc=pass",
      "(mx.example.org; arc=pass",
      "mx.example.org 1; spf=pass ;",
    ),
    ' mx.example.org; dkim=pass reason="x;y" (c;d);\r\n\tspf=pass',
  );
});

function hashOf(body: Buffer): string {
  const hash = new BodyHash("relaxed", undefined);
  hash.update(body);
  hash.finish();
  return hash.digest;
}
