import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startPeer } from "../../test/peers/running.ts";
import { freePort } from "../../test/server.ts";
import type { Contender, Task, Wanted } from "./contender.ts";

/** Its queue of waiting connections is five long, and that is compiled in: more make clients wait seconds to try again. */
const SESSIONS_PER_PORT = 5;
const PORTS = 20;

/**
 * Debian's opensmtpd. So that nothing but its own work is measured: it listens on twenty ports, over which the load is spread; names
 * are looked up in /etc/hosts alone, for it asks DNS about each client; its queue is on the same disk as everybody's;
 * and it may open connections to the next host as fast as it likes, where its default is one in five seconds. Kept mail is
 * queued with its agent for outgoing mail paused.
 */
export async function startDebiansOpensmtpd({ task }: Wanted): Promise<Contender> {
  const ports: number[] = [];
  while (ports.length < PORTS) ports.push(await freePort());
  const peer = await startPeer({
    name: "opensmtpd",
    prepare(folder) {
      writeFileSync(join(folder, "smtpd.conf"), settingsFor(folder, ports, task));
      return Promise.resolve({
        command: ["sh", "-c", `${before(folder)} && exec smtpd -d -f ${folder}/smtpd.conf >${folder}/smtpd.log 2>&1`],
        at: ports[0] ?? 0,
        mails: "mail/new/*",
        log: "smtpd.log",
      });
    },
  });
  const inside = ["-t", String(peer.pid), "-m", "smtpctl"];
  if (task.kind === "keep") execFileSync("nsenter", [...inside, "pause", "mta"], { timeout: 20_000 });
  return {
    name: "OpenSMTPD",
    ports: [Number(peer.at), ...ports.slice(1)],
    pid: peer.pid,
    mailbox: join(peer.folder, "mail", "new"),
    list: { command: ["nsenter", [...inside, "show", "queue"]], row: /^[0-9a-f]{16}\|/ },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}

/** Over how many of its ports the sessions go. */
export function portsFor(ports: Contender["ports"], sessions: number): Contender["ports"] {
  const [first, ...rest] = ports;
  return [first, ...rest.slice(0, Math.ceil(sessions / SESSIONS_PER_PORT) - 1)];
}

/** In its own namespace: the folders of its queue, and of its control socket, whose program must have a group's rights. */
function before(folder: string): string {
  return [
    `mkdir -p ${folder}/spool /var/spool/smtpd /var/lib/opensmtpd/empty`,
    `mount --bind ${folder}/spool /var/spool/smtpd`,
    "chmod 711 /var/spool/smtpd",
    "mount -t tmpfs tmpfs /run",
    "chgrp opensmtpq /usr/sbin/smtpctl && chmod 2755 /usr/sbin/smtpctl",
    "printf 'lookup file\\nnameserver 127.0.0.1\\n' >/etc/resolv.conf",
  ].join(" && ");
}

function settingsFor(folder: string, ports: readonly number[], task: Task): string {
  const delays = ["host", "route", "source", "connector", "relay", "domain"].map((what) => `conn-delay-${what} 0`);
  const listeners = ports.map((port) => `listen on 127.0.0.1 port ${port} hostname opensmtpd.test`);
  const local =
    task.kind === "local"
      ? [
          'table everybody { "@" = "opensmtpd" }',
          `action "box" maildir "${folder}/mail" virtual <everybody>`,
          'match from any for domain "bench.test" action "box"',
        ]
      : [
          `action "out" relay host smtp://127.0.0.1:${task.kind === "relay" ? task.to : 9}`,
          'match from any for any action "out"',
        ];
  // Else a session with more than a hundred messages is refused the next one.
  const limits = [`mta limit ${delays.join(" ")}`, "smtp limit max-mails 1000000"];
  return `${[...limits, ...listeners, ...local].join("\n")}\n`;
}
