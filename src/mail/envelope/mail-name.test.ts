import assert from "node:assert/strict";
import { test } from "node:test";
import { mailNameOf, postmasterAt } from "./mail-name.ts";

const host = "mail.example.org";
const nameOf = (...items: readonly string[]) => mailNameOf({ domains: { kind: "list", items } }, host);

test("users without a domain are those of the host's name where that is local, else of the first local domain", async () => {
  assert.equal(await nameOf("example.org", "localhost"), "example.org");
  assert.equal(await nameOf("example.org", "Mail.Example.ORG"), host);
  assert.equal(await nameOf("*.example.org", "example.org"), host);
  assert.equal(await nameOf("!mail.example.org", "*.example.org", "example.org"), "example.org");
  assert.equal(await nameOf("*.example.net"), host);
  assert.equal(await mailNameOf({ domains: undefined }, host), host);
  assert.equal(await mailNameOf({ domains: { kind: "table", name: "domains" } }, host), host);
});

test("postmaster is told at the first domain that is ours by name, else at the host's name", () => {
  const at = (...items: readonly string[]) => postmasterAt({ domains: { kind: "list", items } }, host);
  assert.equal(at("example.org", "mail.example.org"), "postmaster@example.org");
  assert.equal(at("*.example.org", "example.net"), "postmaster@example.net");
  // Not the name that every host has for itself: strangers read it, and a smarthost may get it.
  assert.equal(at("localhost", "localhost.localdomain", "[192.0.2.1]", "example.org"), "postmaster@example.org");
  assert.equal(at("localhost"), `postmaster@${host}`);
  assert.equal(postmasterAt({ domains: { kind: "table", name: "domains" } }, host), `postmaster@${host}`);
});
