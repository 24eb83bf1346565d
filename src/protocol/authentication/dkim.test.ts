import assert from "node:assert/strict";
import { generateKeyPairSync, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { cpuWatch } from "../../testing/cpu-watch.ts";
import { cut, cuts } from "../../testing/cut.ts";
import { zoneResolver } from "../../testing/dns-zone.ts";
import { sealArc } from "./arc-seal.ts";
import { BodyHash } from "./body-hashes.ts";
import { readDkimKey } from "./dkim-key.ts";
import { signDkim, type SigningKey } from "./dkim-sign.ts";
import { parseDkimSignature } from "./dkim-signature.ts";
import { createKeyFinder } from "./key-finder.ts";
import { rawFields } from "./raw-fields.ts";
import { verifyMessage } from "./verify-message.ts";

const VECTORS = join(import.meta.dirname, "../../../test/vectors");
interface Vectors {
  readonly records: Readonly<Record<string, string>>;
  readonly cases: readonly { readonly name: string; readonly message: string; readonly expected: string | string[] }[];
}
const read = (name: string): Vectors => JSON.parse(readFileSync(join(VECTORS, name), "utf8")) as Vectors;

const terms = { mostSignatures: 10, acceptPartial: false, nowSeconds: 1_528_700_000 };

async function verified(message: string, records: Readonly<Record<string, string>>, changed = terms) {
  const end = message.indexOf("\r\n\r\n");
  const header = end < 0 ? message : message.slice(0, end + 2);
  const body = Buffer.from(end < 0 ? "" : message.slice(end + 4), "latin1");
  const zone = Object.fromEntries(Object.entries(records).map(([name, text]) => [`${name} TXT`, [text]]));
  const keys = createKeyFinder(zoneResolver(zone))();
  return verifyMessage(
    {
      fields: rawFields(header),
      body: async function* () {
        for (let at = 0; at < body.length; at += 7) yield body.subarray(at, at + 7);
      },
    },
    keys,
    changed,
  );
}

test("the examples of RFC 6376 and RFC 8463 verify", async (context) => {
  const { records, cases } = read("dkim.json");
  let passed = 0;
  for (const { name, message, expected } of cases) {
    const { dkim } = await verified(message, records);
    assert.deepEqual(
      dkim.map(({ result }) => result),
      expected,
      `${name}: ${dkim.map(({ because }) => because).join(", ")}`,
    );
    passed++;
    const changed = await verified(message.replace("hungry", "angry"), records);
    assert.ok(
      changed.dkim.every(({ result }) => result === "fail"),
      name,
    );
  }
  context.diagnostic(`${passed} of ${cases.length} examples pass`);
});

test("chains made by another program are judged as RFC 8617 wants", async (context) => {
  const { records, cases } = read("arc.json");
  const wrong: string[] = [];
  for (const { name, message, expected } of cases) {
    const { arc } = await verified(message, records);
    if (arc.result !== expected) wrong.push(`${name}: ${arc.result} (${arc.because}) instead of ${String(expected)}`);
  }
  context.diagnostic(`${cases.length - wrong.length} of ${cases.length} chains`);
  assert.deepEqual(wrong, []);
});

const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 });
const ed25519 = generateKeyPairSync("ed25519");
const signers: readonly SigningKey[] = [
  { domain: "example.org", selector: "r", kind: "rsa", key: rsa.privateKey },
  { domain: "example.org", selector: "e", kind: "ed25519", key: ed25519.privateKey },
];
const records = {
  "r._domainkey.example.org": `v=DKIM1; p=${rsa.publicKey.export({ type: "spki", format: "der" }).toString("base64")}`,
  "e._domainkey.example.org": `v=DKIM1; k=ed25519; p=${ed25519.publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("base64")}`,
};
const HEADER = "From: a@example.org\r\nTo: b@example.net\r\nSubject: one\r\n\ttwo\r\n";
const signing = { sign: ["to", "date"], oversign: ["from", "subject"], atSeconds: 1_528_699_000 } as const;

function bodyHash(body: string, how: "simple" | "relaxed"): string {
  const hash = new BodyHash(how, undefined);
  hash.update(Buffer.from(body, "latin1"));
  hash.finish();
  return hash.digest;
}

test("what we sign verifies, in both forms, with both kinds of key, whatever the body", async () => {
  const body = fc.array(fc.constantFrom(" ", "\t", "\r\n", "a", "b c", "\r", "\n", "é"), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(body, fc.constantFrom("simple", "relaxed"), fc.constantFrom(0, 1), async (parts, how, at) => {
      const text = parts.join("");
      const signer = signers[at];
      assert.ok(signer);
      const value = signDkim(rawFields(HEADER), bodyHash(text, how), signer, { ...signing, header: how, body: how });
      const { dkim } = await verified(`DKIM-Signature:${value}\r\n${HEADER}\r\n${text}`, records);
      assert.deepEqual(
        dkim.map(({ result }) => result),
        ["pass"],
      );
    }),
    { numRuns: 60 },
  );
});

test("a second From added to a signed message breaks an oversigned signature", async () => {
  const [signer] = signers;
  assert.ok(signer);
  const value = signDkim(rawFields(HEADER), bodyHash("x\r\n", "relaxed"), signer, {
    ...signing,
    header: "relaxed",
    body: "relaxed",
  });
  assert.match(value, /h=from:from:subject:subject:to;/);
  const { dkim } = await verified(`From: c@example.com\r\nDKIM-Signature:${value}\r\n${HEADER}\r\nx\r\n`, records);
  assert.equal(dkim[0]?.result, "fail");
});

test("a signature over a part of the body counts only where that is wanted", async () => {
  const [signer] = signers;
  assert.ok(signer);
  const fields = rawFields(HEADER);
  const value = signDkim(fields, bodyHash("x\r\n", "relaxed"), signer, {
    ...signing,
    header: "relaxed",
    body: "relaxed",
  });
  // The same with l=3, signed again: our own signer never writes it.
  const partial = signDkim(fields, `${bodyHash("x\r\n", "relaxed")};\r\n\tl=3`, signer, {
    ...signing,
    header: "relaxed",
    body: "relaxed",
  });
  const message = `DKIM-Signature:${partial}\r\n${HEADER}\r\nx\r\nan advertisement\r\n`;
  assert.doesNotMatch(value, /\bl=/);
  assert.equal((await verified(message, records)).dkim[0]?.result, "policy");
  assert.equal((await verified(message, records, { ...terms, acceptPartial: true })).dkim[0]?.result, "pass");
});

test("expired, revoked, missing and unreachable keys are told apart", async () => {
  const [signer] = signers;
  assert.ok(signer);
  const sign = (more: object) =>
    signDkim(rawFields(HEADER), bodyHash("", "relaxed"), signer, {
      ...signing,
      header: "relaxed",
      body: "relaxed",
      ...more,
    });
  const result = async (value: string, zone: Readonly<Record<string, string>>) =>
    (await verified(`DKIM-Signature:${value}\r\n${HEADER}\r\n`, zone)).dkim[0];
  assert.equal((await result(sign({ expiresAtSeconds: 1_528_699_500 }), records))?.result, "fail");
  assert.equal((await result(sign({}), {}))?.result, "permerror");
  assert.match((await result(sign({}), { "r._domainkey.example.org": "v=DKIM1; p=" }))?.because ?? "", /revoked/);
  const failing = createKeyFinder(zoneResolver({ "r._domainkey.example.org TXT": "fail" }))();
  const got = await verifyMessage(
    { fields: rawFields(`DKIM-Signature:${sign({})}\r\n${HEADER}`), body: async function* () {} },
    failing,
    terms,
  );
  assert.equal(got.dkim[0]?.result, "temperror");
});

test("we seal chains that verify, one set behind the other, and mark a broken one as broken", async () => {
  const [signer] = signers;
  assert.ok(signer);
  let message = `${HEADER}\r\nbody\r\n`;
  for (const wanted of ["none", "pass", "pass"]) {
    const { arc } = await verified(message, records);
    assert.equal(arc.result, wanted, arc.because);
    const header = message.slice(0, message.indexOf("\r\n\r\n") + 2);
    const set = sealArc(
      rawFields(header),
      arc,
      bodyHash("body\r\n", "relaxed"),
      " mx.example.org; dmarc=pass",
      signer,
      {
        sign: ["from", "to", "subject", "authentication-results"],
        atSeconds: 1,
      },
    );
    assert.ok(set);
    message = `ARC-Seal:${set.seal}\r\nARC-Message-Signature:${set.message}\r\nARC-Authentication-Results:${set.results}\r\n${message}`;
  }
  const whole = await verified(message, records);
  assert.equal(whole.arc.result, "pass");
  assert.equal(whole.arc.sets.length, 3);
  const broken = message.replace("Subject: one", "Subject: [list] one");
  const { arc } = await verified(broken, records);
  assert.equal(arc.result, "fail");
  const header = broken.slice(0, broken.indexOf("\r\n\r\n") + 2);
  const set = sealArc(rawFields(header), arc, bodyHash("body\r\n", "relaxed"), " mx; arc=fail", signer, {
    sign: ["from"],
    atSeconds: 1,
  });
  assert.match(set?.seal ?? "", /i=4;.*cv=fail/s);
  const marked = `ARC-Seal:${set?.seal}\r\nARC-Message-Signature:${set?.message}\r\nARC-Authentication-Results:${set?.results}\r\n${header}`;
  assert.equal(sealArc(rawFields(marked), arc, "", "", signer, { sign: ["from"], atSeconds: 1 }), undefined);
});

test("a chain whose newest signature covers a part of the body only proves nothing about the rest", async () => {
  const [signer] = signers;
  assert.ok(signer);
  const { arc } = await verified(`${HEADER}\r\nbody\r\n`, records);
  // With l=6, which our own sealer never writes.
  const hash = `${bodyHash("body\r\n", "relaxed")};\r\n\tl=6`;
  const set = sealArc(rawFields(HEADER), arc, hash, " mx; dmarc=pass", signer, { sign: ["from"], atSeconds: 1 });
  const sealed = `ARC-Seal:${set?.seal}\r\nARC-Message-Signature:${set?.message}\r\nARC-Authentication-Results:${set?.results}\r\n${HEADER}`;
  assert.equal((await verified(`${sealed}\r\nbody\r\n`, records)).arc.result, "pass");
  assert.equal((await verified(`${sealed}\r\nbody\r\nan advertisement\r\n`, records)).arc.result, "fail");
});

test("a body has the same hash however it is cut, and both forms are the RFC's", () => {
  const reference = (text: string, how: string): string => {
    let form = text;
    if (how === "relaxed")
      form = form
        .replace(/[ \t]+/g, " ")
        .replace(/ (?=\r\n)/g, "")
        .replace(/ $/, "");
    form = form.replace(/(?:\r\n)*$/, "");
    if (form !== "" || how === "simple") form += "\r\n";
    return createHash("sha256").update(form, "latin1").digest("base64");
  };
  const body = fc.array(fc.constantFrom(" ", "\t", "\r\n", "\r\n\r\n", "a", "bc", "\r", "\n", " \r\n", "  "), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(body, fc.constantFrom("simple", "relaxed"), cuts, (parts, how, offsets) => {
      const text = parts.join("");
      const hash = new BodyHash(how, undefined);
      for (const piece of cut(Buffer.from(text), offsets)) hash.update(piece);
      hash.finish();
      assert.equal(hash.digest, reference(text, how));
    }),
  );
});

test("no field and no record throws, and none keeps us busy", () => {
  const words = fc.constantFrom(
    "v=1",
    ";",
    "a=rsa-sha256",
    "b=",
    "bh=aGk=",
    "d=example.org",
    "s=x",
    "h=from",
    "i=@",
    "=",
    "\r\n ",
    "c=relaxed",
    "p=",
    "k=ed25519",
    "l=9",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ maxLength: 200 }),
        fc.array(words, { maxLength: 20 }).map((all) => all.join("")),
      ),
      (text) => {
        for (const kind of ["dkim", "arc"] as const)
          parseDkimSignature({ name: "dkim-signature", text: `DKIM-Signature:${text}` }, kind);
        readDkimKey(text);
      },
    ),
  );
  const usedMs = cpuWatch();
  for (const text of [
    " ".repeat(200_000),
    ";b".repeat(100_000),
    `b${"\r\n ".repeat(60_000)}`,
    `a=b;${" b".repeat(90_000)}`,
  ]) {
    parseDkimSignature({ name: "x", text: `DKIM-Signature:${text}` }, "dkim");
    const hash = new BodyHash("relaxed", undefined);
    hash.update(Buffer.from(text));
    hash.finish();
    rawFields(text);
  }
  assert.ok(usedMs() < 2000, `${usedMs()} ms`);
});

test("whatever stands in the fields of a mail, all of it gets an answer", async () => {
  const name = fc.constantFrom(
    "DKIM-Signature",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "From",
  );
  const tag = fc.constantFrom(
    "i=1",
    "i=2",
    "i=0",
    "v=1",
    "a=rsa-sha256",
    "a=ed25519-sha256",
    "b=aGk=",
    "bh=aGk=",
    "d=example.org",
    "s=e",
    "h=from",
    "cv=none",
    "cv=pass",
    "cv=fail",
    "c=relaxed/relaxed",
    "t=1",
    "l=3",
    "x.example",
    "(comment",
    "\u00e9",
    "=",
  );
  const field = fc
    .tuple(name, fc.array(tag, { maxLength: 10 }))
    .map(([given, tags]) => `${given}: ${tags.join("; ")}\r\n`);
  await fc.assert(
    fc.asyncProperty(fc.array(field, { maxLength: 8 }), async (fields) => {
      const message = `${fields.join("")}\r\nbody\r\n`;
      const { dkim, arc } = await verified(message, records);
      assert.ok(dkim.every(({ result }) => result !== "pass"));
      assert.notEqual(arc.result, "pass");
      const header = message.slice(0, message.indexOf("\r\n\r\n") + 2);
      const [signer] = signers;
      assert.ok(signer);
      sealArc(rawFields(header), arc, bodyHash("body\r\n", "relaxed"), " mx", signer, { sign: ["from"], atSeconds: 1 });
    }),
    { numRuns: 300 },
  );
});
