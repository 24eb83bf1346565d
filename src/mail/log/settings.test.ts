import assert from "node:assert/strict";
import { test } from "node:test";
import { journalSettings, logSettings, parseLogTarget } from "./settings.ts";

test("without settings the log goes where the way of starting says, and the journal keeps thirty days", () => {
  assert.deepEqual(logSettings.parse({}).to, { kind: "auto" });
  assert.equal(journalSettings.parse({}).retention, 30 * 86_400_000);
});

test("every way of writing a target is understood, with the registered port when none is given", () => {
  assert.deepEqual(parseLogTarget("file:/var/log/posthorn.log"), { kind: "file", path: "/var/log/posthorn.log" });
  assert.deepEqual(parseLogTarget("syslog+udp://log.example"), { kind: "udp", host: "log.example", port: 514 });
  assert.deepEqual(parseLogTarget("syslog+tcp://[2001:db8::1]:6514"), { kind: "tcp", host: "2001:db8::1", port: 6514 });
  assert.deepEqual(parseLogTarget("syslog+unix:/run/log"), { kind: "unix", path: "/run/log" });
});

test("a target that cannot be understood is refused with what is allowed", () => {
  for (const to of [
    "",
    "syslog+udp://",
    "file:",
    "file:relative",
    "syslog+tcp://h:0",
    "syslog+tcp://h:70000",
    "console",
  ]) {
    const result = logSettings.safeParse({ to });
    assert.equal(result.success, false, to);
    assert.match(result.error?.issues[0]?.message ?? "", /syslog\+udp:\/\/host:514/);
  }
});
