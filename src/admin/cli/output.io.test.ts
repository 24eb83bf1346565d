import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const bin = (program: string): string => fileURLToPath(new URL(`../../../bin/${program}.js`, import.meta.url));

/** `full`: a device on which no write succeeds. `gone`: a pipe whose reader has left. */
async function run(
  program: string,
  argv: readonly string[],
  to: { readonly stdout?: "full" | "gone"; readonly stderr?: "full" | "gone"; readonly stdin?: string },
): Promise<{ code: number | null; err: string }> {
  const full = openSync("/dev/full", "w");
  const child = spawn(process.execPath, [bin(program), ...argv], {
    stdio: ["pipe", to.stdout === "full" ? full : "pipe", to.stderr === "full" ? full : "pipe"],
  });
  closeSync(full);
  let err = "";
  child.stderr?.on("data", (bytes: Buffer) => (err += bytes.toString()));
  child.stdout?.resume();
  for (const name of ["stdout", "stderr"] as const) if (to[name] === "gone") child[name]?.destroy();
  child.stdin?.on("error", () => {});
  child.stdin?.end(to.stdin ?? "");
  await once(child, "exit");
  return { code: child.exitCode, err };
}

const BROKEN = [{ stdout: "full", stderr: "full" }, { stderr: "full" }, { stdout: "gone", stderr: "gone" }] as const;

test("the exit status of `send` says what became of the mail, also where nothing can be said of it", async () => {
  for (const to of BROKEN) {
    const nobody = ["send", "--server", "127.0.0.1:1", "bert@b.example"];
    assert.equal((await run("posthorn", nobody, { ...to, stdin: "Subject: x\n\nhello\n" })).code, 75);
    assert.equal((await run("posthorn", ["send"], { ...to, stdin: "Subject: x\n\nhello\n" })).code, 64);
  }
});

test("`send -bs` whose replies reach nobody does not end as if all went well", async () => {
  await using server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write("220 here.example\r\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  for (const stdout of ["full", "gone"] as const) {
    const { code, err } = await run("posthorn", ["send", "-bs", "--server", `127.0.0.1:${port}`], { stdout });
    assert.equal(code, 74);
    assert.match(err, /^posthorn send: the replies cannot be written: [^\n]*\n$/);
  }
});

test("output that cannot be written is an error in one line, but who has read enough is content", async () => {
  for (const [program, argv] of [
    ["posthorn", ["help"]],
    ["posthorn", ["send", "--help"]],
    ["posthornd", ["--help"]],
    ["posthornd", ["--version"]],
  ] as const) {
    const { code, err } = await run(program, argv, { stdout: "full" });
    assert.match(err, new RegExp(`^${program}: standard output cannot be written: ENOSPC[^\\n]*\\n$`));
    assert.equal(code, 74);
    assert.deepEqual(await run(program, argv, { stdout: "gone" }), { code: 0, err: "" });
  }
});

test("errors that nobody can read leave the exit status as it is", async () => {
  for (const to of BROKEN) {
    assert.equal((await run("posthorn", ["nonsense"], to)).code, 64);
    assert.equal((await run("posthornd", ["-n", "-f", "/nowhere/posthorn.yaml"], to)).code, 78);
  }
});
