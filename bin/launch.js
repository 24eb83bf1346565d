/**
 * Starts Posthorn under a Node that can run it. Kept in the JavaScript of older Nodes: a global or npx installation may
 * start this file with whatever Node the machine has, and then the pinned Node 24 that came with the package is used.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import module, { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const LEAST_NODE_MAJOR = 24;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** The program's entry: the sources in a clone, the emitted JavaScript in an installed package (or when asked for). */
function entry() {
  const source = join(root, "src", "main.ts");
  const emitted = join(root, "dist", "main.js");
  const prefersEmitted = process.env.POSTHORN_EMITTED === "1" || !existsSync(source);
  return prefersEmitted ? emitted : source;
}

/** The Node binary that npm installed beside us, or undefined. */
function pinnedNode() {
  const name = `node-${process.platform}-${process.arch}`;
  try {
    const binary = join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), "bin", "node");
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}

/** Sockets that systemd bound for this process (sd_listen_fds(3)): the real one gets them, under the same numbers. */
function inheritedSockets() {
  const count = Number(process.env.LISTEN_PID) === process.pid ? Number(process.env.LISTEN_FDS) : 0;
  return Array.from({ length: Number.isInteger(count) && count > 0 ? count : 0 }, (_, index) => 3 + index);
}

export async function launch(program) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= LEAST_NODE_MAJOR) {
    // What Node compiles is kept, and with it the types it had to strip: a start from the sources is as quick as from
    // JavaScript then, and without the type stripper the process is 80 MB smaller. It lies within the program, for whoever
    // may write there decides what runs: in the folder for temporary files, Node's default, that would be everybody.
    if (existsSync(join(root, "node_modules")))
      module.enableCompileCache(join(root, "node_modules", ".cache", "posthorn"));
    const main = await import(pathToFileURL(entry()).href);
    await main.main(program, process.argv.slice(2));
    return;
  }
  const node = pinnedNode();
  if (node === undefined) {
    process.stderr.write(
      `${program}: needs Node ${LEAST_NODE_MAJOR} or newer, but this is Node ${process.versions.node} (${process.execPath}),\n` +
        `and the pinned Node that npm installs beside Posthorn is not there (optional dependency for ${process.platform}-${process.arch}).\n` +
        `Install again without --omit=optional, or start it with a newer Node: node ${process.argv[1]}\n`,
    );
    process.exitCode = 78;
    return;
  }
  const sockets = inheritedSockets();
  const child = spawn(node, process.argv.slice(1), {
    stdio: ["inherit", "inherit", "inherit", ...sockets],
    env: sockets.length === 0 ? process.env : { ...process.env, LISTEN_PID: `after ${process.pid}` },
  });
  const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"];
  for (const signal of forwarded) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`${program}: cannot start ${node}: ${error.message}\n`);
    process.exitCode = 78;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 1);
    for (const name of forwarded) process.removeAllListeners(name);
  });
}
