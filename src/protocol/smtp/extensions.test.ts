import { test } from "node:test";
import assert from "node:assert/strict";
import {
  announcedLimits,
  authMechanisms,
  formatExtensions,
  limitsExtension,
  offers,
  parseExtensions,
  sizeLimit,
} from "./extensions.ts";
import { reply } from "./reply.ts";

test("an answer to EHLO is read: name, keywords in any case, parameters", () => {
  const extensions = parseExtensions(
    reply(
      250,
      undefined,
      "mx.example greets you",
      "size 1000",
      "Auth PLAIN login",
      "AUTH=LOGIN CRAM-MD5",
      "8BITMIME",
      "???",
    ),
  );
  assert.equal(extensions.name, "mx.example");
  assert.ok(offers(extensions, "8BITMIME") && !offers(extensions, "???") && !offers(extensions, "DSN"));
  assert.equal(sizeLimit(extensions), 1000);
  assert.deepEqual(authMechanisms(extensions), ["PLAIN", "LOGIN", "CRAM-MD5"]);
});

test("RFC 1870: SIZE without a number, or with zero, is no limit", () => {
  assert.equal(sizeLimit(parseExtensions(reply(250, undefined, "mx", "SIZE"))), undefined);
  assert.equal(sizeLimit(parseExtensions(reply(250, undefined, "mx", "SIZE 0"))), undefined);
  assert.equal(sizeLimit(parseExtensions(reply(250, undefined, "mx", "SIZE many"))), undefined);
  const large = parseExtensions(reply(250, undefined, "mx", "SIZE 99999999999999999999"));
  assert.equal(sizeLimit(large), Number.MAX_SAFE_INTEGER);
  assert.equal(sizeLimit(parseExtensions(reply(250, undefined, "mx"))), undefined);
});

test("RFC 9422: what is announced is read back, what is not understood is ignored", () => {
  const limits = { mailMax: 20, rcptMax: 100, rcptDomainMax: undefined };
  const extension = limitsExtension(limits);
  assert.ok(extension);
  const lines = formatExtensions("mx", [extension, { keyword: "DSN" }]);
  assert.deepEqual(lines, ["mx", "LIMITS MAILMAX=20 RCPTMAX=100", "DSN"]);
  assert.deepEqual(announcedLimits(parseExtensions(reply(250, undefined, ...lines))), limits);
  const odd = parseExtensions(reply(250, undefined, "mx", "LIMITS MAILMAX=0 RCPTMAX=x FOO=1 RCPTDOMAINMAX=1"));
  assert.deepEqual(announcedLimits(odd), { mailMax: undefined, rcptMax: undefined, rcptDomainMax: 1 });
  assert.equal(limitsExtension({}), undefined);
});
