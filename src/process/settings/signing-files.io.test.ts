import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { problemLine } from "../../service/config/config.ts";
import { signingKeysOf } from "./dkim-keys.ts";
import { foldersOf } from "../folders.ts";
import { loadSettings } from "./load-settings.ts";
import { grantsOf } from "../split/role-grants.ts";

const folder = mkdtempSync(join(tmpdir(), "posthorn-signing-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const { privateKey } = generateKeyPairSync("ed25519");
writeFileSync(join(folder, "good.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
writeFileSync(join(folder, "bad.pem"), "nonsense\n");
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
writeFileSync(join(folder, "ec.pem"), ec.privateKey.export({ type: "pkcs8", format: "pem" }));

async function load(settings: string, isCheck = true) {
  const file = join(folder, "posthorn.yaml");
  writeFileSync(file, settings);
  return loadSettings({ file, directory: folder, clock: systemClock, isCheck });
}

async function problemsOf(settings: string): Promise<string> {
  const loaded = await load(settings);
  return loaded.ok ? "" : loaded.problem.map((problem) => problemLine(problem)).join("\n");
}

const signing = (file: string, more = ""): string =>
  `filters: { s: { sign: { keys: [{ domain: example.org, selector: a, key: ${file} }]${more} } } }\nfiltered-by: [s]\n`;

test("a key that is missing, broken or of another kind is told where it was written", async () => {
  assert.equal(await problemsOf(signing("good.pem")), "");
  assert.match(
    await problemsOf(signing("gone.pem")),
    /posthorn\.yaml:1:\d+: .*gone\.pem does not exist; `posthorn dkim key make`/,
  );
  assert.match(await problemsOf(signing("bad.pem")), /bad\.pem holds no private key in PEM form/);
  assert.match(await problemsOf(signing("ec.pem")), /ec\.pem holds a key of ec, not of RSA or Ed25519/);
});

test("keys of a table written in place are opened, and a table that nobody has or that the keeper can't read is refused", async () => {
  const table = (value: string): string =>
    `tables: { k: { map: { example.org: "${value}" } } }\nfilters: { s: { sign: { key-table: table:k, key-folder: . } } }\nfiltered-by: [s]\n`;
  assert.equal(await problemsOf(table("a:good.pem")), "");
  assert.match(await problemsOf(table("a:gone.pem")), /gone\.pem/);
  assert.match(await problemsOf(table("a:../good.pem")), /not below the key folder/);
  assert.match(
    await problemsOf("filters: { s: { sign: { key-table: table:k, key-folder: . } } }\nfiltered-by: [s]\n"),
    /there is no table k/,
  );
});

test("lines of a table in a file that name no key are told, by the check of settings and by that of keys", async () => {
  writeFileSync(
    join(folder, "keys.txt"),
    "example.net a=good.pem\nexample.com a:../../etc/x.pem\nexample.org a:good.pem\n",
  );
  const settings = (table: string): string =>
    `tables: { k: { ${table} } }\nfilters: { s: { sign: { key-table: table:k, key-folder: . } } }\nfiltered-by: [s]\n`;
  const told = await problemsOf(settings("file: ./keys.txt"));
  assert.match(told, /keys\.txt:1: example\.net: expected selector:file instead of "a=good\.pem"/);
  assert.match(told, /keys\.txt:2: example\.com: the file \.\.\/\.\.\/etc\/x\.pem is not below the key folder/);
  assert.doesNotMatch(told, /example\.org/);

  // For a server that starts they are data: one domain's mail waits, and not everybody's.
  const started = await load(settings("file: ./keys.txt"), false);
  assert.ok(started.ok);
  assert.match(started.value.warnings.map(problemLine).join("\n"), /warning: .*keys\.txt:1: example\.net/);

  // Where the settings are loaded without looking at keys, as commands do.
  const file = join(folder, "posthorn.yaml");
  const loaded = await loadSettings({ file, directory: folder, clock: systemClock, isKeptElsewhere: () => true });
  assert.ok(loaded.ok);
  const { keys, wrong } = await signingKeysOf(loaded.value);
  assert.deepEqual(
    keys.map(({ domain }) => domain),
    ["example.org"],
  );
  assert.deepEqual(
    wrong.map(({ domain }) => domain),
    ["example.net", "example.com"],
  );
  assert.match(wrong[0]?.text ?? "", /keys\.txt:1: example\.net: expected selector:file/);

  const gone = (await problemsOf(settings("file: ./gone.txt"))).split("\n");
  assert.equal(gone.length, 1, gone.join("\n"));
});

test("who seals without having judged is told so", async () => {
  assert.match(await problemsOf(signing("good.pem", ", seal: example.org")), /none stands before it/);
  const judged = signing("good.pem", ", seal: example.org")
    .replace("filters: {", "filters: { j: { authenticate: {} },")
    .replace("[s]\n", "[j, s]\n");
  assert.equal(await problemsOf(judged), "");
});

test("who seals with a domain that has no key is told so, before all mail of others has to wait", async () => {
  const sealing = (domain: string, more = ""): string =>
    signing("good.pem", `, seal: ${domain}${more}`)
      .replace("filters: {", "filters: { j: { authenticate: {} },")
      .replace("[s]\n", "[j, s]\n");
  assert.match(await problemsOf(sealing("example.com")), /no key of example\.com is there to seal with/);
  assert.equal(await problemsOf(sealing("mx.example.org")), "");
  assert.match(await problemsOf(sealing("mx.example.org", ", subdomains: false")), /no key of mx\.example\.org/);
});

test("who seals in a name that no filter before guards is told what to write", async () => {
  const sealing = (judge: string, more: string): string =>
    signing("good.pem", `, seal: example.org${more}`)
      .replace("filters: {", `hostname: mx.example.org\nfilters: { j: { authenticate: {${judge}} },`)
      .replace("[s]\n", "[j, s]\n");
  assert.match(
    await problemsOf(sealing(" authority: example.org ", "")),
    /posthorn\.yaml:2:\d+: .*seals what Authentication-Results of mx\.example\.org say.*write `authority: example\.org`/,
  );
  assert.match(await problemsOf(sealing("", ", authority: example.org")), /write `authority: mx\.example\.org`/);
  assert.equal(await problemsOf(sealing("", ", authority: mx.example.org")), "");
  assert.equal(await problemsOf(sealing(" authority: example.org ", ", authority: example.org")), "");
});

test("of the processes only the keeper may read the key", async () => {
  const loaded = await load(signing("good.pem"));
  assert.ok(loaded.ok);
  const folders = foldersOf(join(folder, "state"));
  const key = join(folder, "good.pem");
  const may = (role: Parameters<typeof grantsOf>[0]): boolean =>
    grantsOf(role, loaded.value, folders).some((grant) => grant.includes(key));
  assert.ok(may("keeper"));
  for (const role of ["ingress", "egress", "lookup", "acme", "log"] as const) assert.ok(!may(role), role);
});
