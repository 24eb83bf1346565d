/**
 * Posthorn as its users run it: the real program in processes of its own, on loopback ports, in an empty folder. For the
 * tests of the whole server, the peers and the benchmarks.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "./processes.ts";

export const ROOT = resolve(import.meta.dirname, "..");
export type Layout = "single" | "split";
export const LAYOUTS: readonly Layout[] = ["single", "split"];

export interface TestServer extends AsyncDisposable {
  readonly folder: string;
  readonly layout: Layout;
  readonly ports: { readonly smtp: number; readonly submission: number; readonly smtps: number };
  readonly process: ChildProcess;
  /** All that the server wrote to stdout and stderr so far. */
  output(): string;
  /** Waits until `output` matches, or fails with what there is after `withinMs`. */
  waitForOutput(pattern: RegExp, withinMs?: number): Promise<RegExpMatchArray>;
  /** Runs `posthorn ...` against this server. */
  posthorn(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }>;
  /** The mails in a local user's Maildir (new and cur), as text. */
  mailsOf(user: string): readonly string[];
  waitForMails(user: string, count: number, withinMs?: number): Promise<readonly string[]>;
  /** Writes other settings (appended to the harness's own, or whole) for the next reload or start. */
  rewrite(written: Pick<ServerOptions, "settings" | "wholeSettings">): void;
  /** The processes of the server by what they are: `scheduler`, `ingress-1`. A single one has none. */
  workers(): ReadonlyMap<string, number>;
  /** SIGTERM, and waits for the end. Gives the exit status. */
  stop(): Promise<number | null>;
  /** SIGKILL to the whole process group: what a power cut leaves of processes. */
  kill(): Promise<void>;
}

export interface ServerOptions {
  readonly layout?: Layout;
  /** Settings in YAML, appended to the harness's own (listeners, layout, state). */
  readonly settings?: string;
  /** Replaces the harness's settings; `{smtp}` and so on are replaced by port numbers. */
  readonly wholeSettings?: string;
  /** The name of the settings' file, where they are code: posthorn.config.ts, with `wholeSettings`. */
  readonly settingsFile?: string;
  readonly folder?: string;
  readonly ports?: TestServer["ports"];
  readonly verbose?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Wraps the command: strace and the like. */
  readonly wrapper?: readonly string[];
  /** What it gets from descriptor 3 on. */
  readonly descriptors?: readonly number[];
  readonly readyWithinMs?: number;
  /** What the server writes when it is up, where that is not the log's line. */
  readonly readyWhen?: RegExp;
  /** A checkout of another version, whose server and client are run. */
  readonly tree?: string;
  /** Gets the number of the process, and of its group, as soon as there is one: for those who kill it before it is up. */
  readonly onSpawn?: (pid: number) => void;
}

/**
 * A port that nobody listens on. From below the range that the system gives to outgoing connections, and at random: test
 * files run beside each other, and a port taken from the system is free for anybody until somebody listens on it. Whoever
 * gets one may listen much later, so it is written down whose it is, for tests in other processes to see.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_240, 32_000);
    if (!takePort(port)) continue;
    if (await isFree(port)) return port;
  }
}

const TAKEN_PORTS = join(tmpdir(), `posthorn-test-ports-${process.getuid?.() ?? 0}`);
const ownPorts = new Set<number>();

/** Makes a file of the port's name, which lives as long as this process. */
function takePort(port: number): boolean {
  if (ownPorts.has(port)) return false;
  if (ownPorts.size === 0) {
    mkdirSync(TAKEN_PORTS, { recursive: true });
    process.once("exit", () => {
      for (const own of ownPorts) rmSync(join(TAKEN_PORTS, String(own)), { force: true });
    });
  }
  const file = join(TAKEN_PORTS, String(port));
  try {
    writeFileSync(file, String(process.pid), { flag: "wx" });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    // It outlives a process that was killed; then the port is anybody's, the next time.
    if (!isHeld(file)) rmSync(file, { force: true });
    return false;
  }
  ownPorts.add(port);
  return true;
}

function isHeld(file: string): boolean {
  try {
    process.kill(Number(readFileSync(file, "utf8")), 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const layout = options.layout ?? "single";
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "posthorn-test-"));
  mkdirSync(folder, { recursive: true });
  // The workers of a split server are somebody else.
  chmodSync(folder, 0o755);
  const ports = options.ports ?? { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  const file = join(folder, options.settingsFile ?? "posthorn.yaml");
  const write: TestServer["rewrite"] = ({ settings, wholeSettings }) => {
    // Root's default is split workers of a user posthorn, whom a machine may have or not: a test says whom it means.
    if (wholeSettings !== undefined && !/\buser:|layout: *"?single/.test(wholeSettings))
      throw new Error("whole settings of a test need user (nobody) or processes.layout: single");
    writeFileSync(
      file,
      (wholeSettings ?? `${ownSettings(layout)}\n${settings ?? ""}\n`).replace(
        /\{(smtp|submission|smtps)\}/g,
        (whole, name: string) =>
          name === "smtp" || name === "submission" || name === "smtps" ? String(ports[name]) : whole,
      ),
    );
  };
  write(options);
  const command = [...(options.wrapper ?? []), process.execPath];
  const tree = options.tree ?? ROOT;
  const [program = "", ...wrapped] = command;
  const child = spawn(
    program,
    [...wrapped, join(tree, "bin", "posthornd.js"), options.verbose === true ? "-dv" : "-d", "-f", file],
    {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe", ...(options.descriptors ?? [])],
      detached: true,
      env: { ...process.env, ...emitted(layout), ...options.env },
    },
  );
  if (child.pid !== undefined) options.onSpawn?.(child.pid);
  let output = "";
  const collect = (bytes: Buffer): void => {
    output += bytes.toString();
    if (output.length > 4_000_000) output = output.slice(-2_000_000);
  };
  child.stdout?.on("data", collect);
  child.stderr?.on("data", collect);
  let isOver = false;
  const over = once(child, "exit").then(([code]) => {
    isOver = true;
    return typeof code === "number" ? code : null;
  });
  const killGroup = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // Everybody is gone already.
    }
  };

  const server: TestServer = {
    folder,
    layout,
    ports,
    process: child,
    output: () => output,
    async waitForOutput(pattern, withinMs = 60_000) {
      const untilAt = Date.now() + withinMs;
      for (;;) {
        const match = pattern.exec(output);
        if (match !== null) return match;
        if (isOver) throw new Error(`the server ended before it said ${pattern}:\n${output}`);
        if (Date.now() > untilAt)
          throw new Error(`the server did not say ${pattern} within ${withinMs} ms:\n${output.slice(-6000)}`);
        await wait(20);
      }
    },
    async posthorn(...argv) {
      const cli = spawn(process.execPath, [join(tree, "bin", "posthorn.js"), ...argv, "--file", file], {
        cwd: folder,
        stdio: ["ignore", "pipe", "pipe"],
      });
      let stdout = "";
      let stderr = "";
      cli.stdout.on("data", (bytes: Buffer) => (stdout += bytes.toString()));
      cli.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()));
      const [status] = await once(cli, "close");
      return { status: typeof status === "number" ? status : -1, stdout, stderr };
    },
    mailsOf(user) {
      return ["new", "cur"].flatMap((part) => {
        const place = join(folder, "data", "mail", user, "Maildir", part);
        if (!existsSync(place)) return [];
        return readdirSync(place).map((name) => readFileSync(join(place, name), "latin1"));
      });
    },
    async waitForMails(user, count, withinMs = 60_000) {
      const untilAt = Date.now() + withinMs;
      for (;;) {
        const mails = server.mailsOf(user);
        if (mails.length >= count) return mails;
        if (Date.now() > untilAt)
          throw new Error(
            `${user} has ${mails.length} of ${count} mails after ${withinMs} ms:\n${output.slice(-6000)}`,
          );
        await wait(25);
      }
    },
    rewrite: write,
    workers() {
      const titles = treeOf(child.pid ?? 0).map(
        ({ pid }) => [/^posthorn: (\S+)/.exec(commandLineOf(pid))?.[1] ?? "", pid] as const,
      );
      return new Map(titles.filter(([title]) => title !== ""));
    },
    async stop() {
      if (!isOver) child.kill("SIGTERM");
      const status = await Promise.race([over, wait(60_000, undefined, { ref: false })]);
      if (status === undefined) {
        killGroup("SIGKILL");
        throw new Error(`the server did not stop within 60 s:\n${output.slice(-6000)}`);
      }
      return status;
    },
    async kill() {
      killGroup("SIGKILL");
      await over;
      if (child.pid !== undefined) await groupEnd(child.pid);
    },
    async [Symbol.asyncDispose]() {
      if (!isOver) {
        child.kill("SIGTERM");
        await Promise.race([over, wait(30_000, undefined, { ref: false })]);
      }
      killGroup("SIGKILL");
      if (options.folder === undefined && process.env["POSTHORN_KEEP"] === undefined)
        rmSync(folder, { recursive: true, force: true });
      else appendFileSync(join(folder, "output.log"), output);
    },
  };
  try {
    await server.waitForOutput(options.readyWhen ?? /daemon started/, options.readyWithinMs ?? 90_000);
  } catch (error) {
    killGroup("SIGKILL");
    if (child.pid !== undefined) await groupEnd(child.pid);
    throw error;
  }
  return server;
}

/** The test command runs split servers from emitted JavaScript (`tools/test.ts`), single ones from the sources. */
function emitted(layout: Layout): Readonly<Record<string, string>> {
  return layout === "split" && process.env["POSTHORN_SPLIT_FROM"] === "emitted" ? { POSTHORN_EMITTED: "1" } : {};
}

/** Resolves when nobody of a process group lives any more: a killed worker holds its port and the queue for a moment. */
async function groupEnd(group: number, withinMs = 60_000): Promise<void> {
  const untilAt = Date.now() + withinMs;
  while (isAlive(group)) {
    if (Date.now() > untilAt) throw new Error(`processes of group ${group} live on ${withinMs} ms after SIGKILL`);
    await wait(10);
  }
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

function isAlive(group: number): boolean {
  return readdirSync("/proc").some((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const [state, , ofGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(ofGroup) === group && state !== "Z" && state !== "X";
    } catch {
      return false;
    }
  });
}

function ownSettings(layout: Layout): string {
  return `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 2, egress: 2 }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp }
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission }
  - { name: smtps, address: 127.0.0.1, port: {smtps}, protocol: submission, tls: implicit }
`;
}
