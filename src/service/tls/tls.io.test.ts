import { test } from "node:test";
import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { virtualClock } from "../../simulator/clock.ts";
import { ageOf, parsePair, servesName, type CertificatePair } from "./keeper/certificate.ts";
import { ownCertificate } from "./keeper/own-certificate.io.ts";
import { loadPair } from "./keeper/source.io.ts";

const DAY_MS = 86_400_000;

async function directory(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "posthorn-tls-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function made(...names: string[]): Promise<CertificatePair> {
  await using place = await directory();
  return await ownCertificate(place.path, names, virtualClock(Date.now()));
}

test("the server makes itself a certificate once, and keeps the key to itself", async () => {
  await using place = await directory();
  const clock = virtualClock(Date.now());
  const first = await ownCertificate(join(place.path, "tls"), ["mail.example.org", "localhost"], clock);
  assert.deepEqual(first.names, ["mail.example.org", "localhost"]);
  assert.equal(first.keyKind, "ec");
  assert.equal(ageOf(first, clock.now()), undefined);
  assert.equal((await stat(join(place.path, "tls", "self-signed.key"))).mode & 0o777, 0o600);
  const again = await ownCertificate(join(place.path, "tls"), ["mail.example.org", "localhost"], clock);
  assert.equal(again.certificatePem.trim(), first.certificatePem.trim());
});

test("it makes another one when that expires, lacks a name, or is damaged", async () => {
  await using place = await directory();
  const clock = virtualClock(Date.now());
  const first = await ownCertificate(place.path, ["a.example"], clock);
  await clock.advance(360 * DAY_MS);
  const second = await ownCertificate(place.path, ["a.example"], clock);
  assert.ok(second.notAfterAt > first.notAfterAt);
  const third = await ownCertificate(place.path, ["b.example"], clock);
  assert.deepEqual(third.names, ["b.example"]);
  await writeFile(join(place.path, "self-signed.key"), "-----BEGIN");
  const fourth = await ownCertificate(place.path, ["b.example"], clock);
  assert.notEqual(fourth.keyPem, third.keyPem);
});

test("a pair that cannot serve is refused with the file that is wrong, and how", async () => {
  const one = await made("a.example");
  const other = await made("b.example");
  const parse = (certificatePem: string, keyPem: string) => {
    const parsed = parsePair({ certificatePem, keyPem, origin: "x" });
    return parsed.ok ? "fine" : `${parsed.problem.part} ${parsed.problem.text}`;
  };
  assert.equal(parse(one.certificatePem, one.keyPem), "fine");
  assert.equal(parse(one.certificatePem, other.keyPem), "key does not belong to the certificate");
  assert.equal(
    parse(other.certificatePem + one.certificatePem, one.keyPem),
    "key belongs to a later certificate of the chain: the server's own must come first",
  );
  assert.equal(parse(one.keyPem, one.keyPem), "certificate holds a private key, not a certificate");
  assert.equal(parse(one.certificatePem, one.certificatePem), "key holds a certificate, not a private key");
  assert.equal(parse("hello", one.keyPem), "certificate holds no certificate in PEM form");
  assert.equal(parse(one.certificatePem, "hello"), "key holds no private key in PEM form");
  assert.equal(
    parse(one.certificatePem.replace(/\n[^\n]{20}/, "\nAAAAAAAAAAAAAAAAAAAA"), one.keyPem),
    "certificate holds a certificate that cannot be read: it is damaged",
  );
});

test("files that are missing are told, and a key that everybody may read is warned about", async () => {
  await using place = await directory();
  const [certificate, key] = [join(place.path, "c.pem"), join(place.path, "k.pem")];
  const pair = await made("a.example");
  const missing = await loadPair({ certificate, key });
  assert.equal(!missing.ok && missing.problem.text, `${certificate} does not exist`);
  await writeFile(certificate, pair.certificatePem);
  await writeFile(key, pair.keyPem);
  await chmod(key, 0o644);
  const open = await loadPair({ certificate, key });
  assert.match((open.ok && open.value.warnings[0]?.text) || "", /may be read by every user/);
  await chmod(key, 0o600);
  const closed = await loadPair({ certificate, key, names: ["Other.Example"] });
  assert.deepEqual(closed.ok && [closed.value.warnings, closed.value.pair.names], [[], ["other.example"]]);
  assert.ok((await readFile(key, "utf8")).includes("PRIVATE KEY"));
});

test("dates: not yet, soon, no longer", () => {
  const pair = { notBeforeAt: 100 * DAY_MS, notAfterAt: 200 * DAY_MS };
  assert.deepEqual(ageOf(pair, 97.5 * DAY_MS), { kind: "future", days: 2 });
  assert.equal(ageOf(pair, 150 * DAY_MS), undefined);
  assert.deepEqual(ageOf(pair, 190 * DAY_MS), { kind: "expiring", days: 10 });
  assert.deepEqual(ageOf(pair, 203 * DAY_MS), { kind: "expired", days: 3 });
});

test("a wildcard serves one label and no more", () => {
  const pair = { names: ["*.example.org", "example.org"] };
  assert.equal(servesName(pair, "Mail.example.org"), true);
  assert.equal(servesName(pair, "example.org"), true);
  assert.equal(servesName(pair, "a.mail.example.org"), false);
  assert.equal(servesName(pair, ".example.org"), false);
});
