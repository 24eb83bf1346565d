import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { seededRandom } from "../../foundation/random.ts";
import { openTable } from "../table/open-backend.io.ts";
import { processSettings } from "../table/process/settings.ts";
import type { Authenticator } from "./authenticator.ts";
import { makeAuthenticator } from "./make-authenticator.io.ts";
import { accountsSettings } from "./settings.ts";
import { trustIn } from "../../testing/trust.ts";

/** A program in shell that registers services and answers as the script says (`$op`, `$service`, `$id`, `$key`). */
function shell(services: readonly string[], script: string): readonly string[] {
  return [
    "/bin/sh",
    "-c",
    `while read -r line && [ "$line" != "config|ready" ]; do :; done
     for service in ${services.join(" ")} ready; do echo "register|$service"; done
     while IFS='|' read -r _ _ _ _ op service id key; do ${script}; done`,
  ];
}

async function withProgram(
  command: readonly string[],
  work: (authenticator: Authenticator, findings: readonly string[]) => Promise<void>,
): Promise<void> {
  const findings: string[] = [];
  const world = {
    clock: systemClock,
    random: seededRandom(1),
    trust: trustIn(),
    onFinding: ({ text }: { text: string }) => void findings.push(text),
    secrets: {},
  };
  const options = processSettings.parse({ command });
  const opened = await openTable("people", { kind: "process", options, wildcards: true, timeoutMs: 5000 }, world);
  const { authenticator, close } = await makeAuthenticator(accountsSettings.parse("table:people"), {
    clock: systemClock,
    random: seededRandom(1),
    trust: trustIn(),
    table: () => opened.table,
    source: () => undefined,
    system: { checkSystemPassword: () => Promise.resolve({ kind: "wrong" }) },
    secrets: { accounts: {}, tables: {} },
    loginSecret: new Uint8Array(32),
  });
  try {
    await work(authenticator, findings);
  } finally {
    close();
    await opened.close();
  }
}

test("a program that compares passwords itself is asked to; what is right is remembered for a while", async () => {
  const script = `case "$key" in
      "joe:right|1") [ -z "$asked" ] && echo "check-result|$id|found" || echo "check-result|$id|error|asked again"; asked=1;;
      down:*) echo "check-result|$id|error|no directory";;
      *) echo "check-result|$id|not-found";;
    esac`;
  await withProgram(shell(["auth"], script), async (authenticator, findings) => {
    assert.deepEqual(await authenticator.checkPassword("joe", "wrong"), { kind: "wrong" });
    assert.deepEqual(await authenticator.checkPassword("Joe", "right|1"), { kind: "right", account: "joe" });
    assert.deepEqual(await authenticator.checkPassword("joe", "right|1"), { kind: "right", account: "joe" });
    const failed = await authenticator.checkPassword("down", "x");
    assert.ok(failed.kind === "failed" && failed.text.includes("no directory"));
    // The first colon ends the account, the first line feed the request: neither may make another's password right.
    for (const [user, password] of [
      ["joe:right|1\ntable", "x"],
      ["joe", "right|1\n"],
      ["joe:", "right|1"],
      ["", "x"],
      ["joe", ""],
    ] as const)
      assert.deepEqual(await authenticator.checkPassword(user, password), { kind: "wrong" });
    assert.deepEqual(findings, []);
  });
});

test("a program without that is asked for what is kept of the password", async () => {
  const script = `[ "$service:$key" = credentials:joe ] && echo "lookup-result|$id|found|{PLAIN}secret" || echo "lookup-result|$id|not-found"`;
  await withProgram(shell(["credentials"], script), async (authenticator) => {
    assert.deepEqual(await authenticator.checkPassword("joe", "secret"), { kind: "right", account: "joe" });
    assert.deepEqual(await authenticator.checkPassword("joe", "other"), { kind: "wrong" });
    assert.deepEqual(await authenticator.checkPassword("jim", "secret"), { kind: "wrong" });
  });
});
