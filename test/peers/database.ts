import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { freePort } from "../server.ts";
import { treeOf } from "../processes.ts";
import { makeCertificate } from "./certificate.ts";
import { inPeer, run } from "./running.ts";

/** A database or directory server from Debian's packages, on loopback and a unix socket, with data of its own. */
export interface RunningDatabase extends AsyncDisposable {
  readonly port: number;
  readonly socket: string;
  /** The authority that its certificate for `localhost` is verified with. */
  readonly caFile: string;
  readonly folder: string;
  log(): string;
  /** To the server and all that it started. */
  signal(signal: NodeJS.Signals): void;
  /** As a machine that loses power: SIGKILL, and its end awaited. */
  kill(): Promise<void>;
  /** Starts the server that was killed, on the same data and ports. */
  start(): Promise<void>;
}

interface DatabasePlan {
  readonly peer: string;
  /** As whom it runs: a number of test/peers/install.sh; undefined: root. */
  readonly uid: number | undefined;
  readonly socket: (folder: string, port: number) => string;
  /** Makes the data; the folder belongs to the server's user already. */
  readonly prepare: (place: Place) => Promise<readonly (readonly string[])[]>;
  readonly command: (place: Place) => readonly string[];
}
interface Place {
  readonly folder: string;
  readonly port: number;
  readonly socket: string;
  readonly certificate: string;
  readonly key: string;
}

/** PostgreSQL with a superuser `posthorn`, password `secret`, and 20 connections at most. */
export function startPostgres(): Promise<RunningDatabase> {
  const programs = "/usr/lib/postgresql/15/bin";
  return startDatabase({
    peer: "postgres",
    uid: 960,
    socket: (folder, port) => join(folder, `.s.PGSQL.${port}`),
    prepare: ({ folder }) => {
      writeFileSync(join(folder, "password"), "secret\n");
      return Promise.resolve([
        [
          join(programs, "initdb"),
          "-D",
          join(folder, "data"),
          "-U",
          "posthorn",
          "-A",
          "scram-sha-256",
          "-E",
          "UTF8",
          "--locale=C.UTF-8",
          "--no-sync",
          "--pwfile",
          join(folder, "password"),
        ],
      ]);
    },
    command: ({ folder, port, certificate, key }) => [
      join(programs, "postgres"),
      "-D",
      join(folder, "data"),
      "-p",
      `${port}`,
      ...Object.entries({
        listen_addresses: "127.0.0.1",
        unix_socket_directories: folder,
        fsync: "off",
        max_connections: "20",
        ssl: "on",
        ssl_cert_file: certificate,
        ssl_key_file: key,
      }).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
  });
}

/** MariaDB with root without a password on its socket. */
export function startMariadb(): Promise<RunningDatabase> {
  return startDatabase({
    peer: "mariadb",
    uid: 961,
    socket: (folder) => join(folder, "mysqld.sock"),
    prepare: ({ folder }) =>
      Promise.resolve([
        [
          "mariadb-install-db",
          "--no-defaults",
          `--datadir=${join(folder, "data")}`,
          "--skip-test-db",
          "--auth-root-authentication-method=normal",
          "--skip-name-resolve",
          "--innodb-flush-log-at-trx-commit=2",
        ],
      ]),
    command: ({ folder, port, socket, certificate, key }) => [
      "mariadbd",
      "--no-defaults",
      `--datadir=${join(folder, "data")}`,
      `--socket=${socket}`,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      "--skip-name-resolve",
      "--innodb-flush-log-at-trx-commit=2",
      "--max-connections=20",
      `--pid-file=${join(folder, "pid")}`,
      `--tmpdir=${folder}`,
      `--ssl-ca=${certificate}`,
      `--ssl-cert=${certificate}`,
      `--ssl-key=${key}`,
    ],
  });
}

/** OpenLDAP's slapd over `dc=posthorn,dc=test`, with the entries of `ldif`; `cn=admin,dc=posthorn,dc=test` has `secret`. */
export function startSlapd(ldif: string): Promise<RunningDatabase> {
  return startDatabase({
    peer: "slapd",
    uid: 962,
    socket: (folder) => join(folder, "ldapi"),
    prepare: ({ folder, certificate, key }) => {
      mkdirSync(join(folder, "data"));
      chownSync(join(folder, "data"), 962, 962);
      writeFileSync(join(folder, "entries.ldif"), ldif);
      writeFileSync(
        join(folder, "slapd.conf"),
        `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile ${certificate}
TLSCertificateKeyFile ${key}
TLSCACertificateFile ${certificate}
database mdb
suffix "dc=posthorn,dc=test"
rootdn "cn=admin,dc=posthorn,dc=test"
rootpw secret
directory ${join(folder, "data")}
dbnosync
index uid,mail,cn eq
limits dn.exact="uid=joe,ou=people,dc=posthorn,dc=test" size=2
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
`,
      );
      return Promise.resolve([["slapadd", "-q", "-f", join(folder, "slapd.conf"), "-l", join(folder, "entries.ldif")]]);
    },
    command: ({ folder, port, socket }) => [
      "slapd",
      "-d",
      "0",
      "-f",
      join(folder, "slapd.conf"),
      "-h",
      `ldap://127.0.0.1:${port} ldaps://127.0.0.1:${port + 1} ldapi://${encodeURIComponent(socket)}`,
    ],
  });
}

/** Redis: user `default` with the password `secret`, `reader` (password `readonly`) who may only read. TLS on port + 1. */
export function startRedis(): Promise<RunningDatabase> {
  return startDatabase({
    peer: "redis",
    uid: 963,
    socket: (folder) => join(folder, "redis.sock"),
    prepare: ({ folder, port, socket, certificate, key }) => {
      writeFileSync(
        join(folder, "redis.conf"),
        `bind 127.0.0.1
port ${port}
tls-port ${port + 1}
tls-cert-file ${certificate}
tls-key-file ${key}
tls-ca-cert-file ${certificate}
tls-auth-clients no
unixsocket ${socket}
unixsocketperm 777
dir ${folder}
save ""
appendonly yes
appendfsync always
maxclients 20
requirepass secret
user reader on >readonly ~* -@all +@read +select +ping
`,
      );
      return Promise.resolve([]);
    },
    command: ({ folder }) => ["redis-server", join(folder, "redis.conf")],
  });
}

async function startDatabase(plan: DatabasePlan): Promise<RunningDatabase> {
  const folder = mkdtempSync(join(tmpdir(), `posthorn-${plan.peer}-`));
  chmodSync(folder, 0o755);
  const made = await makeCertificate(folder);
  const key = join(folder, "own-key.pem");
  copyFileSync(made.key, key);
  chmodSync(key, 0o600);
  if (plan.uid !== undefined) for (const path of [folder, key]) chownSync(path, plan.uid, plan.uid);
  const port = await freePort();
  const place: Place = { folder, port, socket: plan.socket(folder, port), certificate: made.certificate, key };
  const asUser = (command: readonly string[]): readonly [string, readonly string[]] =>
    inPeer(plan.peer, [
      ...(plan.uid === undefined
        ? []
        : ["setpriv", `--reuid=${plan.uid}`, `--regid=${plan.uid}`, "--clear-groups", "--inh-caps=-all"]),
      ...command,
    ]);
  let output = "";
  let child: ChildProcess | undefined;
  for (const command of await plan.prepare(place)) {
    const { status, output: words } = await run(...asUser(command));
    if (status === 0) continue;
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`${command.join(" ")} ended with ${status}:\n${words}`);
  }
  const signal = (name: NodeJS.Signals): void => {
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    for (const { pid } of treeOf(child.pid)) {
      try {
        process.kill(pid, name);
      } catch {
        // It is gone already.
      }
    }
  };
  const database: RunningDatabase = {
    port,
    socket: place.socket,
    caFile: made.certificate,
    folder,
    log: () => output,
    signal,
    async kill() {
      const ended = child === undefined || child.exitCode !== null || child.signalCode !== null;
      const exit = ended ? undefined : once(child ?? process, "exit");
      signal("SIGKILL");
      await exit;
    },
    async start() {
      const [program, argv] = asUser(plan.command(place));
      const started = spawn(program, argv, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
      child = started;
      started.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
      started.stderr.on("data", (bytes: Buffer) => (output += bytes.toString()));
      const untilAt = Date.now() + 60_000;
      while (!(await answers(port)) || !(await answers(place.socket))) {
        if (started.exitCode !== null || Date.now() > untilAt)
          throw new Error(`${plan.peer} did not start:\n${output}`);
        await wait(30);
      }
    },
    async [Symbol.asyncDispose]() {
      signal("SIGCONT");
      await database.kill();
      child?.stdout?.destroy();
      child?.stderr?.destroy();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await database.start();
  } catch (thrown) {
    await database[Symbol.asyncDispose]();
    throw thrown;
  }
  return database;
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
