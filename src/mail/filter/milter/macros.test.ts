import assert from "node:assert/strict";
import { test } from "node:test";
import type { MilterAgreement } from "../../../protocol/milter/negotiation.ts";
import { testFacts } from "../../../testing/filter-mail.ts";
import { clientOf, macroSource, type MacroMoment } from "./macros.ts";
import { milterSettings } from "./settings.ts";

const AGREED: MilterAgreement = { version: 6, actions: 0, steps: 0, macros: new Map() };

function macrosAt(
  stage: Parameters<ReturnType<typeof macroSource>["at"]>[0],
  moment: MacroMoment,
  settings: object = {},
  agreed: MilterAgreement = AGREED,
): Record<string, string> {
  const source = macroSource(milterSettings.parse({ address: "inet:127.0.0.1:1", ...settings }), "1.2.3");
  return Object.fromEntries(source.at(stage, moment, agreed));
}

test("a client without a verified name is unknown, and its lookup failed", () => {
  const facts = testFacts({ client: { address: "192.0.2.5", port: 7 } });
  const macros = macrosAt("connect", { facts });
  assert.equal(macros["_"], "unknown [192.0.2.5]");
  assert.equal(macros["{client_name}"], "unknown");
  assert.equal(macros["{client_resolve}"], "FAIL");
  assert.equal(macros["{client_addr}"], "192.0.2.5");
  assert.equal(macros["{client_port}"], "7");
});

test("a client on a unix socket is this machine, by the address that milters know it by", () => {
  const facts = testFacts({ client: {}, server: undefined });
  assert.equal(macrosAt("connect", { facts })["_"], "localhost [127.0.0.1]");
  assert.equal(macrosAt("connect", { facts })["{client_addr}"], "127.0.0.1");
  assert.equal(macrosAt("connect", { facts })["{daemon_addr}"], undefined);
  assert.deepEqual(clientOf(facts), { hostname: "localhost", family: "ip4", address: "127.0.0.1", port: 0 });
});

test("an IPv6 client is named without its zone", () => {
  const facts = testFacts({ client: { address: "fe80::1%eth0", port: 9 } });
  assert.deepEqual(clientOf(facts), { hostname: "unknown", family: "ip6", address: "fe80::1", port: 9 });
});

test("macros of encryption are there only with encryption, with what the client showed", () => {
  assert.deepEqual(macrosAt("helo", { facts: testFacts() }), {});
  const certificate = { subject: "CN=client", issuer: "CN=authority", isVerified: false };
  const tls = { version: "TLSv1.2", cipher: "C", bits: 128, certificate };
  assert.deepEqual(macrosAt("helo", { facts: testFacts({ tls }) }), {
    "{tls_version}": "TLSv1.2",
    "{cipher}": "C",
    "{cipher_bits}": "128",
    "{cert_subject}": "CN=client",
    "{cert_issuer}": "CN=authority",
    "{verify}": "FAIL",
  });
});

test("who the client submits for is the AUTH parameter of MAIL, decoded", () => {
  const author = (...parameters: string[]) =>
    macrosAt("mail", { facts: testFacts({}, { parameters }) })["{auth_author}"];
  assert.equal(author("SIZE=1", "AUTH=a+2Bb@example.org"), "a+b@example.org");
  assert.equal(author("AUTH=<>"), undefined);
  assert.equal(author("AUTH=+ZZ"), undefined);
});

test("a refused recipient is an error, with its reply", () => {
  const recipient = { address: "bob@example.org", refused: "550 5.1.1 Unknown user" };
  const {
    "{rcpt_mailer}": mailer,
    "{rcpt_host}": host,
    "{rcpt_addr}": address,
  } = macrosAt("rcpt", {
    facts: testFacts(),
    recipient,
  });
  assert.deepEqual([mailer, host, address], ["error", "5.1.1", "550 5.1.1 Unknown user"]);
});

test("the end of a mail knows its Message-ID", () => {
  assert.deepEqual(macrosAt("endOfMessage", { facts: testFacts(), messageId: "<1@x>" }), {
    i: "3f8Q0000000000001",
    "{msg_id}": "<1@x>",
  });
});

test("settings choose names, give values, and add macros of their own", () => {
  const settings = { macros: { daemon_name: "MSA", "{site}": "north" }, macrosAt: { connect: ["j", "daemon_name"] } };
  assert.deepEqual(macrosAt("connect", { facts: testFacts() }, settings), {
    j: "mx.example.org",
    "{daemon_name}": "MSA",
    "{site}": "north",
  });
  assert.deepEqual(macrosAt("mail", { facts: testFacts() }, { macrosAt: { mail: ["{client_addr}", "{nothing}"] } }), {
    "{client_addr}": "192.0.2.99",
  });
});

test("what a milter chose itself goes before the settings", () => {
  const agreed = { ...AGREED, macros: new Map([["connect" as const, ["client_port", "v"]]]) };
  assert.deepEqual(macrosAt("connect", { facts: testFacts() }, { macrosAt: { connect: ["j"] } }, agreed), {
    "{client_port}": "40000",
    v: "Posthorn 1.2.3",
  });
});
