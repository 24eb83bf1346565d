import assert from "node:assert/strict";
import { test } from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../../foundation/clock.io.ts";
import { systemRandom } from "../../../foundation/random.io.ts";
import type { KeyedBackend } from "../keyed-backend.ts";
import { openTable } from "../open-backend.io.ts";
import { tableSuite } from "../table.suite.ts";
import type { TableAnswer, TableService } from "../table.ts";
import { processBackend } from "./process.io.ts";
import { processSettings } from "./settings.ts";
import { trustIn } from "../../../testing/trust.ts";

const EXAMPLE = fileURLToPath(new URL("../../../../docs/examples/table-program.py", import.meta.url));

tableSuite(
  "process",
  async (entries) => {
    const directory = mkdtempSync(join(tmpdir(), "posthorn-process-"));
    const file = join(directory, "people");
    const names: Partial<Record<TableService, string>> = { network: "netaddr", addressname: "addrname" };
    const fill = (): void =>
      writeFileSync(
        file,
        entries.map(({ service, key, value }) => `${names[service] ?? service}\t${key}\t${value}\n`).join(""),
      );
    fill();
    const opened = await openTable(
      "t",
      {
        kind: "process",
        options: processSettings.parse({ command: ["/usr/bin/python3", EXAMPLE, file] }),
        wildcards: true,
        timeoutMs: 5000,
      },
      { clock: systemClock, random: systemRandom, trust: trustIn(), onFinding: () => {}, secrets: {} },
    );
    return {
      table: opened.table,
      close: () => opened.close(),
      fail: () => Promise.resolve(rmSync(file)),
      recover: () => Promise.resolve(fill()),
      async [Symbol.asyncDispose]() {
        await opened.close();
        rmSync(directory, { recursive: true });
      },
    };
  },
  // The program is asked whether it has the address, and knows best.
  { networks: false },
);

interface Opened extends AsyncDisposable {
  readonly backend: KeyedBackend;
  readonly findings: string[];
  get(service: TableService, key: string, signal?: AbortSignal): Promise<TableAnswer>;
}

function open(command: readonly string[], more: Readonly<Record<string, unknown>> = {}): Opened {
  const findings: string[] = [];
  const backend = processBackend("t", processSettings.parse({ command, ...more }), {
    clock: systemClock,
    random: systemRandom,
    onFinding: ({ text }) => void findings.push(text),
  });
  return {
    backend,
    findings,
    get: (service, key, signal) => backend.get(key, { service, signal }),
    [Symbol.asyncDispose]: () => backend.close(),
  };
}

/** A program in shell that registers aliases and then does as the script says with each request (`$id`, `$key`). */
function shell(script: string): readonly string[] {
  return [
    "/bin/sh",
    "-c",
    `while read -r line && [ "$line" != "config|ready" ]; do :; done
     echo "register|alias"; echo "register|ready"
     while IFS='|' read -r _ _ _ _ _ _ id key; do ${script}; done`,
  ];
}

const failure = (answer: TableAnswer): string => (answer.kind === "failed" ? answer.text : JSON.stringify(answer));

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 3000; tries++) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("it did not come to that within a minute");
}

test("the example program of the manual answers each operation, and follows its file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-process-"));
  try {
    const file = join(directory, "people");
    writeFileSync(
      file,
      "alias\tpostmaster\tjoe, jane|x\nuserinfo\tjoe\t1000:1000:/home/joe\ndomain\texample.org\nsource\t192.0.2.1\nsource\t192.0.2.2\n",
    );
    await using table = open(["/usr/bin/python3", EXAMPLE, file]);
    const value = async (service: TableService, key: string): Promise<string> => {
      const answer = await table.get(service, key);
      return answer.kind === "found" ? answer.value : failure(answer);
    };
    assert.equal(await value("alias", "postmaster"), "joe, jane|x");
    assert.equal(await value("userinfo", "joe"), "1000:1000:/home/joe");
    assert.deepEqual(await table.get("alias", "nobody"), { kind: "none" });
    assert.deepEqual(await table.get("domain", "example.org"), { kind: "found", value: "", where: "t:domain" });
    assert.deepEqual(await table.get("domain", "example.com"), { kind: "none" });
    assert.deepEqual(
      [await value("source", "x"), await value("source", "x"), await value("source", "x")],
      ["192.0.2.1", "192.0.2.2", "192.0.2.1"],
    );
    writeFileSync(file, "alias\tpostmaster\tsomebody.else\n");
    assert.equal(await value("alias", "postmaster"), "somebody.else");
    rmSync(file);
    assert.match(await value("alias", "postmaster"), /^table t: process \/usr\/bin\/python3 said .*No such file/);
    assert.deepEqual(table.findings, []);
    const { state, pool } = table.backend.health();
    assert.deepEqual([state, pool], ["down", { open: 1, busy: 0, waiting: 0, most: 1000 }]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("many requests are under way at once, and each gets its own answer", async () => {
  await using table = open([
    "/usr/bin/python3",
    "-uc",
    `
import sys
while sys.stdin.readline() != "config|ready\\n": pass
print("register|alias\\nregister|ready")
waiting = []
for line in sys.stdin:
    waiting.append(line.rstrip().split("|"))
    if len(waiting) == 50:
        for fields in reversed(waiting): print(f"lookup-result|{fields[6]}|found|for {fields[7]}")
`,
  ]);
  const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => table.get("alias", `key ${n}`)));
  assert.deepEqual(
    answers.map((answer) => answer.kind === "found" && answer.value),
    Array.from({ length: 50 }, (_, n) => `for key ${n}`),
  );
});

test("a program that ends fails what was asked of it, and answers again after its restart", async () => {
  await using table = open(shell('[ "$key" = die ] && exit 3; echo "lookup-result|$id|found|pid $$"'));
  const before = await table.get("alias", "x");
  assert.match(failure(await table.get("alias", "die")), /^table t: process \/bin\/sh ended with code 3$/);
  assert.match(failure(await table.get("alias", "x")), /rests: it ended with code 3/);
  assert.equal(table.backend.health().state, "down");
  assert.match(table.findings.join("\n"), /^process \/bin\/sh ended with code 3; it is started again in [\d.]+m?s$/);
  await until(async () => (await table.get("alias", "x")).kind === "found");
  assert.notDeepEqual(await table.get("alias", "x"), before);
  assert.equal(table.backend.health().state, "up");
});

test("a program that hangs is killed with its children, and its requests fail", async () => {
  // The child would keep the output open, and outlive its parent.
  await using table = open(shell('[ "$key" = hang ] && { sleep 987 & wait; }; echo "lookup-result|$id|found|yes"'), {
    deadline: "2s",
  });
  assert.equal((await table.get("alias", "x")).kind, "found");
  const began = Date.now();
  const [hung, behind] = await Promise.all([table.get("alias", "hang"), table.get("alias", "x")]);
  assert.match(failure(hung), /did not answer within 2s/);
  assert.match(failure(behind), /did not answer within 2s/);
  assert.ok(Date.now() - began < 60_000);
  await until(async () => (await table.get("alias", "x")).kind === "found");
});

test("a lookup that was given up fails at once, and its late answer troubles nobody", async () => {
  await using table = open(shell('[ "$key" = slow ] && sleep 0.3; echo "lookup-result|$id|found|$key"'));
  assert.equal((await table.get("alias", "x")).kind, "found");
  const slow = table.get("alias", "slow", AbortSignal.timeout(50));
  assert.match(failure(await slow), /was not waited for any longer/);
  assert.deepEqual(await table.get("alias", "x"), { kind: "found", value: "x", where: "t:alias" });
  assert.deepEqual(table.findings, []);
});

test("a program that cannot be started, speaks otherwise or never finishes the handshake is a failure that says so", async () => {
  const said = async (command: readonly string[], deadline = "30s"): Promise<string> => {
    await using table = open(command, { deadline });
    return failure(await table.get("alias", "x"));
  };
  assert.match(await said(["/nonexistent/program"]), /cannot be started: .*ENOENT/);
  assert.match(await said(["/bin/echo", "Hello"]), /speaks another protocol: it answered the handshake with "Hello"/);
  assert.match(await said(["/bin/cat"]), /speaks another protocol: .*config\|smtpd-version/);
  assert.match(await said(["/bin/sleep", "100"], "300ms"), /did not (finish the handshake|answer) within 300ms/);
});

test("what a program writes besides answers is told, and does not stop it", async () => {
  await using table = open(shell('echo debug; echo "no route to host" >&2; echo "lookup-result|$id|found|yes"'));
  assert.equal((await table.get("alias", "x")).kind, "found");
  await until(() => table.findings.length === 2);
  assert.deepEqual(table.findings.toSorted(), [
    'process /bin/sh says "no route to host"',
    'process /bin/sh wrote "debug", which is no result',
  ]);
});

test("a program that writes nothing but nonsense, or lines without end, is killed; findings stay few", async () => {
  await using table = open(shell("yes nonsense"), { deadline: "60s" });
  assert.match(failure(await table.get("alias", "x")), /wrote 100 lines in a row that answer nothing/);
  assert.ok(table.findings.length <= 60, `${table.findings.length} findings`);
  await using endless = open(shell("tr '\\\\0' x < /dev/zero"), { deadline: "60s" });
  assert.match(failure(await endless.get("alias", "x")), /wrote a line of more than 1048576 bytes/);
});

test("more requests than are allowed to wait fail at once", async () => {
  await using table = open(shell(":"), { mostRequests: 2, deadline: "300ms" });
  const waiting = [table.get("alias", "a"), table.get("alias", "b")];
  assert.match(failure(await table.get("alias", "c")), /has 2 requests to answer already/);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ kind }) => kind),
    ["failed", "failed"],
  );
});

test("a closed table starts no program any more, and ends the one that ignores the end of its input", async () => {
  const table = open(["/bin/sh", "-c", "echo 'register|alias'; echo 'register|ready'; exec sleep 1000"]);
  const waiting = table.get("alias", "x");
  const began = Date.now();
  await table.backend.close();
  assert.match(failure(await waiting), /was closed/);
  assert.match(failure(await table.get("alias", "x")), /was closed/);
  assert.ok(Date.now() - began < 60_000);
  assert.deepEqual(table.findings, []);
});
