import assert from "node:assert/strict";
import { test } from "node:test";
import { changeOf } from "./tls-changes.ts";

test("starts, reloads, new certificates and lost processes are changes on our side; other events are none", () => {
  assert.deepEqual(changeOf("server.started", { version: "1.2", settings: "/etc/p.yaml" }), {
    what: "start",
    text: "the server started: version 1.2, settings /etc/p.yaml",
  });
  assert.match(changeOf("server.reloaded", { by: "SIGHUP", changed: [] })?.text ?? "", /nothing in them differs/);
  assert.equal(changeOf("tls.certificate-taken", { source: "a.pem", until: "May" })?.what, "certificate");
  assert.equal(changeOf("worker.lost", { worker: "ingress-1", how: "signal 9" })?.what, "process");
  assert.equal(changeOf("session.tls", {}), undefined);
  assert.equal(changeOf("toString", {}), undefined);
});

test("of many changed settings the first are named and the others counted, within a bound", () => {
  const changed = Array.from({ length: 20 }, (_, at) => `listeners.${at}.tls`);
  assert.match(changeOf("server.reloaded", { by: "x", changed })?.text ?? "", /listeners\.7\.tls and 12 more$/);
  assert.ok((changeOf("server.reloaded", { by: "x".repeat(10_000), changed })?.text.length ?? 0) <= 500);
});
