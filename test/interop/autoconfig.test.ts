import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { a, mx, ptr, srv, startDnsServer, txt } from "../dns-server.ts";
import { requirePeer } from "../peers/peer.ts";
import { freePort, startServer } from "../server.ts";

const settings = (plain: number, secure: number, dns: string): string => `hostname: mx.example.org
state: ./data
user: nobody
processes: { layout: single }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
  - { name: submission, address: 0.0.0.0, port: {submission}, protocol: submission, tls: require, auth: off }
  - { name: web, address: 127.0.0.1, port: ${plain}, protocol: http, tls: off }
  - { name: secure-web, address: 127.0.0.1, port: ${secure}, protocol: http, tls: implicit }
local: { domains: [example.org] }
autoconfig: { name: Example Mail, imap: [{ host: imap.example.org }] }
domain-records: { mta-sts: { mode: enforce } }
dns: { servers: ["${dns}"] }
`;

test("mail programs find their settings, and an operator what the DNS lacks", async (t) => {
  const curl = requirePeer("curl", t);
  const python = requirePeer("python3", t);
  if (curl === undefined || python === undefined) return;
  await using dns = await startDnsServer({
    "example.org": [mx(10, "mx.example.org"), txt("v=spf1 include:other.example -all")],
    "mx.example.org": [a("192.0.2.1")],
    "1.2.0.192.in-addr.arpa": [ptr("host1.provider.example")],
    "_dmarc.example.org": [txt("v=DMARC1; p=none"), txt("v=DMARC1; p=reject")],
    "_imaps._tcp.example.org": [srv(0, 993, "imap.example.org")],
    "_smtp._tls.example.org": "failed",
    "autoconfig.example.org": [a("192.0.2.1")],
  });
  const [plain, secure] = [await freePort(), await freePort()];
  await using server = await startServer({ wholeSettings: settings(plain, secure, dns.at) });
  const get = (url: string, ...more: string[]): { status: string; body: string } => {
    const { stdout } = spawnSync(curl, ["-sk", "--max-time", "10", "-w", "\n%{http_code}", ...more, url], {
      encoding: "utf8",
    });
    const at = stdout.lastIndexOf("\n");
    return { status: stdout.slice(at + 1), body: stdout.slice(0, at) };
  };
  const parse = (program: string, input: string): unknown => {
    const { stdout, stderr } = spawnSync(python, ["-c", `import sys,json\n${program}`], { input, encoding: "utf8" });
    assert.equal(stderr, "");
    return JSON.parse(stdout);
  };
  const XML = "import xml.etree.ElementTree as E\nr=E.fromstring(sys.stdin.buffer.read())\n";

  await t.test("Thunderbird's document, over HTTP and over TLS", () => {
    for (const url of [`http://127.0.0.1:${plain}`, `https://127.0.0.1:${secure}`]) {
      const { status, body } = get(`${url}/mail/config-v1.1.xml?emailaddress=ada@example.org`);
      assert.equal(status, "200");
      const hosts = parse(`${XML}print(json.dumps([e.text for e in r.iterfind(".//hostname")]))`, body);
      assert.deepEqual(hosts, ["imap.example.org", "mx.example.org"]);
    }
  });

  await t.test("Outlook's, to a POST", () => {
    const { status, body } = get(
      `https://127.0.0.1:${secure}/autodiscover/autodiscover.xml`,
      "-d",
      "<Autodiscover><Request><EMailAddress>ada@example.org</EMailAddress></Request></Autodiscover>",
    );
    assert.equal(status, "200");
    const types = parse(`${XML}print(json.dumps([e.text for e in r.iter() if e.tag.endswith("}Type")]))`, body);
    assert.deepEqual(types, ["IMAP", "SMTP"]);
  });

  await t.test("Apple's profile, and the MTA-STS policy at its own name", () => {
    const { body } = get(`http://127.0.0.1:${plain}/email.mobileconfig?email=ada@example.org`);
    const address = parse(
      "import plistlib\nprint(json.dumps(plistlib.loads(sys.stdin.buffer.read())['PayloadContent'][0]['EmailAddress']))",
      body,
    );
    assert.equal(address, "ada@example.org");
    const policy = get(`http://127.0.0.1:${plain}/.well-known/mta-sts.txt`, "-H", "Host: mta-sts.example.org");
    assert.equal(policy.body, "version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmax_age: 604800\r\n");
  });

  await t.test("nonsense is refused, and who asks is told of in the log", async () => {
    assert.equal(get(`http://127.0.0.1:${plain}/../../etc/passwd`, "--path-as-is").status, "404");
    await server.waitForOutput(/127\.0\.0\.1.*: GET \/mail\/config-v1\.1\.xml\?emailaddress=ada@example\.org: 200/);
  });

  await t.test("posthorn dns says what is right, wrong, missing and not to be found out", async () => {
    const { stdout, status } = await server.posthorn("dns");
    assert.equal(status, 1);
    assert.match(stdout, /^ {2}ok {6}example\.org\. IN MX 10 mx\.example\.org\.$/m);
    assert.match(
      stdout,
      /^ {2}other {3}example\.org\. IN TXT "v=spf1 mx -all"\n.*published:\n {12}v=spf1 include:other/m,
    );
    assert.match(stdout, /^ {2}WRONG {3}_dmarc\.example\.org/m);
    assert.match(stdout, /^ {2}missing _mta-sts\.example\.org\. IN TXT "v=STSv1; id=[0-9a-f]{20}"$/m);
    assert.match(stdout, /^ {2}MISSING mta-sts\.example\.org\. IN CNAME mx\.example\.org\.$/m);
    assert.match(stdout, /^ {2}unknown _smtp\._tls\.example\.org/m);
    assert.match(stdout, /^ {2}missing _25\._tcp\.mx\.example\.org\. IN TLSA 3 1 1 [0-9a-f]{64}$/m);
    assert.match(stdout, /^ {2}ok {6}_imaps\._tcp\.example\.org\. IN SRV 0 1 993 imap\.example\.org\.$/m);
    assert.match(stdout, /^ {2}missing _submission\._tcp\.example\.org\. IN SRV /m);
    assert.match(stdout, /^ {2}host {4}192\.0\.2\.1 is named host1\.provider\.example, not mx\.example\.org/m);
    const zone = await server.posthorn("dns", "--zone", "example.net");
    assert.equal(zone.status, 0);
    assert.match(zone.stdout, /^example\.net\. IN MX 10 mx\.example\.org\.$/m);
    const documents = await server.posthorn("autoconfig", "thunderbird", "ada@example.org");
    assert.match(documents.stdout, /<hostname>imap\.example\.org<\/hostname>/);
  });
});
