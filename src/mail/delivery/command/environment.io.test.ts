import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { mailFor } from "../../../testing/local-mail.ts";
import { mailboxNames } from "../mailbox/path-template.ts";
import { commandEnvironment, commandText, harmless } from "./environment.ts";

const user = { name: "alice", home: "/home/alice", shell: "/bin/bash" };

test("a command knows of the mail what Postfix would tell it", () => {
  const { message, envelope } = mailFor("deliver", 1, { recipient: "Alice+News@Example.org" });
  const environment = commandEnvironment({
    message: {
      ...message,
      origin: { ...message.origin, address: "192.0.2.7", helo: "mx.example.net", account: "bob" },
    },
    envelope: { ...envelope, via: ["team@example.org"] },
    names: mailboxNames(envelope.recipient, "+"),
    user,
    path: "/bin",
  });
  assert.deepEqual(environment, {
    PATH: "/bin",
    HOME: "/home/alice",
    SHELL: "/bin/bash",
    USER: "alice",
    LOGNAME: "alice",
    SENDER: "bob@example.net",
    RECIPIENT: "Alice+News@Example.org",
    ORIGINAL_RECIPIENT: "team@example.org",
    LOCAL: "alice+news",
    EXTENSION: "news",
    DOMAIN: "example.org",
    CLIENT_ADDRESS: "192.0.2.7",
    CLIENT_HOSTNAME: "unknown",
    CLIENT_HELO: "mx.example.net",
    CLIENT_PROTOCOL: "ESMTP",
    SASL_USERNAME: "bob",
    QUEUE_ID: message.id,
    ENVELOPE_ID: envelope.id,
  });
});

test("names in a command become variables; unknown ones, and the shell's own, stay", () => {
  assert.equal(
    commandText("deliver -d \"{user}\" -f {sender} ${HOME} {other} '{extension}'"),
    "deliver -d \"${USER}\" -f ${SENDER} ${HOME} {other} '${EXTENSION}'",
  );
});

test("values hold nothing that a shell would take for more than text, quoted or not", () => {
  assert.equal(harmless("a;b|c$(d)`e`'f'\"g\" *?[h]~\\\n\0"), "a_b_c__d__e__f__g_____h_____");
  assert.equal(harmless("-rf"), "_rf");
  assert.equal(harmless("bücher@例え.example"), "bücher@例え.example");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.doesNotMatch(harmless(text), /[\s;|&$()`'"*?[\]{}~\\<>#^]|^-/);
    }),
  );
});

test("whatever an address holds, the shell passes it on as one word and runs nothing", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (text) => {
      const value = harmless(text);
      const run = spawnSync("/bin/sh", ["-c", commandText('printf "%s." {sender} "{sender}"')], {
        env: { SENDER: value },
        encoding: "utf8",
      });
      assert.equal(run.stdout, `${value}.${value}.`);
      assert.equal(run.stderr, "");
    }),
    { numRuns: 40 },
  );
});
