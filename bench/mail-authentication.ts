/**
 * What signing and verifying cost: `node bench/mail-authentication.ts [--bytes 4096] [--seconds 1] [--save]`.
 *
 * One process, one thread; the DNS answers from memory. Each line is the best of three rounds, in microseconds of
 * processor time for a mail, so that what else the machine does counts less. `--save` writes bench/results/mail-authentication-DATE.md.
 */
import { generateKeyPairSync, sign, verify, type KeyObject } from "node:crypto";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { BodyHashes } from "../src/protocol/authentication/body-hashes.ts";
import { signDkim, type SigningKey } from "../src/protocol/authentication/dkim-sign.ts";
import { createKeyFinder } from "../src/protocol/authentication/key-finder.ts";
import { rawFields } from "../src/protocol/authentication/raw-fields.ts";
import { checkSpf } from "../src/protocol/authentication/spf.ts";
import { verifyMessage } from "../src/protocol/authentication/verify-message.ts";
import { authenticateFilter } from "../src/mail/filter/authentication/authenticate-filter.ts";
import { authenticateSettings } from "../src/mail/filter/authentication/settings.ts";
import { zoneResolver } from "../src/testing/dns-zone.ts";
import { testFilterWorld, testMail } from "../src/testing/filter-mail.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    bytes: { type: "string", default: "4096" },
    seconds: { type: "string", default: "1" },
    save: { type: "boolean", default: false },
  },
});
const ROUNDS = 3;
const bytes = Number(options.bytes);
const roundMs = (Number(options.seconds) * 1000) / ROUNDS;

const spki = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed25519 = generateKeyPairSync("ed25519");
const signers: readonly SigningKey[] = [
  { domain: "example.net", selector: "rsa", kind: "rsa", key: rsa.privateKey },
  { domain: "example.net", selector: "ed", kind: "ed25519", key: ed25519.privateKey },
];
const resolver = zoneResolver({
  "rsa._domainkey.example.net TXT": [`v=DKIM1; p=${spki(rsa.publicKey).toString("base64")}`],
  "ed._domainkey.example.net TXT": [
    `v=DKIM1; k=ed25519; p=${spki(ed25519.publicKey).subarray(-32).toString("base64")}`,
  ],
  "example.net TXT": ["v=spf1 include:_spf.example.net -all"],
  "_spf.example.net TXT": ["v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 -all"],
  "_dmarc.example.net TXT": ["v=DMARC1; p=reject"],
});
const HEADER =
  "From: Alice <alice@example.net>\r\nTo: Bob <bob@example.org>\r\nSubject: the figures of this week\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n";
const body = Buffer.from(
  "A line of text, as long as people write them in their mail. \r\n".repeat(Math.ceil(bytes / 62)),
);
const fields = rawFields(HEADER);
const oversign = ["from", "to", "subject", "date", "message-id"];
const terms = {
  header: "relaxed",
  body: "relaxed",
  sign: ["mime-version", "content-type"],
  oversign,
  atSeconds: 1,
} as const;

function signed(signer: SigningKey): string {
  const hashes = new BodyHashes();
  const hash = hashes.want("relaxed");
  hashes.update(body);
  hashes.finish();
  return signDkim(fields, hash.digest, signer, terms);
}

async function verified(header: string): Promise<void> {
  const message = {
    fields: rawFields(header),
    body: async function* () {
      yield body;
    },
  };
  const { dkim } = await verifyMessage(message, keys, { mostSignatures: 8, acceptPartial: false, nowSeconds: 2 });
  if (dkim[0]?.result !== "pass") throw new Error(`not verified: ${dkim[0]?.because}`);
}

const keys = createKeyFinder(resolver)();
const results: string[] = [];

async function measure(what: string, work: () => unknown): Promise<void> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round <= ROUNDS; round++) {
    const startedAt = performance.now();
    const before = process.cpuUsage();
    let done = 0;
    // The first round is for V8.
    while (performance.now() - startedAt < roundMs) {
      await work();
      done++;
    }
    const { user, system } = process.cpuUsage(before);
    if (round > 0) best = Math.min(best, (user + system) / done);
  }
  const line = `| ${what} | ${best.toFixed(0)} | ${Math.round(1_000_000 / best)} |`;
  results.push(line);
  console.log(line);
}

console.log("| what | µs of processor time a mail | mails a second and core |\n|---|---|---|");
const some = Buffer.alloc(500, 65);
const rsaSignature = sign("sha256", some, rsa.privateKey);
const edSignature = sign(null, some.subarray(0, 32), ed25519.privateKey);
await measure("RSA-2048 alone: sign", () => sign("sha256", some, rsa.privateKey));
await measure("RSA-2048 alone: verify", () => verify("sha256", some, rsa.publicKey, rsaSignature));
await measure("Ed25519 alone: sign", () => sign(null, some.subarray(0, 32), ed25519.privateKey));
await measure("Ed25519 alone: verify", () => verify(null, some.subarray(0, 32), ed25519.publicKey, edSignature));
for (const signer of signers) {
  const name = signer.kind === "rsa" ? "RSA-2048" : "Ed25519";
  await measure(`DKIM, ${name}: sign`, () => signed(signer));
  const header = `DKIM-Signature:${signed(signer)}\r\n${HEADER}`;
  await measure(`DKIM, ${name}: verify`, () => verified(header));
}
await measure("SPF with one include", () =>
  checkSpf(
    {
      address: "192.0.2.99",
      domain: "example.net",
      sender: { local: "alice", domain: "example.net" },
      helo: "client.example.net",
      receiver: "mx.example.org",
      nowSeconds: 1,
    },
    resolver,
  ),
);
const [signer] = signers;
if (signer === undefined) throw new Error("there is a key");
const filter = authenticateFilter("auth", authenticateSettings.parse({}), testFilterWorld({ resolver }));
const mail = testMail(`DKIM-Signature:${signed(signer)}\r\n${HEADER}\r\n${body.toString()}`);
const dialogue = filter.open(mail.facts);
const { signal } = new AbortController();
await measure("`authenticate` as a whole, RSA-2048", () => dialogue.judge(mail, signal));

if (options.save) {
  const date = new Date().toISOString().slice(0, 10);
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "?"}, Node ${process.version}, bodies of ${body.length} octets`;
  const text = `# Signing and verifying, ${date}\n\n${machine}. \`node bench/mail-authentication.ts\`, one thread.\n\n| what | µs of processor time a mail | mails a second and core |\n|---|---|---|\n${results.join("\n")}\n`;
  writeFileSync(join(import.meta.dirname, "results", `mail-authentication-${date}.md`), text);
}
