import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { answerWeb, domainOf, type WebSources } from "./answer.ts";
import { addressOfRequest } from "./outlook.ts";
import { mailServices } from "./services.ts";
import { autoconfigSettings } from "./settings.ts";

const settings = autoconfigSettings.parse({
  name: 'Example & "Sons"',
  imap: [{ host: "imap.example.org", tls: "starttls" }, { host: "imap.example.org" }],
  pop3: [{ host: "pop.example.org" }],
});
const listeners = [
  { host: "mx.example.org", port: 587, tls: "starttls" },
  { host: "mx.example.org", port: 465, tls: "implicit" },
] as const;
const sources: WebSources = {
  services: (domain) =>
    Promise.resolve(
      domain === "example.org" ? mailServices(settings, listeners, domain) : domain === "slow.test" ? "failed" : "none",
    ),
  policy: (domain) => Promise.resolve(domain === "example.org" ? { text: "version: STSv1\r\n" } : "none"),
};
const ask = (target: string, more: { method?: string; host?: string; body?: string } = {}) =>
  answerWeb({ method: "GET", host: "autoconfig.example.org", body: "", ...more, target }, sources);

/** The texts of all elements of a name; other parsers read the documents in test/interop/autoconfig.test.ts. */
function texts(xml: string, name: string): readonly string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"))].map(([, text]) => text ?? "");
}

test("Thunderbird's document has the servers, implicit TLS first", async () => {
  for (const target of [
    "/mail/config-v1.1.xml?emailaddress=joe%40example.org",
    "/mail/config-v1.1.xml",
    "//MAIL/config-v1.1.xml?EmailAddress=joe@EXAMPLE.org",
  ]) {
    const answer = await ask(target.replace("//", "/"));
    assert.equal(answer.status, 200, target);
    assert.deepEqual(texts(answer.body, "displayName"), ["Example &amp; &quot;Sons&quot;"]);
    assert.deepEqual(texts(answer.body, "port"), ["993", "143", "995", "465", "587"]);
    assert.deepEqual(texts(answer.body, "socketType"), ["SSL", "STARTTLS", "SSL", "SSL", "STARTTLS"]);
    assert.deepEqual(new Set(texts(answer.body, "username")), new Set(["%EMAILADDRESS%"]));
  }
  const known = await ask("/.well-known/autoconfig/mail/config-v1.1.xml", { host: "example.org" });
  assert.equal(known.status, 200);
});

test("a target with a host of its own is about that host, whatever the Host field says", async () => {
  const policy = (target: string, host: string) => ask(target, { host });
  const path = "/.well-known/mta-sts.txt";
  assert.equal((await policy(`http://mta-sts.example.org${path}`, "other.test")).status, 200);
  assert.equal((await policy(`HTTPS://MTA-STS.Example.org:8443${path}`, "")).status, 200);
  assert.equal((await policy(`http://other.test${path}`, "mta-sts.example.org")).status, 404);
  assert.equal((await ask("http://other.test/mail/config-v1.1.xml")).status, 404);
  // That is a path, however it looks.
  assert.equal((await policy(`//mta-sts.example.org${path}`, "other.test")).status, 404);
});

test("Outlook gets the servers and the login, for the address in its question", async () => {
  const body =
    '<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>j&amp;b@Example.org</EMailAddress></Request></Autodiscover>';
  const answer = await ask("/Autodiscover/Autodiscover.xml", { method: "POST", body });
  assert.equal(answer.status, 200);
  assert.deepEqual(texts(answer.body, "Type"), ["IMAP", "IMAP", "POP3", "SMTP", "SMTP"]);
  assert.deepEqual(new Set(texts(answer.body, "LoginName")), new Set(["j&amp;b@Example.org"]));
  const other = await ask("/autodiscover/autodiscover.xml", {
    method: "POST",
    body: "<EMailAddress>joe@example.net</EMailAddress>",
  });
  assert.match(other.body, /<ErrorCode>500<\/ErrorCode>/);
  const bad = await ask("/autodiscover/autodiscover.xml", { method: "POST", body: "hello" });
  assert.match(bad.body, /<ErrorCode>600<\/ErrorCode>/);
  assert.equal((await ask("/autodiscover/autodiscover.xml")).status, 405);
  const where = await ask("/autodiscover/autodiscover.json?Email=a%40example.org&Protocol=AutodiscoverV1", {
    host: "autodiscover.example.org",
  });
  assert.equal(
    (JSON.parse(where.body) as { Url: string }).Url,
    "https://autodiscover.example.org/autodiscover/autodiscover.xml",
  );
});

test("Apple's profile is a property list with the account, the same for the same address", async () => {
  const answer = await ask("/email.mobileconfig?email=joe@example.org");
  assert.match(answer.body, /<key>EmailAccountType<\/key><string>EmailTypeIMAP<\/string>/);
  assert.match(answer.body, /<key>IncomingMailServerPortNumber<\/key><integer>993<\/integer>/);
  assert.match(answer.body, /<key>OutgoingMailServerUsername<\/key><string>joe@example\.org<\/string>/);
  assert.equal((await ask("/email.mobileconfig?email=joe@example.org")).body, answer.body);
  assert.notEqual((await ask("/email.mobileconfig?email=jane@example.org")).body, answer.body);
  assert.equal((await ask("/email.mobileconfig")).status, 400);
});

test("the MTA-STS policy is at its own name only", async () => {
  assert.equal((await ask("/.well-known/mta-sts.txt", { host: "mta-sts.example.org" })).body, "version: STSv1\r\n");
  assert.equal((await ask("/.well-known/mta-sts.txt", { host: "example.org" })).status, 404);
  assert.equal((await ask("/.well-known/mta-sts.txt", { host: "mta-sts.example.net" })).status, 404);
});

test("what cannot be found out is 503, what is not ours 404", async () => {
  assert.equal((await ask("/mail/config-v1.1.xml?emailaddress=a@slow.test")).status, 503);
  assert.equal((await ask("/mail/config-v1.1.xml?emailaddress=a@example.net")).status, 404);
  for (const target of ["/", "/mail", "/../etc/passwd", "/mail/config-v1.1.xml/x"])
    assert.equal((await ask(target)).status, 404, target);
});

test("no question makes it throw, and what it says is well-formed", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("GET", "POST", "PUT", "HEAD"),
      fc.oneof(fc.webPath(), fc.string(), fc.constant("/autodiscover/autodiscover.xml")),
      fc.string(),
      fc.string({ unit: "binary" }),
      async (method, target, host, body) => {
        const answer = await answerWeb({ method, target, host, body }, sources);
        assert.ok(answer.status >= 200 && answer.status < 600);
      },
    ),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const address = addressOfRequest(`<EMailAddress>${text}</EMailAddress>`);
      assert.ok(address === undefined || !address.includes("<"));
      const domain = domainOf(text);
      assert.ok(domain === undefined || /^[a-z0-9.-]+$/.test(domain));
    }),
  );
});
