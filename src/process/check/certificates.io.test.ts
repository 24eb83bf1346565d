import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { generate } from "selfsigned";
import { inOrder, problemIn, problemLine } from "../../service/config/config.ts";
import { inspectCertificates } from "../../service/tls/keeper/inspect.io.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { testAuthority } from "../../testing/test-authority.ts";
import { loadSettings } from "../settings/load-settings.ts";
import { inspectedOf, locatedProblem } from "../settings/tls-files.ts";

const DAY_MS = 86_400_000;
const clock = virtualClock(Date.now());
const root = await testAuthority("Root CA");
const middle = await root.below("Middle CA");
const mx = await middle.issue(["mx.example.org"]);
const other = await middle.issue(["other.example.org"]);
const whole = mx.certificatePem + middle.certificatePem;

interface Checked {
  readonly lines: readonly string[];
  /** As the keeper of a split server would tell them, which has only the settings and where they were written. */
  readonly byKeeper: readonly string[] | undefined;
}

async function check(yaml: string, files: Readonly<Record<string, string>>, nowAt = clock.now()): Promise<Checked> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-check-"));
  try {
    for (const [name, text] of Object.entries({ "posthorn.yaml": yaml, "root.pem": root.certificatePem, ...files })) {
      await mkdir(dirname(join(directory, name)), { recursive: true });
      await writeFile(join(directory, name), text, { mode: 0o600 });
    }
    const options = { file: join(directory, "posthorn.yaml"), directory, clock: virtualClock(nowAt) };
    const loaded = await loadSettings(options);
    const bare = (text: string): string => text.replaceAll(`${directory}/`, "");
    const lines = (loaded.ok ? loaded.value.warnings : loaded.problem).map((problem) => bare(problemLine(problem)));
    const without = await loadSettings({ ...options, isKeptElsewhere: () => true });
    if (!without.ok) return { lines, byKeeper: undefined };
    const { settings, origins } = without.value;
    const inspected = await inspectCertificates(inspectedOf(settings, nowAt));
    const located = inOrder(inspected.map((problem) => locatedProblem(problem, origins))).map((problem) =>
      bare(problemLine(problem)),
    );
    return { lines, byKeeper: located };
  } finally {
    await rm(directory, { recursive: true });
  }
}

const COMMON = "hostname: mx.example.org\ndelivery: { ca-file: root.pem }\n";
const ONE = `${COMMON}certificates:\n  - certificate: mx.pem\n    key: mx.key\n`;

/** What the check prints; the keeper tells the same, in the same words and places. */
async function tells(yaml: string, files: Readonly<Record<string, string>>, ...expected: readonly RegExp[]) {
  const { lines, byKeeper } = await check(yaml, files);
  assert.equal(lines.length, expected.length, lines.join("\n"));
  for (const [at, pattern] of expected.entries()) assert.match(lines[at] ?? "", pattern);
  assert.deepEqual(
    byKeeper?.toSorted((a, b) => (a < b ? -1 : 1)),
    lines.toSorted((a, b) => (a < b ? -1 : 1)),
  );
}

test("nothing is told of certificates that are right", () => tells(ONE, { "mx.pem": whole, "mx.key": mx.keyPem }));

test("authorities that the environment names and that are not there are told", async () => {
  const before = { SSL_CERT_FILE: process.env["SSL_CERT_FILE"], SSL_CERT_DIR: process.env["SSL_CERT_DIR"] };
  process.env["SSL_CERT_FILE"] = "/nowhere/ca.pem";
  delete process.env["SSL_CERT_DIR"];
  try {
    const { lines, byKeeper = [] } = await check(ONE, { "mx.pem": whole, "mx.key": mx.keyPem });
    assert.deepEqual([lines.length, byKeeper.length], [1, 1]);
    for (const line of [...lines, ...byKeeper])
      assert.match(
        line,
        /^posthorn\.yaml[:0-9]*: warning: SSL_CERT_FILE in the server's environment: \/nowhere\/ca\.pem does not exist; no authority of the system is trusted until that is mended$/,
      );
  } finally {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
});

test("an incomplete chain is told, and whose certificate is missing", () =>
  tells(
    ONE,
    { "mx.pem": mx.certificatePem, "mx.key": mx.keyPem },
    /^posthorn\.yaml:4:5: warning: certificates\[0\]\.certificate: mx\.pem: the certificate of its issuer, CN=Middle CA, is missing/,
  ));

test("a key that belongs to another certificate is told at the key", () =>
  tells(
    ONE,
    { "mx.pem": whole, "mx.key": other.keyPem },
    /^posthorn\.yaml:5:5: certificates\[0\]\.key: mx\.key does not belong to the certificate$/,
  ));

test("a certificate that is not for the server's name is told, and names that were set and are not in it", async () => {
  await tells(
    ONE,
    { "mx.pem": other.certificatePem + middle.certificatePem, "mx.key": other.keyPem },
    /^posthorn\.yaml:3:1: warning: certificates: no certificate is for mx\.example\.org, which the server calls itself/,
  );
  await tells(
    `${ONE}    names: [mx.example.org, imap.example.org]\n`,
    { "mx.pem": whole, "mx.key": mx.keyPem },
    /^posthorn\.yaml:6:29: warning: certificates\[0\]\.names\[1\]: mx\.pem is not for imap\.example\.org, but for mx\.example\.org$/,
  );
});

test("21 days before its end a certificate is told, and after it", async () => {
  const files = { "mx.pem": whole, "mx.key": mx.keyPem };
  const at = async (days: number) => (await check(ONE, files, Date.now() + days * DAY_MS)).lines.join();
  assert.equal(await at(365 - 22), "");
  assert.match(await at(365 - 20), /posthorn\.yaml:4:5: warning: .*mx\.pem expires in (19|20) days/);
  assert.match(await at(365 + 3), /mx\.pem expired [23] days ago/);
  const later = (await check(`${ONE}tls: { expiry-warning: 1d }\n`, files, Date.now() + 345 * DAY_MS)).lines;
  assert.deepEqual(later, []);
});

test("labels, versions, ciphers and groups of a listener are tried", () =>
  tells(
    `${ONE}listeners:
  - name: smtp
    port: 2525
    tls-min-version: TLSv1.3
    tls-max-version: TLSv1.2
    tls-ciphers: NO-SUCH-CIPHER
    tls-groups: X25519:P-2560
`,
    { "mx.pem": whole, "mx.key": mx.keyPem },
    /^posthorn\.yaml:9:5: listeners\[0\]\.tls-min-version: expected at most tls-max-version \(TLSv1\.2\), got TLSv1\.3$/,
    /^posthorn\.yaml:11:5: listeners\[0\]\.tls-ciphers: OpenSSL refuses "NO-SUCH-CIPHER": no cipher match$/i,
    /^posthorn\.yaml:12:5: listeners\[0\]\.tls-groups: OpenSSL refuses "X25519:P-2560": /,
  ));

test("ciphers of a listener that leave nothing for one of its versions are told", async () => {
  const listener = (versions: string): string =>
    `${ONE}listeners:\n  - name: smtp\n    port: 2525\n    tls-ciphers: TLS_AES_128_GCM_SHA256\n${versions}`;
  const files = { "mx.pem": whole, "mx.key": mx.keyPem };
  await tells(
    listener(""),
    files,
    /^posthorn\.yaml:9:5: listeners\[0\]\.tls-ciphers: "TLS_AES_128_GCM_SHA256" names suites of TLS 1\.3 only, and none for TLSv1\.2/,
  );
  await tells(listener("    tls-min-version: TLSv1.3\n"), files);
});

test("a label that no certificate has is told, with the nearest", async () => {
  const { lines } = await check(
    `${ONE}    label: main\nlisteners: [{ name: smtp, port: 2525, certificates: [mian] }]\n`,
    { "mx.pem": whole, "mx.key": mx.keyPem },
  );
  assert.deepEqual(lines, [
    "posthorn.yaml:7:54: listeners[0].certificates[0]: there is no certificate mian; did you mean main?",
  ]);
});

test("a listener that shows a certificate for another name is told, though another listener's is right", () =>
  tells(
    `${COMMON}certificates:
  - { label: a, certificate: mx.pem, key: mx.key }
  - { label: b, certificate: other.pem, key: other.key }
listeners:
  - { name: smtp, port: 2525, certificates: [a] }
  - { name: submission, port: 2587, certificates: [b] }
  - { name: inside, port: 2526, certificates: [b], hostname: other.example.org }
  - { name: plain, port: 2527, certificates: [b], tls: "off" }
`,
    {
      "mx.pem": whole,
      "mx.key": mx.keyPem,
      "other.pem": other.certificatePem + middle.certificatePem,
      "other.key": other.keyPem,
    },
    /^posthorn\.yaml:8:37: warning: listeners\[1\]\.certificates: no certificate is for mx\.example\.org/,
  ));

test("a folder's mistakes are told at the folder, with the file", () =>
  tells(
    `${COMMON}certificates: [{ directory: certs }]\n`,
    {
      "certs/mx.pem": whole,
      "certs/mx.key": mx.keyPem,
      "certs/lonely.crt": other.certificatePem,
      "certs/live/fullchain.pem": whole,
      "certs/live/privkey.pem": other.keyPem,
    },
    /^posthorn\.yaml:3:18: certificates\[0\]\.directory: certs\/live\/privkey\.pem does not belong to the certificate$/,
    /^posthorn\.yaml:3:18: warning: certificates\[0\]\.directory: certs\/lonely\.crt has no key in /,
  ));

test("a table's mistakes are told with the table's own lines; a key in the settings is refused", async () => {
  await tells(
    `${COMMON}certificates: [{ table: "table:names", directory: certs }]\ntables: { names: { file: names } }\n`,
    {
      names: "mx.example.org mx.pem mx.key\nwrong.example.org mx.pem mx.key\ngone.example.org gone.pem\n",
      "certs/mx.pem": whole,
      "certs/mx.key": mx.keyPem,
    },
    /^names:2:1: warning: certs\/mx\.pem is not for wrong\.example\.org, but for mx\.example\.org$/,
    /^names:3:1: gone\.example\.org: certs\/gone\.pem does not exist$/,
  );
  const inline = JSON.stringify(mx.keyPem + whole);
  await tells(
    `${COMMON}certificates: [{ table: "table:names" }]\ntables: { names: { map: { mx.example.org: ${inline} } } }\n`,
    {},
    /^posthorn\.yaml:4:27: tables\.names\.map\.mx\.example\.org: a private key does not belong into the settings: name its file$/,
  );
});

test("a table of certificates is nobody else's", async () => {
  const { lines } = await check(
    `${COMMON}certificates: [{ table: "table:names" }]\naccounts: table:names\ntables: { names: { file: names } }\n`,
    { names: `mx.example.org ${(mx.keyPem + whole).replaceAll("\n", " ")}\n` },
  );
  assert.deepEqual(lines, [
    "posthorn.yaml:4:1: accounts: table names holds certificates: only the keeper of keys reads it",
  ]);
});

test("a key that OpenSSL finds too short is refused before anybody meets it", async () => {
  const made = await generate([{ name: "commonName", value: "mx.example.org" }], {
    keyType: "rsa",
    keySize: 1024,
    algorithm: "sha256",
    notBeforeDate: new Date(Date.now() - DAY_MS),
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "mx.example.org" }] }],
  });
  await tells(
    ONE,
    { "mx.pem": made.cert, "mx.key": made.private },
    /^posthorn\.yaml:4:5: certificates\[0\]\.certificate: OpenSSL refuses mx\.pem: ee key too small$/,
  );
});

test("a key in a token is wrapped for OpenSSL's provider; without the provider that is said", () =>
  tells(
    `${COMMON}certificates:\n  - certificate: mx.pem\n    key: "pkcs11:token=mail;object=mx"\n`,
    { "mx.pem": whole },
    /^posthorn\.yaml:4:5: certificates\[0\]\.certificate: OpenSSL cannot open the key in the token: .*provider loaded \(OPENSSL_CONF\)\?$/,
  ));

test("authorities that are none are told, wherever the settings name them", () =>
  tells(
    `${ONE}listeners: [{ name: smtp, port: 2525, client-authorities: gone.pem }]\n`,
    { "mx.pem": whole, "mx.key": mx.keyPem, "root.pem": "x" },
    /^posthorn\.yaml:2:13: delivery\.ca-file: root\.pem holds no certificate in PEM form$/,
    /^posthorn\.yaml:4:5: warning: certificates\[0\]\.certificate: mx\.pem: the chain ends at CN=Middle CA/,
    /^posthorn\.yaml:6:39: listeners\[0\]\.client-authorities: gone\.pem does not exist$/,
  ));

test("no problem shows a key", async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const cases = [
    { "mx.pem": keyPem, "mx.key": keyPem },
    { "mx.pem": whole, "mx.key": keyPem },
    { "mx.pem": whole, "mx.key": keyPem.replace("PRIVATE", "ENCRYPTED PRIVATE") },
  ];
  for (const files of cases) {
    const { lines } = await check(ONE, files);
    assert.ok(lines.length > 0);
    const body = keyPem.split("\n")[1] ?? "";
    assert.ok(!lines.join("\n").includes(body.slice(0, 20)));
  }
});

test("a problem without the settings' text has the nearest place that was written", () => {
  const origins = {
    file: "/etc/posthorn.yaml",
    places: { listeners: { line: 3, column: 1 }, "listeners.0": { line: 4, column: 5 } },
  };
  assert.equal(
    problemLine(problemIn(origins, ["listeners", 0, "tlsCiphers"], "x")),
    "/etc/posthorn.yaml:4:5: listeners[0].tls-ciphers: x",
  );
  assert.equal(
    problemLine(problemIn({ file: "c.config.ts", places: {} }, ["tls", "ticketLifetime"], "x", "warning")),
    "c.config.ts: warning: tls.ticketLifetime: x",
  );
});
