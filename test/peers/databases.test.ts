/** Tables in Debian's PostgreSQL, MariaDB, OpenLDAP and Redis: the same answers, the same conduct when the server fails. */
import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import type pg from "pg";
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { seededRandom } from "../../src/foundation/random.ts";
import { openBackend, openTable, type BackendWorld } from "../../src/service/table/open-backend.io.ts";
import { tablesSettings, type BackendSource } from "../../src/service/table/settings.ts";
import { isBackendSource } from "../../src/service/table/backend-source.ts";
import type { KeyedBackend } from "../../src/service/table/keyed-backend.ts";
import type { TableAnswer, TableService } from "../../src/service/table/table.ts";
import { ldapBinder } from "../../src/service/table/ldap/bind.io.ts";
import { DATABASES, postgresClient, type Database } from "./database-subjects.ts";
import { hasPeer } from "./running.ts";
import { testAuthority } from "../../src/testing/test-authority.ts";
import { trustIn } from "../../src/testing/trust.ts";

/** Knows none of the servers. */
const stranger = await testAuthority("The system's");

type Written = Readonly<Record<string, unknown>>;

/** As the settings file would have it. */
function sourceOf(kind: string, options: Written): BackendSource {
  const { table } = tablesSettings.parse({ table: { [kind]: options } });
  assert.ok(table !== undefined && isBackendSource(table));
  return table;
}

function worldOf(password: string, told: string[] = []): BackendWorld {
  return {
    clock: systemClock,
    random: seededRandom(1),
    trust: trustIn(stranger.certificatePem),
    onFinding: ({ text }) => void told.push(text),
    secrets: { table: password },
  };
}

interface Opened extends AsyncDisposable {
  readonly backend: KeyedBackend;
  readonly told: readonly string[];
  get(key: string, service?: TableService): Promise<TableAnswer>;
}

async function opened(subject: Database, options: Written, password: string = subject.password): Promise<Opened> {
  const told: string[] = [];
  const backend = await openBackend("table", sourceOf(subject.kind, options), worldOf(password, told));
  return {
    backend,
    told,
    get: (key, service = "alias") => backend.get(key, { service }),
    [Symbol.asyncDispose]: () => backend.close(),
  };
}

function valueOf(answer: TableAnswer): string {
  return answer.kind === "found" ? answer.value : answer.kind === "failed" ? `failed: ${answer.text}` : "none";
}

/** Impatient, so that a fault takes moments. */
const QUICK = { queryTimeout: "400ms", connectTimeout: "300ms", firstPause: "100ms", longestPause: "200ms" };

for (const subject of DATABASES) {
  test(`${subject.kind}: a real server`, { timeout: 120_000 }, async (t) => {
    if (!hasPeer(subject.peer, t)) return;
    await using server = await subject.start();
    const own = { ...subject.options(server), hosts: `127.0.0.1:${server.port}` };

    await t.test("answers each service in the text form", async () => {
      await using table = await opened(subject, own);
      assert.equal(valueOf(await table.get("joe@example.org")), "joe, anna@example.net");
      assert.equal(valueOf(await table.get("nobody@example.org")), "none");
      assert.equal(valueOf(await table.get("example.org", "domain")), "");
      assert.equal(valueOf(await table.get("example.net", "domain")), "none");
      assert.equal(valueOf(await table.get("joe", "userinfo")), "1000:1001:/home/joe");
      assert.equal(valueOf(await table.get("joe", "credentials")), "{PLAIN}s3cret");
      assert.equal(valueOf(await table.get("jürgen@example.org")), "jürgen.müller@example.org");
      assert.equal(valueOf(await table.get("long@example.org")), "x".repeat(3000));
      assert.match(valueOf(await table.get("joe", "source")), /^failed: .*source/);
    });

    await t.test("takes no part of a key for its own language", async () => {
      await using table = await opened(subject, own);
      for (const key of [
        "' or '1'='1",
        "joe@example.org' --",
        '" or ""="',
        "*",
        "j*e@example.org",
        "*)(mail=*",
        "joe@example.org)(uid=*",
        "\\",
        "\\2a",
        "joe@example.org\n",
        "joe@example.org\0",
        "%",
        "j%@example.org",
        "$1",
        "?",
        ":key",
        "%{key}",
        "joe@example.org; drop table aliases",
        "\ud83d",
        "joe@example.org\r\nSET x y",
      ])
        assert.equal(valueOf(await table.get(key)), "none", JSON.stringify(key));
      assert.equal(valueOf(await table.get("o'hara@example.org")), "quoted");
    });

    await t.test("folds, asks for wildcards, and keeps the most exact answer", async () => {
      const source = sourceOf(subject.kind, own);
      const whole = await openTable("table", source, worldOf(subject.password));
      const lookup = async (key: string): Promise<string> =>
        valueOf(await whole.table.lookup(key, { service: "alias" }));
      assert.equal(await lookup("JOE@Example.ORG"), "joe, anna@example.net");
      assert.equal(await lookup("any@catchall.example"), "all");
      assert.equal(await lookup("any@other.example"), "none");
      await whole.close();
    });

    await t.test("probing names the query that is wrong", async () => {
      await using table = await opened(subject, own);
      assert.deepEqual(await table.backend.probe?.(), []);
      await using broken = await opened(subject, { ...own, ...subject.broken });
      const problems = (await broken.backend.probe?.()) ?? [];
      assert.deepEqual(
        problems.map(({ path }) => path),
        [subject.brokenPath],
      );
      await using away = await opened(subject, { ...own, hosts: "127.0.0.1:1" });
      const [first] = (await away.backend.probe?.()) ?? [];
      assert.deepEqual(first?.path, ["hosts"]);
      assert.match(first?.text ?? "", /ECONNREFUSED/);
    });

    await t.test("a wrong password fails in words that do not hold it", async () => {
      await using table = await opened(subject, own, "wrong-password");
      const answer = await table.get("joe@example.org");
      assert.equal(answer.kind, "failed");
      assert.match(valueOf(answer), subject.refusal);
      assert.doesNotMatch(valueOf(answer), /wrong-password/);
    });

    await t.test("many lookups share few connections, and too many fail at once", async () => {
      await using table = await opened(subject, { ...own, connections: 3, waiting: 500 });
      const answers = await Promise.all(Array.from({ length: 400 }, () => table.get("joe@example.org")));
      assert.ok(answers.every(({ kind }) => kind === "found"));
      assert.equal(table.backend.health().pool?.open, 3);
      assert.equal(table.backend.health().queries, 400);
      await using narrow = await opened(subject, { ...own, connections: 1, waiting: 5 });
      const some = await Promise.all(Array.from({ length: 20 }, () => narrow.get("joe@example.org")));
      assert.equal(some.filter(({ kind }) => kind === "found").length, 6);
      assert.match(some.map(valueOf).join("\n"), /lookups wait for a connection already/);
    });

    await t.test("over its unix socket, and encrypted", async () => {
      await using local = await opened(subject, { ...own, hosts: server.socket });
      assert.equal(valueOf(await local.get("joe@example.org")), "joe, anna@example.net");
      for (const options of subject.encrypted(server)) {
        await using verified = await opened(subject, { ...own, ...options, tls: "verify", tlsCa: server.caFile });
        assert.equal(valueOf(await verified.get("joe@example.org")), "joe, anna@example.net", JSON.stringify(options));
        await using stranger = await opened(subject, { ...own, ...options, tls: "verify" });
        assert.match(valueOf(await stranger.get("joe@example.org")), /^failed: .*self-signed/i);
        await using misnamed = await opened(subject, {
          ...own,
          ...options,
          tls: "verify",
          tlsCa: server.caFile,
          tlsName: "other.example",
        });
        assert.match(valueOf(await misnamed.get("joe@example.org")), /^failed: .*(?:other\.example|altnames)/i);
        const hosts = String(options["hosts"]).replace("localhost", "127.0.0.1");
        await using numbered = await opened(subject, { ...own, hosts, tls: "verify", tlsCa: server.caFile });
        assert.match(
          valueOf(await numbered.get("joe@example.org")),
          subject.kind === "mysql" ? /^failed: .*an address cannot be verified/ : /^joe, anna/,
        );
      }
    });

    await t.test("the second host answers while the first cannot be reached", async () => {
      await using table = await opened(subject, { ...own, hosts: ["127.0.0.1:1", `127.0.0.1:${server.port}`] });
      assert.equal(valueOf(await table.get("joe@example.org")), "joe, anna@example.net");
      assert.deepEqual(table.told, []);
    });

    await t.test("a server that accepts and never answers fails in time", async () => {
      await using silent = await silentServer();
      await using table = await opened(subject, { ...own, ...QUICK, hosts: `127.0.0.1:${silent.port}` });
      const began = performance.now();
      assert.equal((await table.get("joe@example.org")).kind, "failed");
      assert.ok(performance.now() - began < 20_000);
      await using both = await opened(subject, {
        ...own,
        ...QUICK,
        queryTimeout: "2s",
        hosts: [`127.0.0.1:${silent.port}`, `127.0.0.1:${server.port}`],
      });
      assert.equal(valueOf(await both.get("joe@example.org")), "joe, anna@example.net");
    });

    await t.test("a server that speaks rubbish fails, and nothing is thrown", async () => {
      for (const rubbish of [
        Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
        Buffer.alloc(2000, 0xff),
        Buffer.alloc(64),
      ]) {
        await using silly = await silentServer(rubbish);
        await using table = await opened(subject, { ...own, ...QUICK, hosts: `127.0.0.1:${silly.port}` });
        assert.equal((await table.get("joe@example.org")).kind, "failed");
      }
    });

    await t.test("a server that hangs fails in time, and is asked again when it goes on", async () => {
      await using table = await opened(subject, { ...own, ...QUICK });
      assert.equal((await table.get("joe@example.org")).kind, "found");
      server.signal("SIGSTOP");
      // Its threads stop one after the other.
      await wait(100);
      try {
        const began = performance.now();
        const answers = await Promise.all(Array.from({ length: 10 }, () => table.get("joe@example.org")));
        assert.ok(answers.every(({ kind }) => kind === "failed"));
        assert.ok(performance.now() - began < 20_000, `${performance.now() - began} ms`);
      } finally {
        server.signal("SIGCONT");
      }
      await recovered(t, table);
      assert.equal(table.told.length, 2, table.told.join("\n"));
      assert.match(table.told[1] ?? "", /answers again/);
    });

    await t.test("a killed server fails at once, and its successor is found by itself", async () => {
      await using table = await opened(subject, { ...own, ...QUICK });
      assert.equal((await table.get("joe@example.org")).kind, "found");
      await server.kill();
      for (let count = 0; count < 5; count++) assert.equal((await table.get("joe@example.org")).kind, "failed");
      assert.equal(table.backend.health().state, "down");
      await server.start();
      await recovered(t, table);
      assert.equal(table.backend.health().state, "up");
    });

    await t.test("a restart between two lookups costs none", async () => {
      await using table = await opened(subject, { ...own, ...QUICK, queryTimeout: "3s", connectTimeout: "2s" });
      await Promise.all([table.get("joe@example.org"), table.get("joe@example.org")]);
      // The second one may still be on its way, for a question that the first has answered meanwhile.
      for (const untilAt = Date.now() + 60_000; table.backend.health().pool?.open !== 2; await wait(5))
        assert.ok(Date.now() < untilAt);
      await server.kill();
      await server.start();
      // Some accept connections before they answer queries.
      await using witness = await opened(subject, { ...own, ...QUICK });
      await recovered(t, witness);
      assert.equal(valueOf(await table.get("joe@example.org")), "joe, anna@example.net");
      assert.deepEqual(table.told, []);
    });

    if (subject.crowd !== undefined)
      await t.test("a server without room for us fails, and answers when there is some", async () => {
        await using table = await opened(subject, { ...own, ...QUICK });
        await subject.crowd?.(server, async () => {
          assert.equal((await table.get("joe@example.org")).kind, "failed");
        });
        await recovered(t, table);
      });

    await t.test("closing in the middle of lookups ends them", async () => {
      const table = await opened(subject, own);
      const asked = Promise.all(Array.from({ length: 20 }, () => table.get("joe@example.org")));
      await table.backend.close();
      assert.ok((await asked).every(({ kind }) => kind === "failed"));
      assert.equal((await table.get("joe@example.org")).kind, "failed");
    });

    if (subject.kind === "postgres")
      await t.test("a key that the database's encoding cannot write is not there", async () => {
        const client = await postgresClient(server);
        await client.query("create database latin encoding 'LATIN1' locale 'C' template template0");
        await client.end();
        const queries = { string: "select 'found' where :key = 'jürgen'" };
        const latin = { ...own, database: "latin", user: "posthorn", queries };
        await using table = await opened(subject, latin);
        assert.equal(valueOf(await table.get("日本")), "none");
        assert.equal(valueOf(await table.get("jürgen")), "found");
        assert.equal(valueOf(await table.get("😀")), "none");
        assert.equal(table.backend.health().pool?.open, 1);
      });

    if (subject.kind === "postgres")
      await t.test("a table that is altered costs no lookup", async () => {
        const changes = [
          (client: pg.Client) => client.query("alter table users alter column uid type bigint"),
          (client: pg.Client) => client.query("alter table users alter column uid type int"),
        ];
        await using table = await opened(subject, own);
        const client = await postgresClient(server);
        for (const change of changes) {
          await Promise.all([table.get("joe", "userinfo"), table.get("joe", "userinfo")]);
          await change(client);
          const answers = await Promise.all([1, 2, 3].map(() => table.get("joe", "userinfo")));
          assert.deepEqual(
            answers.map(valueOf),
            Array.from({ length: 3 }, () => "1000:1001:/home/joe"),
          );
        }
        await client.end();
        assert.deepEqual(table.told, []);
      });

    if (subject.kind !== "ldap") return;
    await t.test("an answer that the server cuts short is a failure, not a part", async () => {
      const searches = { string: { filter: "(|(objectClass=inetOrgPerson)(cn=%{key}))", attributes: ["cn"] } };
      const asJoe = { bindDn: "uid=joe,ou=people,dc=posthorn,dc=test", searches };
      await using limited = await opened(subject, { ...own, ...asJoe }, "s3cret");
      assert.match(valueOf(await limited.get("x")), /^failed: .*size/i);
      await using whole = await opened(subject, { ...own, searches });
      assert.equal(valueOf(await whole.get("x")).split(", ").length, 6);
    });
    await t.test("a login binds as the user's entry", async () => {
      const source = sourceOf("ldap", own);
      assert.ok(source.kind === "ldap");
      const binder = await ldapBinder(source.options, subject.password, worldOf(subject.password));
      try {
        assert.deepEqual(await binder.check("joe", "s3cret"), {
          kind: "right",
          dn: "uid=joe,ou=people,dc=posthorn,dc=test",
        });
        for (const [user, password] of [
          ["joe", "wrong"],
          ["joe", ""],
          ["nobody", "s3cret"],
          ["*", "s3cret"],
          ["joe)(uid=*", "s3cret"],
        ] as const)
          assert.deepEqual(await binder.check(user, password), { kind: "wrong" }, `${user} ${password}`);
        const many = await Promise.all(
          Array.from({ length: 30 }, (_, at) => binder.check("joe", at % 2 === 0 ? "s3cret" : "wrong")),
        );
        assert.ok(many.every(({ kind }, at) => kind === (at % 2 === 0 ? "right" : "wrong")));
        await server.kill();
        assert.equal((await binder.check("joe", "s3cret")).kind, "failed");
      } finally {
        binder.close();
      }
    });
  });
}

async function recovered(t: TestContext, table: Opened): Promise<void> {
  const untilAt = performance.now() + 60_000;
  for (;;) {
    const answer = await table.get("joe@example.org");
    if (answer.kind === "found") return;
    if (answer.kind === "none" || performance.now() > untilAt) assert.fail(`${t.name}: ${valueOf(answer)}`);
    await wait(50);
  }
}

/** Takes connections, sends `greeting` if any, and says nothing more. */
async function silentServer(greeting?: Uint8Array): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    if (greeting !== undefined) socket.write(greeting);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
