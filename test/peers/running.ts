import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { TestContext } from "node:test";
import { treeOf } from "../processes.ts";
import { ROOT } from "../server.ts";

/** Where test/peers/install.sh unpacked the mail servers. */
const PEERS = process.env["POSTHORN_PEERS"] ?? "/opt/posthorn-peers";

/** A foreign mail server that runs on loopback, in an empty folder of its own. */
export interface RunningPeer extends AsyncDisposable {
  readonly name: string;
  /** A TCP port, or the path of a unix socket. */
  readonly at: number | string;
  readonly pid: number;
  readonly folder: string;
  /** The mails that it delivered, as text. */
  mails(): readonly string[];
  waitForMails(count: number, withinMs?: number): Promise<readonly string[]>;
  /** What it logged. */
  log(): string;
}

/** Runs a program of a peer's package as if that were installed; gives program and arguments for `spawn`. */
export function inPeer(peer: string, command: readonly string[]): readonly [string, readonly string[]] {
  return [join(ROOT, "test", "peers", "enter.sh"), [join(PEERS, peer), ...command]];
}

/**
 * Whether a mail server is there and can be run (unpacked, and we are root). Without it the test is skipped by name, or
 * fails when peers are required.
 */
export function hasPeer(peer: string, t: TestContext): boolean {
  const isThere = existsSync(join(PEERS, peer, ".packages")) && process.getuid?.() === 0;
  if (isThere) return true;
  const text = `the mail server ${peer} is not there (test/peers/install.sh, as root, installs it)`;
  if (process.env["POSTHORN_REQUIRE_PEERS"] === "1") throw new Error(text);
  t.skip(text);
  return false;
}

export interface PeerPlan {
  readonly name: string;
  /** Gets the peer's folder, already made; writes its settings there and says how it is started and reached. */
  readonly prepare: (folder: string) => Promise<{
    readonly command: readonly string[];
    readonly at: number | string;
    /** Folders or patterns below the folder, whose files are delivered mails. */
    readonly mails: string;
    readonly log: string;
  }>;
}

export async function startPeer(plan: PeerPlan): Promise<RunningPeer> {
  const folder = mkdtempSync(join(tmpdir(), `posthorn-${plan.name}-`));
  // Peers become users of their own.
  chmodSync(folder, 0o777);
  mkdirSync(join(folder, "mail"));
  chmodSync(join(folder, "mail"), 0o777);
  const prepared = await plan.prepare(folder);
  const [program, argv] = inPeer(plan.name, prepared.command);
  let output = "";
  const child = spawn(program, argv, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], detached: true });
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (output += bytes.toString()));
  const { pid } = child;
  if (pid === undefined) throw new Error(`${plan.name} could not be started`);
  const log = (): string => {
    const path = join(folder, prepared.log);
    return `${output}${existsSync(path) ? readFileSync(path, "utf8") : ""}`;
  };
  const peer: RunningPeer = {
    name: plan.name,
    at: prepared.at,
    pid,
    folder,
    log,
    mails: () => globSync(prepared.mails, { cwd: folder }).map((file) => readFileSync(join(folder, file), "latin1")),
    async waitForMails(count, withinMs = 60_000) {
      const untilAt = Date.now() + withinMs;
      for (;;) {
        const mails = peer.mails();
        if (mails.length >= count) return mails;
        if (Date.now() > untilAt)
          throw new Error(`${plan.name} has ${mails.length} of ${count} mails after ${withinMs} ms:\n${log()}`);
        await wait(50);
      }
    },
    async [Symbol.asyncDispose]() {
      // Mail servers leave the process group they were started in, so each process is ended by itself.
      const members = treeOf(pid);
      for (const member of members) end(member.pid, "SIGTERM");
      if (child.exitCode === null && child.signalCode === null)
        await Promise.race([once(child, "exit"), wait(2000, undefined, { ref: false })]);
      for (const member of [...members, ...treeOf(pid)]) end(member.pid, "SIGKILL");
      child.stdout.destroy();
      child.stderr.destroy();
      if (process.env["POSTHORN_KEEP"] === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
  const untilAt = Date.now() + 60_000;
  while (!(await answers(prepared.at))) {
    if (child.exitCode !== null || Date.now() > untilAt) {
      const text = log();
      await peer[Symbol.asyncDispose]();
      throw new Error(`${plan.name} did not start:\n${text}`);
    }
    await wait(50);
  }
  return peer;
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}

function answers(at: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = typeof at === "number" ? connect(at, "127.0.0.1") : connect(at);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Runs a program to its end, or kills it after `withinMs` and gives status -1; for swaks and the like. */
export async function run(
  program: string,
  argv: readonly string[],
  input: string | Uint8Array = "",
  withinMs = 60_000,
): Promise<{ status: number; output: string }> {
  const child = spawn(program, argv, { stdio: ["pipe", "pipe", "pipe"], timeout: withinMs, killSignal: "SIGKILL" });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString("latin1")));
  child.stderr.on("data", (bytes: Buffer) => (output += bytes.toString("latin1")));
  // A program that ends without having read all of its input is judged by its status.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [status] = await once(child, "close");
  return { status: typeof status === "number" ? status : -1, output };
}

/**
 * Runs a program that is typed into: each line goes in (CRLF added) when all that came out since the line before matches
 * the pattern in front of it. Gives the status and all output; a program that does not go on is killed after `withinMs`.
 */
export async function converse(
  program: string,
  argv: readonly string[],
  steps: readonly (readonly [RegExp, string])[],
  withinMs = 60_000,
): Promise<{ status: number; output: string }> {
  const child = spawn(program, argv, { stdio: ["pipe", "pipe", "pipe"], timeout: withinMs, killSignal: "SIGKILL" });
  let output = "";
  let seenUntil = 0;
  const left = [...steps];
  const take = (bytes: Buffer): void => {
    output += bytes.toString("latin1");
    const [next] = left;
    if (next === undefined || !next[0].test(output.slice(seenUntil))) return;
    seenUntil = output.length;
    left.shift();
    child.stdin.write(`${next[1]}\r\n`);
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  child.stdin.on("error", () => {});
  const [status] = await once(child, "close");
  return { status: typeof status === "number" ? status : -1, output };
}
