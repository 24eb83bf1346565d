/**
 * What the TLS engine costs beside plain `tls.TLSSocket`: `node bench/tls.ts [--rounds 9] [--only bare,whole,memory]
 * [--quick] [--save]`.
 *
 * Bare: two small servers that differ in nothing but TLS (`tls-subject.ts`). Whole: two Posthorns of one process, one of
 * them with plain TLS in the engine's place (`tls-plain-hook.ts`). Both of a pair run beside each other and take turns at
 * each cell, after a warm-up that does not count; the figures are CPU of the server's process alone, as the kernel counts
 * it, so that what else the machine does matters little. Medians over the rounds, in brackets the smallest and largest.
 * The marks: a full handshake at most 1.5 times (bare), a mail of 10 KiB at most 1.3 times (whole).
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { setTimeout as wait } from "node:timers/promises";
import { generate } from "selfsigned";
import { pssKiBOf } from "../test/processes.ts";
import { ROOT, startServer } from "../test/server.ts";
import { median } from "./comparison/figures.ts";
import { cpuMsOf, inGroups, openHanded } from "./tls-load.ts";
import { contentOf, inParallel, open, type Dialogue } from "./tls-mail-client.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    rounds: { type: "string", default: "9" },
    only: { type: "string", default: "bare,whole,memory" },
    quick: { type: "boolean", default: false },
    save: { type: "boolean", default: false },
  },
});
const ROUNDS = Number(options.rounds);
const PARTS = options.only.split(",");
const share = options.quick ? 0.25 : 1;
const KINDS = ["plain", "ours"] as const;
type Kind = (typeof KINDS)[number];
const RECIPIENT = "recipient@bench.test";
const CONTENT = contentOf(10 * 1024);
const SESSIONS = 8;
const IDLE_SESSIONS = 1000;

interface Subject extends AsyncDisposable {
  readonly kind: Kind;
  readonly port: number;
  readonly pid: number;
}

interface Cell {
  readonly name: string;
  readonly count: number;
  readonly mark?: number;
  /** Gets ready what does not count, and gives the work that does. */
  readonly prepare: (subject: Subject, count: number) => Promise<{ run(): Promise<void>; after?(): Promise<void> }>;
}

interface Row {
  readonly name: string;
  readonly mark?: number | undefined;
  readonly samples: Readonly<Record<Kind, readonly number[]>>;
}

/** From the connection to its end in good order, with nothing said but the greeting and the goodbye. */
function handshakes(name: string, count: number, more: { isResumed?: boolean; mark?: number } = {}): Cell {
  return {
    name,
    count: Math.round(count * share),
    ...(more.mark === undefined ? {} : { mark: more.mark }),
    async prepare({ port }, times) {
      const session = more.isResumed === true ? await sessionOf(port) : undefined;
      return {
        run: () =>
          inParallel(times, SESSIONS, async () => {
            const dialogue = await open({ port, session });
            if (dialogue.socket.isSessionReused() !== (session !== undefined))
              throw new Error(`${name}: the session was ${session === undefined ? "" : "not "}resumed`);
            await dialogue.quit();
          }),
      };
    },
  };
}

async function sessionOf(port: number): Promise<Buffer> {
  const dialogue = await open({ port });
  const session = await dialogue.session();
  await dialogue.quit();
  return session;
}

function mails(name: string, count: number, mark?: number): Cell {
  return {
    name,
    count: Math.round(count * share),
    ...(mark === undefined ? {} : { mark }),
    async prepare({ port }, times) {
      const dialogues: Dialogue[] = [];
      for (let at = 0; at < SESSIONS; at++) {
        const dialogue = await open({ port });
        await dialogue.say("EHLO client.bench.test\r\n");
        dialogues.push(dialogue);
      }
      return {
        run: () => inParallel(times, SESSIONS, async (worker) => dialogues[worker]?.mail(CONTENT, RECIPIENT)),
        async after() {
          for (const dialogue of dialogues) await dialogue.quit();
        },
      };
    },
  };
}

async function measure(cells: readonly Cell[], subjects: readonly Subject[], warmUps: number): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const cell of cells) {
    const samples: Record<Kind, number[]> = { plain: [], ours: [] };
    for (const subject of subjects) await sample(cell, subject, Math.max(cell.count, warmUps));
    for (let round = 0; round < ROUNDS; round++) {
      // Each of them is first as often as the other.
      for (const subject of round % 2 === 0 ? subjects : subjects.toReversed())
        samples[subject.kind].push(await sample(cell, subject, cell.count));
    }
    rows.push({ name: cell.name, mark: cell.mark, samples });
    process.stderr.write(`${lineOf(rows.at(-1) ?? { name: "", samples })}\n`);
  }
  return rows;
}

/** Milliseconds of CPU for one. What follows the last one (garbage, the log) belongs to the price. */
async function sample(cell: Cell, { pid, ...subject }: Subject, count: number): Promise<number> {
  const work = await cell.prepare({ ...subject, pid }, count);
  const before = await cpuAtRest(pid);
  await work.run();
  const took = (await cpuAtRest(pid)) - before;
  await work.after?.();
  return took / count;
}

async function cpuAtRest(pid: number): Promise<number> {
  let last = cpuMsOf(pid);
  for (let looks = 0; looks < 30; looks++) {
    await wait(100);
    const now = cpuMsOf(pid);
    if (now - last < 2) return now;
    last = now;
  }
  return last;
}

async function bareSubject(kind: Kind, keyType: "ec" | "rsa"): Promise<Subject> {
  const made = await generate([{ name: "commonName", value: "mx.bench.test" }], {
    keyType,
    ...(keyType === "rsa" ? { keySize: 2048 } : { curve: "P-256" as const }),
    algorithm: "sha256",
  });
  const orders = JSON.stringify({ engine: kind, cert: made.cert, key: made.private });
  const child = spawn(process.execPath, [join(ROOT, "bench", "tls-subject.ts"), orders], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = await once(child.stdout, "data", { signal: AbortSignal.timeout(20_000) });
  return {
    kind,
    port: Number(String(line)),
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      const over = once(child, "exit");
      child.stdin.end();
      await over;
    },
  };
}

async function wholeSubject(kind: Kind): Promise<Subject> {
  const hook = pathToFileURL(join(ROOT, "bench", "tls-plain-hook.ts")).href;
  const server = await startServer({
    layout: "single",
    wholeSettings: `hostname: mx.bench.test
state: ./data
user: nobody
processes: { layout: single }
listeners: [{ name: smtps, address: 127.0.0.1, port: {smtps}, protocol: smtp, tls: implicit }]
actions: { nowhere: { deliver: discard } }
rules: [{ match: { for: bench.test }, action: nowhere }]
${openHanded("3s")}`,
    ...(kind === "plain" ? { env: { NODE_OPTIONS: `--import=${hook}` } } : {}),
  });
  return {
    kind,
    port: server.ports.smtps,
    pid: server.process.pid ?? 0,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function bareRows(): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const keyType of ["ec", "rsa"] as const) {
    await using plain = await bareSubject("plain", keyType);
    await using ours = await bareSubject("ours", keyType);
    const cells =
      keyType === "ec"
        ? [
            handshakes("full handshake, ECDSA P-256", 400, { mark: 1.5 }),
            handshakes("resumed handshake", 400, { isResumed: true }),
            mails("mail of 10 KiB, four round trips", 1500),
          ]
        : [handshakes("full handshake, RSA 2048", 300)];
    rows.push(...(await measure(cells, [plain, ours], 1200)));
  }
  return rows;
}

async function wholeRows(): Promise<readonly Row[]> {
  await using plain = await wholeSubject("plain");
  await using ours = await wholeSubject("ours");
  const cells = [
    handshakes("full handshake, greeting, QUIT", 300),
    mails("mail of 10 KiB over an open session", 1200, 1.3),
  ];
  return await measure(cells, [plain, ours], 1500);
}

/** Kilobytes (1000 bytes) that each of a thousand idle sessions adds to the server. */
async function memoryRows(): Promise<readonly Row[]> {
  const samples: Record<Kind, number[]> = { plain: [], ours: [] };
  for (let round = 0; round < 2; round++)
    for (const kind of KINDS) {
      await using subject = await wholeSubject(kind);
      const settle = async (): Promise<number> => {
        await wait(4000);
        return pssKiBOf(subject.pid);
      };
      // What the first sessions compile and load is no session's.
      await inParallel(300, SESSIONS, async () => (await open({ port: subject.port })).quit());
      const before = await settle();
      const dialogues = await inGroups(IDLE_SESSIONS, async () => {
        const dialogue = await open({ port: subject.port });
        await dialogue.say("EHLO client.bench.test\r\n");
        return dialogue;
      });
      const each = (((await settle()) - before) * 1.024) / IDLE_SESSIONS;
      samples[kind].push(each);
      process.stderr.write(`memory ${kind}: ${each.toFixed(1)} KB for each session\n`);
      for (const dialogue of dialogues) dialogue.socket.destroy();
    }
  return [{ name: `memory of an idle session after EHLO, one of ${IDLE_SESSIONS}`, samples }];
}

function ratioOf({ samples }: Row): number {
  return median(samples.ours) / median(samples.plain);
}

/** Median and range. */
function figure(values: readonly number[], digits: number): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} [${low.toFixed(digits)}–${high.toFixed(digits)}]`;
}

function lineOf(row: Row, digits = 3): string {
  const { mark, samples } = row;
  const ratio = ratioOf(row);
  const verdict = mark === undefined ? "" : ` (mark ${mark}: ${ratio <= mark ? "met" : "missed"})`;
  return `| ${row.name} | ${figure(samples.plain, digits)} | ${figure(samples.ours, digits)} | ${ratio.toFixed(2)}${verdict} |`;
}

function tableOf(title: string, unit: string, rows: readonly Row[], digits?: number): string {
  const head = [`### ${title}`, "", `| ${unit} | plain TLSSocket | the engine | ratio |`, "|---|---|---|---|"];
  return [...head, ...rows.map((row) => lineOf(row, digits))].join("\n");
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

const day = new Date().toISOString().slice(0, 10);
const loadBefore = loadavg()[0] ?? 0;
const marked: Row[] = [];
const parts: string[] = [];
if (PARTS.includes("bare")) {
  const rows = await bareRows();
  marked.push(...rows);
  parts.push(tableOf("Bare servers that differ in TLS alone", "CPU ms", rows));
}
if (PARTS.includes("whole")) {
  const rows = await wholeRows();
  marked.push(...rows);
  parts.push(tableOf("Posthorn in one process", "CPU ms", rows));
}
if (PARTS.includes("memory")) parts.push(tableOf("Memory", "KB", await memoryRows(), 1));
const circumstances = [
  `# ${day}: the TLS engine beside plain TLSSocket (${commit()})`,
  "",
  `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}; Node ${process.version}, OpenSSL ${process.versions.openssl}; ${ROUNDS} rounds in turns;`,
  `load average ${loadBefore.toFixed(1)} before, ${(loadavg()[0] ?? 0).toFixed(1)} after, the clients of the measurement among it. TLS 1.3, X25519MLKEM768 as both sides`,
  "like it best. CPU of the server's process, all threads; median [smallest–largest] of the rounds.",
].join("\n");
const text = `${[circumstances, ...parts].join("\n\n")}\n`;
process.stdout.write(`\n${text}`);
if (options.save) {
  const folder = join(ROOT, "bench", "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${day}-tls.md`), text);
}
if (marked.some((row) => row.mark !== undefined && ratioOf(row) > row.mark)) process.exitCode = 1;
