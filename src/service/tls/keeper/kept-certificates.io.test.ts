import assert from "node:assert/strict";
import { createPublicKey, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { virtualClock } from "../../../simulator/clock.ts";
import { parsePair } from "./certificate.ts";
import { startKeeper, type KeeperFinding } from "./keeper.io.ts";
import { keptCertificates } from "./kept-certificates.io.ts";
import { ticketKeys } from "./tickets.ts";

const NOW = Date.parse("2026-11-21T00:00:00Z");
const DAY_MS = 86_400_000;
const authorityKeys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);

/** What an authority does with a request; `names` other than those asked for, when it errs. */
async function issued(requestPem: string, names?: readonly string[]): Promise<string> {
  const request = new Pkcs10CertificateRequest(requestPem);
  assert.ok(await request.verify());
  const asked = request.getExtension("2.5.29.17");
  const certificate = await X509CertificateGenerator.create({
    subject: "CN=issued",
    issuer: "CN=a test authority",
    notBefore: new Date(NOW),
    notAfter: new Date(NOW + 90 * DAY_MS),
    publicKey: request.publicKey,
    signingKey: authorityKeys.privateKey,
    extensions: [
      names === undefined && asked !== null
        ? asked
        : new SubjectAlternativeNameExtension((names ?? []).map((value) => ({ type: "dns", value }))),
    ],
  });
  return certificate.toString("pem");
}

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "posthorn-kept-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function keeping(directory: string, keyKinds: readonly ("ec" | "rsa")[] = ["ec"]) {
  const clock = virtualClock(NOW + 1000);
  const tickets = ticketKeys({ clock, lifetimeMs: 3_600_000, randomBytes });
  const findings: KeeperFinding[] = [];
  const changes: string[] = [];
  const keeper = await startKeeper({
    settings: {
      certificates: [{ kind: "acme", label: "mx", names: ["mx.example", "mail.example"], keyKinds }],
      listeners: [{ name: "smtp" }, { name: "named", certificates: ["mx"] }],
      authorities: [],
      directory,
      ownNames: ["own.example"],
      expiryWarningMs: 0,
    },
    clock,
    table: () => undefined,
    tickets,
    onFinding: (finding) => findings.push(finding),
  });
  keeper.onChange((change) => changes.push(change));
  return {
    keeper,
    findings,
    changes,
    shown: async () =>
      (await keeper.profile("smtp")).pairs.map(({ keyKind, names }) => `${keyKind} ${names.join(" ")}`),
    [Symbol.dispose]() {
      keeper.close();
      tickets.close();
    },
  };
}

test("until something is issued the server shows its own certificate, and says nothing of the one that is missing", async () => {
  await using place = await folder();
  using kept = await keeping(place.path);
  assert.deepEqual(await kept.shown(), ["ec own.example"]);
  assert.deepEqual(kept.findings, []);
  assert.deepEqual(await kept.keeper.held("mx"), []);
  assert.deepEqual(
    (await kept.keeper.listing()).map(({ origin, listeners }) => [origin, listeners]),
    [["self-signed", ["smtp", "named"]]],
  );
});

test("what an authority issued is checked, durable, and shown at once, also by the next keeper", async () => {
  await using place = await folder();
  {
    using kept = await keeping(place.path, ["ec", "rsa"]);
    for (const kind of ["ec", "rsa"] as const) {
      const request = await kept.keeper.requestFor("mx", kind, ["mx.example", "mail.example"]);
      assert.doesNotMatch(request, /PRIVATE/);
      assert.equal(await kept.keeper.keepChain("mx", kind, await issued(request)), undefined);
    }
    assert.deepEqual(kept.changes, ["certificates", "certificates"]);
    assert.deepEqual(await kept.shown(), ["ec mx.example mail.example", "rsa mx.example mail.example"]);
    assert.deepEqual(
      (await kept.keeper.listing()).map(({ label, keyKind, listeners }) => [label, keyKind, listeners.join()]),
      [
        ["mx", "ec", "smtp,named"],
        ["mx", "rsa", "smtp,named"],
        [undefined, "ec", ""],
      ],
    );
  }
  const file = join(place.path, "kept", "mx", "ec.pem");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual((await readdir(join(place.path, "kept", "mx"))).sort(), ["ec.pem", "rsa.pem"]);
  using next = await keeping(place.path, ["ec", "rsa"]);
  assert.deepEqual(await next.shown(), ["ec mx.example mail.example", "rsa mx.example mail.example"]);
  assert.equal((await next.keeper.held("mx"))[0]?.notAfterAt, NOW + 90 * DAY_MS);
});

test("a chain that does not fit what was asked for is refused, and what was there stays", async () => {
  await using place = await folder();
  using kept = await keeping(place.path);
  const { keeper } = kept;
  assert.match((await keeper.keepChain("mx", "ec", "")) ?? "", /nothing was asked for/);
  const names = ["mx.example", "mail.example"];
  const first = await issued(await keeper.requestFor("mx", "ec", names));
  const second = await keeper.requestFor("mx", "ec", names);
  assert.equal(await keeper.keepChain("mx", "ec", first), "the key does not belong to the certificate");
  assert.equal(await keeper.keepChain("mx", "ec", "nothing"), "the certificate holds no certificate in PEM form");
  assert.equal(
    await keeper.keepChain("mx", "ec", await issued(second, ["mx.example"])),
    "the certificate is not for mail.example",
  );
  assert.match((await keeper.keepChain("mx", "rsa", first)) ?? "", /the settings have no certificate mx/);
  assert.deepEqual(kept.changes, []);
  assert.equal(await keeper.keepChain("mx", "ec", await issued(second)), undefined);
  assert.deepEqual(await kept.shown(), ["ec mx.example mail.example"]);
});

test("a kept file that is damaged is told of, and the server shows its own certificate", async () => {
  await using place = await folder();
  {
    using kept = await keeping(place.path);
    const request = await kept.keeper.requestFor("mx", "ec", ["mx.example", "mail.example"]);
    await kept.keeper.keepChain("mx", "ec", await issued(request));
  }
  await writeFile(join(place.path, "kept", "mx", "ec.pem"), "half");
  using kept = await keeping(place.path);
  assert.deepEqual(await kept.shown(), ["ec own.example"]);
  assert.match(JSON.stringify(kept.findings), /ec\.pem holds no certificate in PEM form/);
});

test("labels are no paths", () => {
  const kept = keptCertificates("/nowhere");
  for (const label of ["", "..", "../x", "a/b", ".hidden"])
    assert.throws(() => kept.fileOf(label, "ec"), /is no certificate's/);
});

test("each authority has an account key of its own, made once", async () => {
  await using place = await folder();
  const kept = keptCertificates(place.path);
  const first = await kept.accountKey("https://ca.example/directory");
  assert.equal(createPublicKey(first).asymmetricKeyType, "ec");
  assert.equal(await keptCertificates(place.path).accountKey("https://ca.example/directory"), first);
  assert.notEqual(await kept.accountKey("https://other.example/directory"), first);
  for (const name of await readdir(join(place.path, "accounts")))
    assert.equal((await stat(join(place.path, "accounts", name))).mode & 0o777, 0o600);
});

test("notes outlive the keeper; a disk that takes none says so", async () => {
  await using place = await folder();
  const kept = keptCertificates(place.path);
  assert.equal(await kept.notes(), undefined);
  assert.equal(await kept.keepNotes("{}"), undefined);
  assert.equal(await keptCertificates(place.path).notes(), "{}");
  assert.match((await keptCertificates(join(place.path, "missing")).keepNotes("{}")) ?? "", /ENOENT/);
});

test("a disk that takes no file is left as it was, and what a crash left of keys is swept at the next start", async () => {
  await using place = await folder();
  await mkdir(join(place.path, "acme.json"));
  assert.match((await keptCertificates(place.path).keepNotes("{}")) ?? "", /EISDIR|ENOTEMPTY|EEXIST/);
  assert.deepEqual(await readdir(place.path), ["acme.json"]);

  const left = ".9f8511b5-21f9-41dd-b99d-5df9b7bdcabe";
  for (const within of ["", "accounts", "kept/mx"]) {
    await mkdir(join(place.path, within), { recursive: true });
    await writeFile(join(place.path, within, left), "half a key");
    await utimes(join(place.path, within, left), NOW / 1000, NOW / 1000 - 7200);
  }
  using _kept = await keeping(place.path);
  const files = await readdir(place.path, { recursive: true });
  assert.deepEqual(
    files.filter((name) => name.includes(left)),
    [],
  );
});

test("a request is for its names, with a key of its kind", async () => {
  const kept = keptCertificates("/nowhere");
  for (const kind of ["ec", "rsa"] as const) {
    const request = await kept.request("mx", kind, ["mx.example"]);
    const parsed = parsePair({ certificatePem: await issued(request), keyPem: "", origin: "x", isKeyElsewhere: true });
    assert.ok(parsed.ok);
    assert.deepEqual([parsed.value.keyKind, parsed.value.names], [kind, ["mx.example"]]);
  }
});
