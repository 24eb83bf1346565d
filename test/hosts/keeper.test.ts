import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { openChannel } from "../../src/process/split/channel.ts";
import { foldersOf } from "../../src/process/folders.ts";
import { loadSettings } from "../../src/process/settings/load-settings.ts";
import { grantsOf } from "../../src/process/split/role-grants.ts";
import type { Role } from "../../src/process/split/roles.ts";
import { loadedFor } from "../../src/process/split/role-settings.ts";
import { testAuthority } from "../../src/testing/test-authority.ts";
import { LAYOUTS, startServer, type ServerOptions, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

const run = promisify(execFile);
const root = await testAuthority("Root CA");
const middle = await root.below("Middle CA");

async function pairOf(...names: string[]) {
  const { certificatePem, keyPem } = await middle.issue(names);
  return { chain: certificatePem + middle.certificatePem, key: keyPem };
}

/** A folder with certificates that only root may read, and a server that shows them. */
async function withCertificates(
  t: TestContext,
  options: ServerOptions,
  files: Readonly<Record<string, string>>,
): Promise<{ server: TestServer; certs: string; write: (name: string, text: string) => void }> {
  const certs = mkdtempSync(join(tmpdir(), "posthorn-certs-"));
  t.after(() => rmSync(certs, { recursive: true, force: true }));
  const write = (name: string, text: string): void => {
    mkdirSync(join(certs, name, ".."), { recursive: true });
    writeFileSync(join(certs, `${name}.new`), text, { mode: 0o600 });
    renameSync(join(certs, `${name}.new`), join(certs, name));
  };
  for (const [name, text] of Object.entries(files)) write(name, text);
  const settings = options.settings?.replaceAll("{certs}", certs) ?? "";
  return { server: await startServer({ ...options, settings }), certs, write };
}

interface Hello {
  readonly socket: TLSSocket;
  readonly name: string | undefined;
  readonly isResumed: boolean;
  readonly session: Buffer | undefined;
  readonly greeting: string;
}

/** A connection to the port of implicit TLS, greeted. */
function greeted(port: number, options: { servername?: string; session?: Buffer | undefined } = {}): Promise<Hello> {
  return new Promise((resolve, reject) => {
    const { session: given, servername = "mx.posthorn.test" } = options;
    const socket = connectTls({
      port,
      host: "127.0.0.1",
      servername,
      rejectUnauthorized: false,
      ...(given === undefined ? {} : { session: given }),
    });
    let session: Buffer | undefined;
    let isResumed = false;
    let name: string | undefined;
    socket.on("session", (made: Buffer) => (session = made));
    socket.once("secureConnect", () => {
      isResumed = socket.isSessionReused();
      name = socket.getPeerX509Certificate()?.subjectAltName;
    });
    // Errors after the greeting are the test's.
    socket.once("data", (bytes: Buffer) => resolve({ socket, name, isResumed, session, greeting: bytes.toString() }));
    socket.once("error", reject);
    setTimeout(() => reject(new Error("no greeting within 10 s")), 10_000).unref();
  });
}

async function visit(port: number, options: Parameters<typeof greeted>[1] = {}): Promise<Hello> {
  const hello = await greeted(port, options);
  await say(hello.socket, "QUIT");
  hello.socket.end();
  return hello;
}

function say(socket: TLSSocket, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once("data", (bytes: Buffer) => resolve(bytes.toString()));
    socket.once("close", () => reject(new Error("closed")));
    socket.write(`${line}\r\n`);
  });
}

const FILES = `certificates: [{ certificate: "{certs}/mx.pem", key: "{certs}/mx.key" }]\n`;

async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const untilAt = Date.now() + 60_000; !(await holds()); await wait(100))
    assert.ok(Date.now() < untilAt, `not within a minute: ${what}`);
}

async function inARow(times: number, holds: () => Promise<boolean>): Promise<boolean> {
  for (let at = 0; at < times; at++) if (!(await holds())) return false;
  return true;
}

for (const layout of LAYOUTS) {
  test(`${layout}: a renewed certificate is shown without a reload, and sessions that run go on; a broken one is not`, async (t) => {
    const first = await pairOf("mx.posthorn.test");
    const { server, write } = await withCertificates(
      t,
      { layout, settings: FILES },
      { "mx.pem": first.chain, "mx.key": first.key },
    );
    await using _ = server;
    const { smtps } = server.ports;
    const running = await greeted(smtps);
    assert.equal(running.name, "DNS:mx.posthorn.test");
    assert.match(await say(running.socket, "EHLO a"), /^250/);

    write("mx.key", "broken");
    await server.waitForOutput(/mx\.key holds no private key in PEM form; the version before stays in force/);
    assert.equal((await visit(smtps)).name, "DNS:mx.posthorn.test");

    const second = await pairOf("mx.posthorn.test", "new.posthorn.test");
    write("mx.pem", second.chain);
    write("mx.key", second.key);
    await server.waitForOutput(/certificate \S+mx\.pem for mx\.posthorn\.test, new\.posthorn\.test in force/);
    await eventually("each process shows it", () =>
      inARow(6, async () => (await visit(smtps)).name === "DNS:mx.posthorn.test, DNS:new.posthorn.test"),
    );
    assert.match(await say(running.socket, "NOOP"), /^250/);
    running.socket.destroy();
    assert.equal(await server.stop(), 0);
  });

  test(`${layout}: a ticket is good at every process; after a reload or a restart it means a full handshake at worst`, async (t) => {
    const pair = await pairOf("mx.posthorn.test");
    const { server, certs } = await withCertificates(
      t,
      { layout, settings: FILES },
      { "mx.pem": pair.chain, "mx.key": pair.key },
    );
    await using _ = server;
    const { smtps } = server.ports;
    const { session } = await visit(smtps);
    assert.ok(session);
    for (let at = 0; at < 16; at++) assert.equal((await visit(smtps, { session })).isResumed, true);
    if (layout === "split") {
      // The kernel hands connections to both; else this would prove nothing.
      for (const [name, pid] of server.workers())
        if (name.startsWith("ingress"))
          await server.waitForOutput(new RegExp(`smtpd\\[${pid}\\d*\\]: Anonymous.* resumed`));
    }
    const kept = join(certs, "session.pem");
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const openssl = async (...more: string[]) => {
        const child = run("openssl", ["s_client", "-connect", `127.0.0.1:${smtps}`, version, ...more], {
          timeout: 20_000,
        });
        // A client that is told QUIT at once has no ticket yet: those of TLS 1.3 come with the greeting.
        child.child.stdout?.on("data", (text: string) => {
          if (/^220 /m.test(text)) child.child.stdin?.end("QUIT\r\n");
        });
        return (await child).stdout;
      };
      assert.match(await openssl("-sess_out", kept), /New, TLSv1\.[23]/);
      assert.match(await openssl("-sess_in", kept), /Reused, TLSv1\.[23]/);
    }
    const [implicit, idle] = [await greeted(smtps), await greeted(smtps)];
    assert.match(await say(implicit.socket, "EHLO a"), /^250/);
    assert.equal((await server.posthorn("reload")).status, 0);
    const after = await visit(smtps, { session });
    assert.match(after.greeting, /^220 /);
    // Connections from before go on as if nothing had been.
    for (const { socket } of [implicit, idle]) {
      assert.match(await say(socket, "EHLO b"), /^250/);
      assert.match(await say(socket, "QUIT"), /^221/);
    }
    const last = after.session ?? session;
    assert.equal((await visit(smtps, { session: last })).isResumed, true);
    assert.equal(await server.stop(), 0);

    // The ticket's key died with the processes that knew it.
    const { folder, ports } = server;
    await using again = await startServer({ layout, settings: FILES.replaceAll("{certs}", certs), folder, ports });
    const anew = await visit(smtps, { session: last });
    assert.match(anew.greeting, /^220 /);
    assert.equal(anew.isResumed, false);
    assert.equal(await again.stop(), 0);
  });

  test(`${layout}: a table gives certificates by name; no key is in the log, the journal or the settings of others`, async (t) => {
    const [main, exact, wild] = [
      await pairOf("mx.posthorn.test"),
      await pairOf("one.posthorn.test"),
      await pairOf("*.customers.test"),
    ];
    const broken = (wild.chain + wild.key).replace("END PRIVATE", "END");
    const { server, certs, write } = await withCertificates(
      t,
      {
        layout,
        verbose: true,
        settings: `certificates:
  - { certificate: "{certs}/mx.pem", key: "{certs}/mx.key" }
  - { table: "table:names", directory: "{certs}/by-name" }
tables: { names: { file: "{certs}/names" } }
`,
      },
      {
        "mx.pem": main.chain,
        "mx.key": main.key,
        "by-name/one.pem": exact.chain + exact.key,
        names: `one.posthorn.test one.pem\n*.customers.test ${(wild.chain + wild.key).replaceAll("\n", " ")}\n`,
      },
    );
    await using _ = server;
    const { smtps } = server.ports;
    const nameFor = async (servername: string) => (await visit(smtps, { servername })).name;
    assert.equal(await nameFor("one.posthorn.test"), "DNS:one.posthorn.test");
    assert.equal(await nameFor("a.customers.test"), "DNS:*.customers.test");
    assert.equal(await nameFor("a.b.customers.test"), "DNS:mx.posthorn.test");
    assert.equal(await nameFor("stranger.test"), "DNS:mx.posthorn.test");

    // Mistakes with keys in them are told without the keys.
    write(
      "names",
      `*.customers.test ${broken.replaceAll("\n", " ")}\nother.test gone.pem ${main.key.replaceAll("\n", " ")}\n`,
    );
    write("by-name/one.pem", `${main.key}${main.key}`);
    await wait(1500);
    for (const name of ["b.customers.test", "other.test", "one.posthorn.test"]) await nameFor(name).catch(() => {});
    await wait(1500);
    for (const name of ["c.customers.test", "other.test", "one.posthorn.test"]) await nameFor(name).catch(() => {});
    await server.waitForOutput(/certificates: names: /);
    assert.notEqual((await server.posthorn("reload")).status, 0);
    write("names", `one.posthorn.test one.pem\n`);
    write("by-name/one.pem", exact.chain + exact.key);
    assert.equal((await server.posthorn("reload")).status, 0);

    const file = join(server.folder, "posthorn.yaml");
    const loaded = await loadSettings({ file, directory: server.folder, clock: systemClock });
    assert.ok(loaded.ok);
    const roles: readonly Role[] = ["log", "scheduler", "ingress", "egress", "delivery", "keeper"];
    const told = roles.map((role) => JSON.stringify(loadedFor(role, loaded.value))).join();
    assert.equal(await server.stop(), 0);
    const journal = join(server.folder, "data", "journal");
    const kept = readdirSync(journal).map((name) => readFileSync(join(journal, name), "latin1"));
    for (const [name, { key }] of Object.entries({ main, exact, wild })) {
      // Enough of the key to be this one; what all keys of the kind begin with is no secret.
      const secret = key.replaceAll("\n", "").slice(80, 110);
      for (const [place, text] of Object.entries({ log: server.output(), settings: told, journal: kept.join() }))
        assert.ok(!text.includes(secret), `the key ${name} is in the ${place}`);
    }
    assert.ok(statSync(join(certs, "mx.key")).size > 0);
  });

  test(`${layout}: mail goes to a host whose certificate is verified by authorities that only the keeper can read`, async (t) => {
    const pair = await pairOf("localhost");
    const receiver = await withCertificates(
      t,
      { layout: "single", settings: `local: { domains: [there.test] }\n${FILES}` },
      { "mx.pem": pair.chain, "mx.key": pair.key },
    );
    await using to = receiver.server;
    const sender = await withCertificates(
      t,
      {
        layout,
        settings: `delivery: { ca-file: "{certs}/ca.pem", tls: { policy: { localhost: verify } } }
actions: { out: { relay: { to: "tls://localhost:${to.ports.smtp}" } } }
rules: [ { match: { from: local }, action: out } ]
`,
      },
      { "ca.pem": root.certificatePem },
    );
    await using from = sender.server;
    const mail = { from: "a@here.test", to: "ada@there.test", content: "Subject: x\n\nx" };
    assert.match(await sendMail(from.ports.smtp, mail), /^250 /);
    await to.waitForMails("ada", 1);
    await from.waitForOutput(/Verified TLS connection established to localhost/);
    if (layout === "split") {
      const loaded = await loadSettings({
        file: join(from.folder, "posthorn.yaml"),
        directory: from.folder,
        clock: systemClock,
      });
      assert.ok(loaded.ok);
      for (const role of ["ingress", "egress", "scheduler"] as const) {
        const grants = grantsOf(role, loaded.value, foldersOf(join(from.folder, "data")));
        assert.ok(!grants.some((grant) => grant.includes("ca.pem")), role);
        assert.ok(!grants.some((grant) => grant.includes("/etc/ssl")), role);
      }
      if (process.getuid?.() === 0) assert.equal(statSync(join(sender.certs, "ca.pem")).mode & 0o077, 0);
    }
    // Other authorities: the same host is nobody's any more, without a reload.
    sender.write("ca.pem", (await testAuthority("Stranger CA")).certificatePem);
    let sent = 1;
    await eventually("the host is nobody's any more", async () => {
      assert.match(await sendMail(from.ports.smtp, mail), /^250 /);
      await from.waitForOutput(
        new RegExp(`(?:status=sent[^]*){${sent + 1}}|status=deferred .*(?:verif|authorit|trusted)`, "i"),
      );
      if (/status=deferred .*(?:verif|authorit|trusted)/i.test(from.output())) return true;
      sent++;
      return false;
    });
    assert.equal(to.mailsOf("ada").length, sent);
  });
}

test("split: while the keeper is gone handshakes go on, and it is started again", async (t) => {
  const pair = await pairOf("mx.posthorn.test");
  const { server } = await withCertificates(
    t,
    { layout: "split", settings: FILES },
    { "mx.pem": pair.chain, "mx.key": pair.key },
  );
  await using _ = server;
  const { smtps } = server.ports;
  const { session } = await visit(smtps);
  const keeper = server.workers().get("keeper-1");
  assert.ok(keeper !== undefined);
  process.kill(keeper, "SIGKILL");
  for (let at = 0; at < 8; at++) assert.equal((await visit(smtps)).name, "DNS:mx.posthorn.test");
  await server.waitForOutput(/process keeper-1 pid \d+ ended: signal SIGKILL/);
  await eventually("there is another", async () => ![undefined, keeper].includes(server.workers().get("keeper-1")));
  // Its successor has another key for tickets: an old one is a full handshake.
  assert.match((await visit(smtps, { session })).greeting, /^220 /);
  await eventually("each process has the new key", async () => {
    const fresh = (await visit(smtps)).session;
    return inARow(8, async () => (await visit(smtps, { session: fresh })).isResumed);
  });
  assert.equal(await server.stop(), 0);
});

test("split: nobody but those who may ask the keeper gets an answer from it", async (t) => {
  const pair = await pairOf("mx.posthorn.test");
  const { server } = await withCertificates(
    t,
    { layout: "split", settings: FILES },
    { "mx.pem": pair.chain, "mx.key": pair.key },
  );
  await using _ = server;
  const ask = async (said: string): Promise<unknown> => {
    const stream = connect(join(server.folder, "data", "run", "keeper", "keeper-1.sock"));
    const channel = openChannel({ stream, peer: "keeper", handlers: {} });
    channel.note("iAm", [said]);
    return await channel.call("profile", ["smtps"]).finally(() => channel.close());
  };
  for (const said of ["ingress", "ingress ", "ingress x", "supervisor", "keeper x"])
    await assert.rejects(ask(said), /no such call|is not there/, said);
  const folder = statSync(join(server.folder, "data", "run", "keeper"));
  assert.equal(folder.mode & 0o027, 0, "no stranger passes through, and no worker puts a socket there");
  assert.equal(await server.stop(), 0);
});

test("split: certificates that are wrong keep the server from starting, and a reload from taking place", async (t) => {
  const [good, other] = [await pairOf("mx.posthorn.test"), await pairOf("mx.posthorn.test")];
  await assert.rejects(
    withCertificates(t, { layout: "split", settings: FILES }, { "mx.pem": good.chain, "mx.key": other.key }),
    /posthorn\.yaml:\d+:\d+: certificates\[0\]\.key: \S+mx\.key does not belong to the certificate\n.*not started: 1 problem in/,
  );
  const { server, write } = await withCertificates(
    t,
    { layout: "split", settings: FILES },
    { "mx.pem": good.chain, "mx.key": good.key },
  );
  await using _ = server;
  const before = server.workers();
  write("mx.key", other.key);
  const reload = await server.posthorn("reload");
  assert.notEqual(reload.status, 0);
  assert.match(reload.stdout + reload.stderr, /certificates\[0\]\.key: \S+mx\.key does not belong to the certificate/);
  assert.equal((await visit(server.ports.smtps)).name, "DNS:mx.posthorn.test");
  assert.deepEqual([...server.workers().keys()].toSorted(), [...before.keys()].toSorted());
  write("mx.key", good.key);
  assert.equal((await server.posthorn("reload")).status, 0);
  assert.equal((await visit(server.ports.smtps)).name, "DNS:mx.posthorn.test");
  // The keeper of the settings before has left with the last of its workers.
  await eventually("the first has left", async () => !server.workers().has("keeper-1"));
  assert.deepEqual(
    [...server.workers().keys()].filter((name) => name.startsWith("keeper")),
    ["keeper-3"],
  );
  assert.equal(await server.stop(), 0);
});
