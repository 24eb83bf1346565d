/** What Posthorn signs and seals is read by Debian's dkimpy and opendkim, and what they sign by us. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { sealArc } from "../../src/protocol/authentication/arc-seal.ts";
import { BodyHashes } from "../../src/protocol/authentication/body-hashes.ts";
import { signDkim, type SigningKey } from "../../src/protocol/authentication/dkim-sign.ts";
import { createKeyFinder } from "../../src/protocol/authentication/key-finder.ts";
import { rawFields } from "../../src/protocol/authentication/raw-fields.ts";
import { verifyMessage } from "../../src/protocol/authentication/verify-message.ts";
import { zoneResolver } from "../../src/testing/dns-zone.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOpendkim } from "./milters.ts";
import { hasPeer, inPeer, run } from "./running.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed25519 = generateKeyPairSync("ed25519");
const signers: readonly SigningKey[] = [
  { domain: "example.org", selector: "r", kind: "rsa", key: rsa.privateKey },
  { domain: "example.org", selector: "e", kind: "ed25519", key: ed25519.privateKey },
];
const records = {
  "r._domainkey.example.org": `v=DKIM1; k=rsa; p=${rsa.publicKey.export({ type: "spki", format: "der" }).toString("base64")}`,
  "e._domainkey.example.org": `v=DKIM1; k=ed25519; p=${ed25519.publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("base64")}`,
};
const zone = zoneResolver(Object.fromEntries(Object.entries(records).map(([name, text]) => [`${name} TXT`, [text]])));
const rsaPem = rsa.privateKey.export({ type: "pkcs1", format: "pem" }).toString();

const HEADER =
  "From: Ann <ann@example.org>\r\nTo: bob@example.net,\r\n\tcarl@example.net\r\nSubject: =?utf-8?q?tea?=  and \t blanks\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n";
const BODIES = [
  "",
  "\r\n\r\n",
  "hello\r\n",
  "no end",
  "  blanks \t here  \r\n \t\r\nend \r\n\r\n\r\n",
  "a\r\n.\r\n..dots\r\n",
];

function bodyHashOf(body: string, how: "simple" | "relaxed"): string {
  const hashes = new BodyHashes();
  const hash = hashes.want(how);
  hashes.update(Buffer.from(body, "latin1"));
  hashes.finish();
  return hash.digest;
}

async function verified(message: string) {
  const end = message.indexOf("\r\n\r\n");
  return verifyMessage(
    {
      fields: rawFields(message.slice(0, end + 2)),
      body: async function* () {
        yield Buffer.from(message.slice(end + 4), "latin1");
      },
    },
    createKeyFinder(zone)(),
    { mostSignatures: 10, acceptPartial: false, nowSeconds: Math.floor(Date.now() / 1000) },
  );
}

/** Asks dkimpy about messages; a line of JSON for each. */
async function dkimpy(
  work: "verify" | "sign" | "arc-verify" | "arc-sign",
  messages: readonly string[],
): Promise<readonly string[]> {
  const program = String.raw`
import sys, json, dkim
given = json.load(sys.stdin)
def find(name, timeout=5):
    return given["records"].get((name.decode() if isinstance(name, bytes) else name).rstrip("."), "").encode()
def verified(message, index):
    try:
        return dkim.DKIM(message).verify(idx=index, dnsfunc=find)
    except dkim.ValidationError:
        return False
for text in given["messages"]:
    message = text.encode("latin1")
    if given["work"] == "verify":
        count = sum(1 for line in message.split(b"\r\n\r\n")[0].split(b"\r\n") if line.lower().startswith(b"dkim-signature:"))
        print(json.dumps([verified(message, i) for i in range(count)]))
    elif given["work"] == "arc-verify":
        print(json.dumps(dkim.arc_verify(message, dnsfunc=find)[0].decode()))
    elif given["work"] == "sign":
        signed = dkim.sign(message, b"r", b"example.org", given["key"].encode(), canonicalize=(b"relaxed", b"relaxed")) + message
        print(json.dumps(signed.decode("latin1")))
    else:
        sealed = b"".join(dkim.arc_sign(message, b"r", b"example.org", given["key"].encode(), b"mx.example.org",
            include_headers=[b"from", b"to", b"subject", b"date", b"message-id"])) + message
        print(json.dumps(sealed.decode("latin1")))
`;
  const [command, argv] = inPeer("dkimpy", ["/usr/bin/python3", "-c", program]);
  const { status, output } = await run(command, argv, JSON.stringify({ work, messages, records, key: rsaPem }));
  assert.equal(status, 0, output);
  return output.trim().split("\n");
}

test("dkimpy verifies what we sign, with both kinds of key, in all forms, and not when it was changed", async (t) => {
  if (!hasPeer("dkimpy", t)) return;
  const messages: string[] = [];
  for (const body of BODIES)
    for (const how of ["simple", "relaxed"] as const) {
      const terms = {
        header: how,
        body: how,
        sign: ["to"],
        oversign: ["from", "subject", "reply-to"],
        atSeconds: Math.floor(Date.now() / 1000),
      };
      const values = signers.map((signer) => signDkim(rawFields(HEADER), bodyHashOf(body, how), signer, terms));
      messages.push(`${values.map((value) => `DKIM-Signature:${value}\r\n`).join("")}${HEADER}\r\n${body}`);
    }
  const answers = await dkimpy("verify", messages);
  for (const [at, answer] of answers.entries()) assert.equal(answer, "[true, true]", messages[at]);
  const [changed] = await dkimpy("verify", [(messages[4] ?? "").replace("hello", "hullo")]);
  assert.equal(changed, "[false, false]");
});

test("what dkimpy signs and seals verifies here, and the other way round, in one chain", async (t) => {
  if (!hasPeer("dkimpy", t)) return;
  const plain = BODIES.slice(2).map((body) => `${HEADER}\r\n${body}`);
  for (const line of await dkimpy("sign", plain)) {
    const message = JSON.parse(line) as string;
    const { dkim } = await verified(message);
    assert.deepEqual(
      dkim.map(({ result }) => result),
      ["pass"],
      message,
    );
  }
  const body = "hello \r\n\r\n";
  const results = "Authentication-Results: mx.example.org; dmarc=pass header.from=example.org\r\n";
  let message = `${results}${HEADER}\r\n${body}`;
  for (const signer of ["ours", "theirs", "ours"]) {
    if (signer === "theirs") {
      const [line = ""] = await dkimpy("arc-sign", [message]);
      message = JSON.parse(line) as string;
    } else {
      const header = message.slice(0, message.indexOf("\r\n\r\n") + 2);
      const { arc } = await verified(message);
      const [key] = signers;
      assert.ok(key);
      const set = sealArc(rawFields(header), arc, bodyHashOf(body, "relaxed"), " mx.example.org; dmarc=pass", key, {
        sign: ["from", "to", "subject", "date", "message-id"],
        atSeconds: Math.floor(Date.now() / 1000),
      });
      assert.ok(set);
      message = `ARC-Seal:${set.seal}\r\nARC-Message-Signature:${set.message}\r\nARC-Authentication-Results:${set.results}\r\n${message}`;
    }
    assert.deepEqual(await dkimpy("arc-verify", [message]), ['"pass"'], message);
    assert.equal((await verified(message)).arc.result, "pass", message);
  }
});

test("opendkim behind our filter finds its signatures valid", async (t) => {
  if (!hasPeer("milters", t)) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-dkim-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "r.pem"), rsaPem, { mode: 0o600 });
  await using opendkim = await startOpendkim({
    domain: "elsewhere.example",
    selector: "x",
    privateKey: rsaPem,
    publicKeys: records,
  });
  await using host = await startScriptedHost();
  await using server = await startServer({
    layout: "split",
    settings: `local: { domains: [posthorn.test], users: [ann] }
filters:
  sign: { sign: { keys: [{ domain: example.org, selector: r, key: ${folder}/r.pem }] } }
  opendkim: { milter: "${opendkim.address}" }
filtered-by: [sign, opendkim]
actions: { out: { relay: { to: "smtp://127.0.0.1:${host.port}" } } }
rules: [{ match: { from: local }, action: out }]
`,
  });
  const content = "From: ann@example.org\r\nTo: x@there.test\r\nSubject: tea  time\r\n\r\nhello \r\n\r\n";
  assert.match(await sendMail(server.ports.smtp, { from: "ann@example.org", to: "x@there.test", content }), /^250 /);
  const [sent] = await host.waitForMails(1, 60_000);
  assert.match(sent?.content ?? "", /^Authentication-Results: mx\.example\.org;[^]*?dkim=pass/m, sent?.content);
});
