import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { makeCertificate } from "../../test/peers/certificate.ts";
import { run } from "../../test/peers/running.ts";
import { treeOf } from "../../test/processes.ts";
import { freePort } from "../../test/server.ts";
import type { Contender, Wanted } from "./contender.ts";
import { makeScratch } from "./scratch.ts";

export const HARAKA_VERSION = "3.3.4";
/** Below its own ranges two packages have had releases that not every registry has; pinned, all runs measure the same. */
const OVERRIDES = { libmime: "5.4.9", libqp: "2.1.1" };
const WORKERS = 2;

/** Installs it into a scratch folder, without its optional plugins. Gives the program, or why there is none. */
export async function installHaraka(folder: string): Promise<{ program: string } | { problem: string }> {
  mkdirSync(folder, { recursive: true });
  const wanted = { private: true, dependencies: { haraka: HARAKA_VERSION }, overrides: OVERRIDES };
  writeFileSync(join(folder, "package.json"), JSON.stringify(wanted));
  const argv = ["install", "--prefix", folder, "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, output } = await run("npm", argv, "", 180_000);
  const program = join(folder, "node_modules", "haraka", "bin", "haraka");
  if (status === 0 && existsSync(program)) return { program };
  const [why] = output.split("\n").filter((line) => line.startsWith("npm error") && !line.includes("code"));
  return { problem: `npm could not install haraka@${HARAKA_VERSION}: ${why ?? `status ${status}`}` };
}

/**
 * Haraka with two workers, as its documentation says for two cores, and its default sync level: it syncs each queue file, not the
 * folder. Of its plugins only TLS (where wanted) and our own of a few lines, which lets mail through to the outgoing queue,
 * names the next host, and the client without asking DNS. Kept mail is queued with outgoing delivery switched off
 * (`outbound.ini`: disabled).
 */
export async function startHaraka(program: string, { task, hasTls }: Wanted): Promise<Contender> {
  const folder = makeScratch("haraka");
  const port = await freePort();
  for (const name of ["plugins", "queue"]) mkdirSync(join(folder, name));
  // What `haraka -i` gives a new installation.
  cpSync(join(program, "..", "..", "config"), join(folder, "config"), { recursive: true });
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  write("config/smtp.ini", `listen=127.0.0.1:${port}\nnodes=${WORKERS}\n`);
  write("config/me", "haraka.test\n");
  write("config/host_list", "haraka.test\n");
  write("config/plugins", `${hasTls === true ? "tls\n" : ""}bench\n`);
  if (task.kind === "keep") write("config/outbound.ini", "disabled=true\n");
  if (hasTls === true) {
    const pair = await makeCertificate(folder);
    copyFileSync(pair.certificate, join(folder, "config", "tls_cert.pem"));
    copyFileSync(pair.key, join(folder, "config", "tls_key.pem"));
  }
  write(
    "plugins/bench.js",
    `exports.hook_connect = (next, connection) => { connection.relaying = true; next(); };
exports.hook_lookup_rdns = (next) => next(OK, "localhost");
exports.hook_rcpt = (next) => next(OK);
exports.hook_get_mx = (next) => next(OK, { exchange: "127.0.0.1", port: ${task.kind === "relay" ? task.to : 9}, priority: 0 });
`,
  );
  const log = join(folder, "haraka.log");
  const out = openSync(log, "a");
  const child = spawn(process.execPath, [program, "-c", folder], { cwd: folder, stdio: ["ignore", out, out] });
  const { pid } = child;
  if (pid === undefined) throw new Error("Haraka could not be started");
  const stop = async (): Promise<void> => {
    const members = treeOf(pid);
    const over = child.exitCode === null ? once(child, "exit") : Promise.resolve();
    child.kill("SIGTERM");
    await Promise.race([over, wait(3000, undefined, { ref: false })]);
    for (const member of members)
      try {
        process.kill(member.pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
  };
  try {
    await untilGreeting(port, () => child.exitCode !== null);
  } catch (error) {
    await stop();
    throw new Error(`Haraka did not start:\n${readFileSync(log, "utf8").slice(-2000)}`, { cause: error });
  }
  return {
    name: "Haraka",
    ports: [port],
    pid,
    list: { command: [process.execPath, [program, "-c", folder, "--qlist"]], row: /^Q: / },
    [Symbol.asyncDispose]: stop,
  };
}

/** Its workers listen one after the other, the first before any is ready. */
async function untilGreeting(port: number, isOver: () => boolean): Promise<void> {
  const untilAt = performance.now() + 30_000;
  for (let greetings = 0; greetings < 5;) {
    if (isOver() || performance.now() > untilAt) throw new Error("no greeting");
    const socket = connect(port, "127.0.0.1");
    const heard = once(socket, "data", { signal: AbortSignal.timeout(5000) }).then(
      () => true,
      () => false,
    );
    if (await heard) greetings += 1;
    else await wait(100);
    socket.destroy();
  }
}
