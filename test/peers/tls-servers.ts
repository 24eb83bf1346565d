import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { tlsClientEngine } from "../../src/service/tls/client.io.ts";
import { freePort, startServer, type TestServer } from "../server.ts";
import { makeCertificate } from "./certificate.ts";
import { startExim } from "./exim.ts";
import { startOpensmtpd } from "./opensmtpd.ts";
import { startPostfix } from "./postfix.ts";
import { swaks } from "./swaks.ts";
import type { RunningPeer } from "./running.ts";
import type { TlsRun } from "./tls-closes.ts";
import { POSTFIX_COMPLAINS, watchLog } from "./tls-watch.ts";

type Version = NonNullable<TlsRun["version"]>;
const WAYS = ["STARTTLS", "implicit"] as const;
const VERSIONS: readonly Version[] = ["TLSv1.2", "TLSv1.3"];
const CLOSE_MS = 3000;

/** Mail servers that we deliver to, and the two tools that only speak TLS. */
export async function serverRuns(): Promise<readonly TlsRun[]> {
  return [...(await toolRuns()), ...(await mailServerRuns())];
}

interface Target {
  readonly peer: string;
  readonly domain: string;
  readonly start: (ports: Readonly<Record<(typeof WAYS)[number], number>>) => Promise<RunningPeer>;
  /** It offers TLS, and every handshake fails by its own fault. */
  readonly isBroken?: boolean;
  readonly complains: RegExp;
}

const targets: readonly Target[] = [
  {
    peer: "postfix",
    domain: "postfix.test",
    start: (ports) =>
      startPostfix({
        hasTls: true,
        services: [
          `127.0.0.1:${ports.STARTTLS} inet n - n - - smtpd`,
          `127.0.0.1:${ports.implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes`,
        ],
      }),
    complains: POSTFIX_COMPLAINS,
  },
  {
    peer: "exim4",
    domain: "exim.test",
    start: (ports) =>
      startExim({
        hasTls: true,
        ports: [ports.STARTTLS, ports.implicit],
        settings: [`tls_on_connect_ports = ${ports.implicit}`, "log_selector = +smtp_connection +smtp_no_mail"],
      }),
    complains: /TLS (?:error|session)|gnutls_|lost/,
  },
  {
    peer: "opensmtpd",
    domain: "opensmtpd.test",
    isBroken: true,
    start: (ports) =>
      startOpensmtpd({
        hasTls: true,
        listeners: [
          `listen on 127.0.0.1 port ${ports.STARTTLS} tls pki opensmtpd.test hostname opensmtpd.test`,
          `listen on 127.0.0.1 port ${ports.implicit} smtps pki opensmtpd.test hostname opensmtpd.test`,
        ],
      }),
    complains: /never: its complaints are its own/,
  },
];

async function mailServerRuns(): Promise<readonly TlsRun[]> {
  const ports = { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  await using stack = new AsyncDisposableStack();
  const plans = [];
  for (const target of targets) {
    const at = { STARTTLS: await freePort(), implicit: await freePort() };
    const peer = stack.use(await target.start(at));
    for (const way of WAYS)
      for (const version of target.isBroken === true ? [undefined] : VERSIONS)
        plans.push({ target, peer, way, version, port: at[way], name: `way${plans.length}` });
  }
  const relays = plans.map(
    ({ way, name, port, target }) =>
      `  ${name}: { relay: { to: "${way === "implicit" ? "smtps" : target.isBroken === true ? "smtp+tls" : "tls"}://127.0.0.1:${port}", verify: no } }`,
  );
  const rules = plans.map(
    ({ target, name }) => `  - { match: { rcptTo: "${name}@${target.domain}" }, action: ${name} }`,
  );
  // What a port is spoken to with; changed between the runs of the two versions.
  const settingsFor = (version: Version): string => `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: split, ingress: 1, egress: 1 }
listeners: [{ name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp }]
delivery: { tls: { policy: { "127.0.0.1": { level: may, minVersion: ${version}, maxVersion: ${version}, tickets: false } } } }
route: { keepOpen: 0s }
log: { format: json }
actions:
${relays.join("\n")}
rules:
${rules.join("\n")}
`;
  const runs: TlsRun[] = [];
  for (const version of VERSIONS) {
    await using server = await startServer({
      ports,
      readyWhen: /"server\.started"/,
      wholeSettings: settingsFor(version),
    });
    for (const plan of plans)
      if (plan.version === version || (plan.version === undefined && version === "TLSv1.3"))
        runs.push(await targetRun(plan, server));
  }
  return runs.toSorted((one, other) => orderOf(one) - orderOf(other));
}

function orderOf({ peer }: TlsRun): number {
  return targets.findIndex((target) => target.peer === peer);
}

async function targetRun(
  plan: { target: Target; peer: RunningPeer; way: TlsRun["way"]; version: Version | undefined; name: string },
  server: TestServer,
): Promise<TlsRun> {
  const { target, peer, way, version, name } = plan;
  const log = watchLog(server);
  const [mailsBefore, logBefore] = [peer.mails().length, peer.log().length];
  const recipient = `${name}@${target.domain}`;
  const sent = await swaks("swaks", { at: server.ports.smtp, from: "sender@posthorn.test", to: [recipient] });
  if (sent.status !== 0) throw new Error(sent.output);
  const common = { peer: target.peer, role: "server", way, version } as const;
  if (target.isBroken === true) {
    // Implicit TLS has no plaintext to fall back to: the mail waits.
    const failed = await log.waitFor("failed handshake", ({ event }) => event === "delivery.tls-failed");
    const hasMail = way === "implicit" || (await peer.waitForMails(mailsBefore + 1)).length > mailsBefore;
    const complaints = failed["fault"] === "peer" ? [] : [`we: ${JSON.stringify(failed)}`];
    return { ...common, seen: undefined, hasMail, complaints };
  }
  const mails = await peer.waitForMails(mailsBefore + 1);
  const seen = await log.session("out");
  // Its last words may come a moment after the connection.
  await wait(200);
  const theirs = peer
    .log()
    .slice(logBefore)
    .split("\n")
    .filter((line) => target.complains.test(line));
  return {
    ...common,
    seen,
    hasMail: mails.length === mailsBefore + 1,
    complaints: [
      ...log.complaints().map((event) => `we: ${JSON.stringify(event)}`),
      ...theirs.map((line) => `${target.peer}: ${line}`),
    ],
  };
}

/** s_server and gnutls-serv speak no SMTP: a line goes there and comes back, over the engine itself. */
async function toolRuns(): Promise<readonly TlsRun[]> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-tls-tools-"));
  const { certificate, key } = await makeCertificate(folder);
  const engine = tlsClientEngine({ clock: systemClock });
  const runs: TlsRun[] = [];
  for (const [peer, commandFor, complains] of [
    [
      "openssl s_server",
      (port: number) => ["openssl", "s_server", "-accept", String(port), "-cert", certificate, "-key", key, "-rev"],
      /error|unexpected eof|alert/i,
    ],
    [
      "gnutls-serv",
      (port: number) => [
        "gnutls-serv",
        "--echo",
        "--port",
        String(port),
        "--x509certfile",
        certificate,
        "--x509keyfile",
        key,
        "--priority",
        "NORMAL",
      ],
      /error|non-properly|alert/i,
    ],
  ] as const) {
    const port = await freePort();
    const [program = "", ...argv] = commandFor(port);
    const child = spawn(program, argv, { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    child.stderr.on("data", (bytes: Buffer) => (said += bytes.toString()));
    try {
      // Not by connecting: they would complain of a client that says nothing.
      const untilAt = Date.now() + 60_000;
      while (!/ACCEPT|listening/i.test(said)) {
        if (Date.now() > untilAt) throw new Error(`${peer} did not start:\n${said}`);
        await wait(20);
      }
      for (const version of VERSIONS) {
        const before = said.length;
        const seen = await exchange(engine, port, version);
        await wait(300);
        const theirs = said
          .slice(before)
          .split("\n")
          .filter((line) => complains.test(line));
        runs.push({
          peer,
          role: "server",
          way: "implicit",
          version,
          seen,
          hasMail: true,
          complaints: theirs.map((line) => `${peer}: ${line}`),
        });
      }
    } finally {
      child.kill("SIGKILL");
    }
  }
  rmSync(folder, { recursive: true });
  return runs;
}

async function exchange(
  engine: ReturnType<typeof tlsClientEngine>,
  port: number,
  version: Version,
): Promise<NonNullable<TlsRun["seen"]>> {
  const raw = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(raw, "connect");
  const made = await engine.connect(raw, {
    deadlineMs: 20_000,
    context: createSecureContext({ minVersion: version, maxVersion: version }),
    verify: () => ({ result: "NONE" }),
  });
  if (!made.ok) throw new Error(made.finding.sentence);
  const { connection } = made;
  connection.socket.write("a line\n");
  await once(connection.socket, "data", { signal: AbortSignal.timeout(20_000) });
  const startedAt = performance.now();
  const { peer, we } = await connection.close(CLOSE_MS);
  const { cipher, group = "none", verdict } = connection.facts;
  const tookMs = Math.round(performance.now() - startedAt);
  const end = { peerEnd: peer, ourEnd: we, moment: "over", after: "a line", tookMs };
  return { version: connection.facts.version, cipher, group, verify: verdict.result, ...end };
}
