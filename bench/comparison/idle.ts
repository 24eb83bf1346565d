import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { pssKiBOf } from "../../test/processes.ts";
import { inGroups } from "../tls-load.ts";
import { attempt } from "./attempt.ts";
import type { Contender, Wanted } from "./contender.ts";
import type { Field } from "./contenders.ts";
import type { Figures } from "./figures.ts";
import { isOurs } from "./contender.ts";
import { portsFor } from "./opensmtpd.ts";
import type { Plan } from "./plan.ts";

export const IDLE = "idle";

export function idleCell(sessions: number, hasTls: boolean): string {
  return `${sessions.toLocaleString("en")} sessions, ${hasTls ? "STARTTLS" : "plain"}`;
}

/** Memory of open sessions that have said EHLO (after STARTTLS, where there is TLS) and wait; PSS of all processes. */
export async function measureIdle(
  plan: Plan,
  counts: readonly number[],
  field: Field,
  figures: Figures,
): Promise<void> {
  const cells = plan.marksOnly
    ? ([[1000, true]] as const)
    : counts.flatMap((sessions) => [[sessions, false] as const, [sessions, true] as const]);
  figures.note(
    IDLE,
    "Memory is PSS of all processes of a server, so that what they share counts once. It includes what a server keeps for sessions in sum, not what the kernel keeps for their sockets.",
  );
  for (const [sessions, hasTls] of cells)
    for (const name of field.names) {
      if (plan.marksOnly && !isOurs(name)) continue;
      const wanted: Wanted = { task: { kind: "keep" }, hasTls, sessions };
      if (!field.able(wanted).includes(name)) continue;
      // Ours are what the marks are about: each is the first of its kind.
      const kind = `${IDLE} ${sessions} ${hasTls} ${isOurs(name) ? name : "others"}`;
      if (!plan.budget.allowsAnother(kind)) {
        figures.note(IDLE, `${name}, ${idleCell(sessions, hasTls)}: left out, the time was over.`);
        continue;
      }
      const startedAt = performance.now();
      const cell = idleCell(sessions, hasTls);
      await attempt({ part: IDLE, name, what: cell }, plan, figures, async () => {
        await using stack = plan.owner();
        const contender = stack.use(await field.start(name, wanted));
        const { idleMB, eachKB } = await memoryOf(contender, sessions, hasTls);
        const offered = hasTls ? ", STARTTLS offered" : "";
        if (sessions === 1000) figures.add(IDLE, `without any${offered}`, "memory", name, idleMB);
        figures.add(IDLE, cell, "session", name, eachKB);
        plan.progress(`idle ${cell} ${name}: ${idleMB.toFixed(0)} MB before, ${eachKB.toFixed(1)} KB each`);
      });
      plan.budget.took(kind, performance.now() - startedAt);
    }
}

async function memoryOf(
  contender: Contender,
  sessions: number,
  hasTls: boolean,
): Promise<{ idleMB: number; eachKB: number }> {
  const ports = contender.name === "OpenSMTPD" ? portsFor(contender.ports, sessions) : contender.ports;
  let turn = 0;
  const open = (): Promise<Socket> => openSession(ports[turn++ % ports.length] ?? contender.ports[0], hasTls);
  // What the first sessions compile and load is no session's.
  for (const socket of await inGroups(200, open)) socket.destroy();
  await wait(4000);
  const idleKiB = pssKiBOf(contender.pid);
  const sockets = await inGroups(sessions, open);
  await wait(4000);
  const loadedKiB = pssKiBOf(contender.pid);
  const alive = sockets.filter((socket) => !socket.destroyed && socket.readyState === "open").length;
  for (const socket of sockets) socket.destroy();
  if (alive < sessions) throw new Error(`${sessions - alive} of ${sessions} sessions were closed by the server`);
  return { idleMB: (idleKiB * 1024) / 1e6, eachKB: ((loadedKiB - idleKiB) * 1024) / sessions / 1000 };
}

async function openSession(port: number, hasTls: boolean): Promise<Socket> {
  const raw = connect(port, "127.0.0.1");
  raw.on("error", () => {});
  await hear(raw, /^220 .*\r\n/m);
  await say(raw, "EHLO client.bench.test\r\n");
  if (!hasTls) return raw;
  await say(raw, "STARTTLS\r\n", /^220 .*\r\n/m);
  const socket = connectTls({ socket: raw, rejectUnauthorized: false, servername: "localhost", ecdhCurve: "X25519" });
  socket.on("error", () => {});
  await once(socket, "secureConnect", { signal: AbortSignal.timeout(60_000) });
  await say(socket, "EHLO client.bench.test\r\n");
  return socket;
}

async function say(socket: Socket, line: string, pattern = /^250 .*\r\n/m): Promise<void> {
  const heard = hear(socket, pattern);
  socket.write(line);
  await heard;
}

async function hear(socket: Socket, pattern: RegExp): Promise<void> {
  let heard = "";
  while (!pattern.test(heard)) {
    if (/^[45]\d\d /m.test(heard)) throw new Error(`a session was refused: ${heard.trim()}`);
    const [bytes] = await once(socket, "data", { signal: AbortSignal.timeout(60_000) });
    heard += String(bytes);
  }
}
