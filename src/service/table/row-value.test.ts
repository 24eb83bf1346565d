import assert from "node:assert/strict";
import { test } from "node:test";
import { rowValue, type Row } from "./row-value.ts";
import type { TableService } from "./table.ts";

function told(service: TableService, ...rows: Row[]): string {
  const value = rowValue(service, rows);
  return value.kind === "found" ? `found ${value.value}` : value.kind;
}

test("rows become the text that a file would have", () => {
  assert.equal(told("alias"), "none");
  assert.equal(told("alias", ["a"], ["b"]), "found a, b");
  assert.equal(told("alias", ["a", null, "b"], [null]), "found a, b");
  assert.equal(told("alias", [null]), "none");
  assert.equal(told("credentials", ["{PLAIN}a: b"]), "found {PLAIN}a: b");
  assert.equal(told("credentials", ["user", "password"]), "found user:password");
  assert.equal(told("userinfo", ["1", "2", "/h"]), "found 1:2:/h");
  assert.equal(told("userinfo", ["1:2:/h"]), "found 1:2:/h");
  assert.equal(told("certificate", ["/c", "/k"]), "found /c /k");
});

test("a password that is not there is nobody's", () => {
  assert.equal(told("credentials", [null]), "none");
  assert.equal(told("credentials", ["user", null]), "none");
});

test("where one value is meant, several are a failure", () => {
  for (const service of ["credentials", "userinfo", "tls-policy", "certificate", "addressname"] as const)
    assert.equal(told(service, ["a"], ["b"]), "failed", service);
  assert.equal(told("userinfo", ["1", null, "/h"]), "failed");
});

test("a count of none and a false are no members", () => {
  assert.equal(told("domain"), "none");
  for (const no of ["0", "f", "false", "FALSE", null]) assert.equal(told("domain", [no]), "none", String(no));
  for (const yes of ["1", "t", "example.org", ""]) assert.equal(told("domain", [yes]), "found ", yes);
  assert.equal(told("network", ["0", "0"]), "found ");
});
