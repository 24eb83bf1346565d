import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import type { SecureContextOptions } from "node:tls";
import { virtualClock } from "../../simulator/clock.ts";
import { testAuthority } from "../../testing/test-authority.ts";
import { plainTerms } from "../../testing/tls-profile.ts";
import { parsePair, type CertificatePair } from "./keeper/certificate.ts";
import { ClientContexts } from "./client-contexts.io.ts";
import { makeContexts } from "./contexts.io.ts";
import type { CertificateAnswer } from "./keeper/keeper.ts";

const NOW = Date.parse("2026-11-21T00:00:00Z");
const DAY_MS = 86_400_000;
const root = await testAuthority("Root CA");
const rsaRoot = await testAuthority("RSA CA", "rsa");

/** A pair that is valid from and until so many days from the beginning on. */
async function pairOf(names: readonly string[], fromDay = -1, toDay = 90, by = root): Promise<CertificatePair> {
  const dates = { notBeforeAt: NOW + fromDay * DAY_MS, notAfterAt: NOW + toDay * DAY_MS };
  const parsed = parsePair({ ...(await by.issue(names, dates)), origin: names.join() });
  assert.ok(parsed.ok);
  return parsed.value;
}

function contextsOf(
  pairs: readonly CertificatePair[],
  ask: (name: string) => Promise<CertificateAnswer> = async () => ({ kind: "none" }),
) {
  const clock = virtualClock(NOW);
  const troubles: string[] = [];
  const contexts = makeContexts({
    material: { pairs, hasTables: true, challenges: [], tickets: { key: Buffer.alloc(48), replacedAt: 0 } },
    terms: plainTerms,
    clock,
    ask,
    onTrouble: (text) => troubles.push(text),
  });
  return { clock, troubles, shownFor: async (name?: string) => shownBy(await contexts.optionsFor(name)) };
}

/** The certificates' serial numbers. */
function shownBy({ cert }: SecureContextOptions): readonly string[] {
  return [cert ?? []].flat().map((pem) => serialOf(String(pem)));
}

function serialOf(pem: string): string {
  return new X509Certificate(pem).serialNumber;
}

function serialsOf(...pairs: readonly CertificatePair[]): readonly string[] {
  return pairs.map(({ certificatePem }) => serialOf(certificatePem));
}

test("an expired certificate is not shown where a valid one has the name, exactly or by a wildcard, nor as the default", async () => {
  const [old, valid] = [await pairOf(["mx.example"], -100, -10), await pairOf(["mx.example"])];
  const { shownFor } = contextsOf([old, valid]);
  assert.deepEqual(await shownFor("mx.example"), serialsOf(valid));
  assert.deepEqual(await shownFor(), serialsOf(valid));
  const wild = await pairOf(["*.example"]);
  assert.deepEqual(await contextsOf([old, wild]).shownFor("mx.example"), serialsOf(wild));
  const other = await pairOf(["other.example"]);
  const alone = contextsOf([old, other]);
  assert.deepEqual(await alone.shownFor("mx.example"), serialsOf(old), "nobody else has the name");
  assert.deepEqual(await alone.shownFor(), serialsOf(old));
});

test("which certificate is shown is chosen again when one expires, and when one begins", async () => {
  const [first, second] = [await pairOf(["mx.example"], -60, 30), await pairOf(["mx.example"], 10, 90)];
  const { clock, shownFor } = contextsOf([second, first]);
  assert.deepEqual(await shownFor("mx.example"), serialsOf(first));
  assert.deepEqual(await shownFor(), serialsOf(first));
  await clock.advance(11 * DAY_MS);
  assert.deepEqual(await shownFor("mx.example"), serialsOf(second));
  await clock.advance(90 * DAY_MS);
  assert.deepEqual(await shownFor("mx.example"), serialsOf(second), "of two that are not valid the first");
  assert.deepEqual(await shownFor(), serialsOf(second));
});

test("as a client, too, one of each kind is shown, a valid one where there is any", async () => {
  const pairs = [await pairOf(["mx.example"], -100, -10), await pairOf(["mx.example"])];
  const clock = virtualClock(NOW);
  const contexts = new ClientContexts(
    {
      anchors: async () => ({ pems: [root.certificatePem], origin: "x" }),
      clientCertificate: async () => ({ pairs }),
      onChange: () => () => {},
    },
    clock,
  );
  const made = await contexts.get({ minVersion: "TLSv1.2", hasTickets: false, certificate: "mx" });
  assert.ok(made.ok, made.ok ? "" : made.problem);
});

test("a table's certificates of one kind of key are one of them, a valid one where there is any", async () => {
  const [old, valid, rsa] = [
    await pairOf(["shop.example"], -100, -10),
    await pairOf(["shop.example"]),
    await pairOf(["shop.example"], -1, 90, rsaRoot),
  ];
  const { troubles, shownFor } = contextsOf([await pairOf(["mx.example"])], async () => ({
    kind: "found",
    pairs: [old, valid, rsa],
    version: "1",
  }));
  assert.deepEqual(await shownFor("shop.example"), serialsOf(valid, rsa));
  assert.deepEqual(troubles, []);
});

/** A table with one name, whose answer a test sets. */
async function tableOf(first: CertificatePair) {
  const state = { pair: first, isFailing: false, isSilent: false, asked: 0 };
  const made = contextsOf([await pairOf(["mx.example"])], async () => {
    state.asked++;
    if (state.isSilent) return new Promise<never>(() => {});
    if (state.isFailing) return { kind: "failed", text: "the table is gone" };
    return { kind: "found", pairs: [state.pair], version: state.pair.version };
  });
  return Object.assign(state, made);
}

test("what a table said counts for fifteen seconds, the last five of them while it is asked again; who comes later waits for its answer", async () => {
  const [old, renewed] = [await pairOf(["shop.example"]), await pairOf(["shop.example"])];
  const table = await tableOf(old);
  assert.deepEqual(await table.shownFor("shop.example"), serialsOf(old));
  table.pair = renewed;
  await table.clock.advance(9000);
  assert.deepEqual(await table.shownFor("shop.example"), serialsOf(old));
  assert.equal(table.asked, 1);
  await table.clock.advance(2000);
  assert.deepEqual(await table.shownFor("shop.example"), serialsOf(old), "asked behind it");
  await table.clock.advance(0);
  assert.deepEqual(await table.shownFor("shop.example"), serialsOf(renewed));
  assert.equal(table.asked, 2);

  table.pair = old;
  await table.clock.advance(50 * 60_000);
  assert.deepEqual(await table.shownFor("shop.example"), serialsOf(old), "the first client after a long pause");
});

test("a table that fails, or does not answer in time, leaves what it said last", async () => {
  const pair = await pairOf(["shop.example"]);
  const table = await tableOf(pair);
  await table.shownFor("shop.example");
  table.isFailing = true;
  await table.clock.advance(60_000);
  assert.deepEqual(await table.shownFor("shop.example"), serialsOf(pair));
  table.isFailing = false;
  table.isSilent = true;
  await table.clock.advance(60_000);
  const shown = table.shownFor("shop.example");
  await table.clock.advance(10_000);
  assert.deepEqual(await shown, serialsOf(pair));
  // Whoever comes while it is silent does not wait each time.
  assert.deepEqual(await table.shownFor("shop.example"), serialsOf(pair));
});
