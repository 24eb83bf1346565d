import pg from "pg";
import mysql from "mysql2";
import { createClient } from "@redis/client";
import { connect } from "node:net";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import type { SuiteEntry, TableLimits } from "../../src/service/table/table.suite.ts";
import { startMariadb, startPostgres, startRedis, startSlapd, type RunningDatabase } from "./database.ts";

/** One of the servers with the same content, and how Posthorn is told to ask it. */
export interface Database {
  readonly kind: "postgres" | "mysql" | "ldap" | "redis";
  readonly peer: string;
  readonly password: string;
  start(): Promise<RunningDatabase>;
  /** Settings without hosts. */
  options(server: RunningDatabase): Readonly<Record<string, unknown>>;
  /** Settings that hold one mistake, and where. */
  readonly broken: Readonly<Record<string, unknown>>;
  readonly brokenPath: readonly string[];
  /** What the server says to a wrong password. */
  readonly refusal: RegExp;
  /** Hosts by the name in the certificate. */
  encrypted(server: RunningDatabase): readonly Readonly<Record<string, unknown>>[];
  /** Runs `work` while others hold all the connections that the server gives; undefined where it knows no limit. */
  readonly crowd?: (server: RunningDatabase, work: () => Promise<void>) => Promise<void>;
}

const ALIASES: readonly (readonly [string, readonly string[]])[] = [
  ["joe@example.org", ["joe", "anna@example.net"]],
  ["jürgen@example.org", ["jürgen.müller@example.org"]],
  ["long@example.org", ["x".repeat(3000)]],
  ["o'hara@example.org", ["quoted"]],
  ["@catchall.example", ["all"]],
];

const sqlQueries = {
  alias: "select target from aliases where address = :key order by id",
  domain: "select 1 from domains where name = :key",
  userinfo: "select uid, gid, home from users where name = :user",
  credentials: "select password from users where name = :user",
};
const sqlBroken = { queries: { ...sqlQueries, domain: "select 1 from no_such_table where name = :key" } };

const postgres: Database = {
  kind: "postgres",
  peer: "postgres",
  password: "secret",
  start: () =>
    filled(startPostgres(), async (server) => {
      const client = await postgresClient(server);
      await client.query("create table aliases (id serial, address text, target text)");
      await client.query("create index on aliases (address)");
      await client.query("create table domains (name text primary key)");
      await client.query("create table users (name text primary key, uid int, gid int, home text, password text)");
      for (const [address, targets] of ALIASES)
        for (const target of targets)
          await client.query("insert into aliases (address, target) values ($1, $2)", [address, target]);
      await client.query("insert into domains values ('example.org')");
      await client.query("insert into users values ('joe', 1000, 1001, '/home/joe', '{PLAIN}s3cret')");
      await client.query("create role reader login password 'secret'");
      await client.query("grant select on all tables in schema public to reader");
      await client.end();
    }),
  options: () => ({ database: "postgres", user: "reader", queries: sqlQueries }),
  broken: sqlBroken,
  brokenPath: ["queries", "domain"],
  refusal: /password authentication failed/,
  encrypted: ({ port }) => [{ hosts: `localhost:${port}` }],
  async crowd(server, work) {
    const clients: pg.Client[] = [];
    try {
      for (;;) {
        const client = postgresOwner(server);
        client.on("error", () => {});
        await client.connect();
        clients.push(client);
      }
    } catch {
      // Full.
    }
    await work();
    await Promise.all(clients.map((client) => client.end()));
  },
};

function postgresOwner(server: RunningDatabase): pg.Client {
  return new pg.Client({
    host: "127.0.0.1",
    port: server.port,
    user: "posthorn",
    password: "secret",
    database: "postgres",
  });
}

/** Logged in as the owner, when the server has done starting up: it takes connections before that. */
export async function postgresClient(server: RunningDatabase): Promise<pg.Client> {
  for (const untilAt = Date.now() + 60_000; ; await wait(30)) {
    const client = postgresOwner(server);
    client.on("error", () => {});
    try {
      await client.connect();
      return client;
    } catch (thrown) {
      if (Date.now() > untilAt) throw thrown;
    }
  }
}

/** Fills a server that was started; ends it when that fails. */
async function filled(
  starting: Promise<RunningDatabase>,
  fill: (server: RunningDatabase) => Promise<void>,
): Promise<RunningDatabase> {
  const server = await starting;
  try {
    await fill(server);
    return server;
  } catch (thrown) {
    await server[Symbol.asyncDispose]();
    throw thrown;
  }
}

const mariadb: Database = {
  kind: "mysql",
  peer: "mariadb",
  password: "secret",
  start: () =>
    filled(startMariadb(), async (server) => {
      const connection = mysql
        .createConnection({ socketPath: server.socket, user: "root", charset: "utf8mb4" })
        .promise();
      await connection.query("create database mail character set utf8mb4 collate utf8mb4_bin");
      await connection.query("use mail");
      await connection.query(
        "create table aliases (id int auto_increment primary key, address varchar(300), target text, index (address))",
      );
      await connection.query("create table domains (name varchar(255) primary key)");
      await connection.query(
        "create table users (name varchar(100) primary key, uid int, gid bigint, home varchar(100), password varbinary(200))",
      );
      for (const [address, targets] of ALIASES)
        for (const target of targets)
          await connection.execute("insert into aliases (address, target) values (?, ?)", [address, target]);
      await connection.query("insert into domains values ('example.org')");
      await connection.query("insert into users values ('joe', 1000, 1001, '/home/joe', '{PLAIN}s3cret')");
      for (const from of ["localhost", "127.0.0.1"]) {
        await connection.query(`create user 'reader'@'${from}' identified by 'secret'`);
        await connection.query(`grant select on mail.* to 'reader'@'${from}'`);
      }
      await connection.end();
    }),
  options: () => ({ database: "mail", user: "reader", queries: sqlQueries }),
  broken: sqlBroken,
  brokenPath: ["queries", "domain"],
  refusal: /Access denied/,
  encrypted: ({ port }) => [{ hosts: `localhost:${port}` }],
  async crowd(server, work) {
    const held: mysql.Connection[] = [];
    for (;;) {
      const connection = mysql.createConnection({
        host: "127.0.0.1",
        port: server.port,
        user: "reader",
        password: "secret",
      });
      connection.on("error", () => {});
      const isIn = await connection
        .promise()
        .connect()
        .then(
          () => true,
          () => false,
        );
      if (!isIn) break;
      held.push(connection);
    }
    await work();
    for (const connection of held) connection.destroy();
  },
};

function entry(dn: string, attributes: Readonly<Record<string, string | readonly string[]>>): string {
  const lines = Object.entries(attributes).flatMap(([name, values]) =>
    (typeof values === "string" ? [values] : values).map(
      (value) => `${name}:: ${Buffer.from(value).toString("base64")}`,
    ),
  );
  return `dn: ${dn}\n${lines.join("\n")}\n\n`;
}

const LDIF = [
  entry("dc=posthorn,dc=test", { objectClass: ["dcObject", "organization"], o: "Posthorn", dc: "posthorn" }),
  entry("ou=people,dc=posthorn,dc=test", { objectClass: "organizationalUnit", ou: "people" }),
  entry("ou=aliases,dc=posthorn,dc=test", { objectClass: "organizationalUnit", ou: "aliases" }),
  entry("ou=domains,dc=posthorn,dc=test", { objectClass: "organizationalUnit", ou: "domains" }),
  entry("dc=example.org,ou=domains,dc=posthorn,dc=test", { objectClass: ["domain"], dc: "example.org" }),
  entry("uid=joe,ou=people,dc=posthorn,dc=test", {
    objectClass: ["inetOrgPerson", "posixAccount"],
    uid: "joe",
    cn: "joe",
    sn: "Doe",
    uidNumber: "1000",
    gidNumber: "1001",
    homeDirectory: "/home/joe",
    userPassword: "s3cret",
    description: "{PLAIN}s3cret",
  }),
  ...ALIASES.map(([address, targets], at) =>
    entry(`cn=alias${at},ou=aliases,dc=posthorn,dc=test`, {
      objectClass: ["inetOrgPerson"],
      cn: `alias${at}`,
      sn: address,
      description: targets,
    }),
  ),
].join("");

const ldapSearches = {
  alias: {
    filter: "(&(objectClass=inetOrgPerson)(sn=%{key}))",
    base: "ou=aliases,dc=posthorn,dc=test",
    attributes: ["description"],
  },
  domain: { filter: "(dc=%{key})", base: "ou=domains,dc=posthorn,dc=test", scope: "one" },
  userinfo: { filter: "(uid=%{user})", attributes: ["uidNumber", "gidNumber", "homeDirectory"] },
  credentials: { filter: "(uid=%{user})", base: "ou=people,dc=posthorn,dc=test", attributes: ["description"] },
};

const slapd: Database = {
  kind: "ldap",
  peer: "slapd",
  password: "secret",
  start: () => startSlapd(LDIF),
  options: () => ({
    bindDn: "cn=admin,dc=posthorn,dc=test",
    password: "secret",
    base: "dc=posthorn,dc=test",
    searches: ldapSearches,
  }),
  broken: {
    searches: { ...ldapSearches, domain: { filter: "(dc=%{key})", base: "ou=nowhere,dc=posthorn,dc=test" } },
  },
  brokenPath: ["searches", "domain"],
  refusal: /refuses the password for cn=admin/,
  encrypted: ({ port }) => [{ hosts: `ldap://localhost:${port}` }, { hosts: `ldaps://localhost:${port + 1}` }],
};

const redis: Database = {
  kind: "redis",
  peer: "redis",
  password: "readonly",
  start: () =>
    filled(startRedis(), async (server) => {
      const client = createClient({ socket: { host: "127.0.0.1", port: server.port }, password: "secret" });
      await client.connect();
      for (const [address, targets] of ALIASES) await client.rPush(`mail:alias:${address}`, [...targets]);
      await client.sAdd("mail:domains", "example.org");
      await client.hSet("mail:user:joe", { uid: "1000", gid: "1001", home: "/home/joe", password: "{PLAIN}s3cret" });
      client.destroy();
    }),
  options: () => ({
    user: "reader",
    prefix: "mail:",
    commands: {
      alias: "LRANGE alias:%{key} 0 -1",
      domain: "sismember domains %{key}",
      userinfo: "HMGET user:%{user} uid gid home",
      credentials: "HGET user:%{user} password",
    },
  }),
  broken: { commands: { alias: "LRANGE alias:%{key} 0 -1", domain: "LRANGE domains 0 1" } },
  brokenPath: ["commands", "domain"],
  refusal: /WRONGPASS/,
  encrypted: ({ port }) => [{ hosts: `localhost:${port + 1}` }],
  async crowd(server, work) {
    const sockets = Array.from({ length: 25 }, () => connect(server.port, "127.0.0.1").on("error", () => {}));
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    await wait(100);
    await work();
    for (const socket of sockets) socket.destroy();
  },
};

export const DATABASES: readonly Database[] = [postgres, mariadb, slapd, redis];

/** The same servers with the content that the suite of all tables wants. */
export interface TableSubject {
  readonly kind: Database["kind"];
  readonly peer: string;
  readonly password: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly limits: TableLimits;
  start(entries: readonly SuiteEntry[]): Promise<RunningDatabase>;
}

const anyQuery = { string: "select value from entries where service = :service and name = :key" };

export const TABLE_SUBJECTS: readonly TableSubject[] = [
  {
    kind: "postgres",
    peer: "postgres",
    password: "secret",
    options: {
      database: "postgres",
      user: "posthorn",
      queries: {
        ...anyQuery,
        network:
          "select 1 from entries where service = :service and case when :key ~ '^[0-9a-f.:]+$' then name::inet >>= :key::inet end",
      },
    },
    limits: {},
    start: (entries) =>
      filled(startPostgres(), async (server) => {
        const client = await postgresClient(server);
        await client.query("create table entries (service text, name text, value text, primary key (service, name))");
        for (const { service, key, value } of entries)
          await client.query("insert into entries values ($1, $2, $3)", [service, key, value]);
        await client.end();
      }),
  },
  {
    kind: "mysql",
    peer: "mariadb",
    password: "secret",
    options: { database: "mail", user: "reader", queries: anyQuery },
    limits: { networks: false },
    start: (entries) =>
      filled(mariadb.start(), async (server) => {
        const connection = mysql
          .createConnection({ socketPath: server.socket, user: "root", database: "mail", charset: "utf8mb4" })
          .promise();
        await connection.query(
          "create table entries (service varchar(20), name varchar(300), value text, primary key (service, name))",
        );
        for (const { service, key, value } of entries)
          await connection.execute("insert into entries values (?, ?, ?)", [service, key, value]);
        await connection.end();
      }),
  },
  {
    kind: "ldap",
    peer: "slapd",
    password: "secret",
    options: {
      bindDn: "cn=admin,dc=posthorn,dc=test",
      password: "secret",
      base: "ou=%{service},dc=posthorn,dc=test",
      scope: "one",
      searches: {
        string: { filter: "(sn=%{key})", attributes: ["description"] },
        domain: { filter: "(sn=%{key})" },
        network: { filter: "(sn=%{key})" },
      },
    },
    limits: { networks: false },
    start: (entries) =>
      startSlapd(
        [
          entry("dc=posthorn,dc=test", { objectClass: ["dcObject", "organization"], o: "Posthorn", dc: "posthorn" }),
          ...[...new Set(entries.map(({ service }) => service))].map((ou) =>
            entry(`ou=${ou},dc=posthorn,dc=test`, { objectClass: "organizationalUnit", ou }),
          ),
          ...entries.map(({ service, key, value }, at) =>
            entry(`cn=entry${at},ou=${service},dc=posthorn,dc=test`, {
              objectClass: "inetOrgPerson",
              cn: `entry${at}`,
              sn: key,
              ...(value === "" ? {} : { description: value }),
            }),
          ),
        ].join(""),
      ),
  },
  {
    kind: "redis",
    peer: "redis",
    password: "readonly",
    options: {
      user: "reader",
      prefix: "table:",
      commands: {
        string: "HGET %{service} %{key}",
        domain: "HEXISTS %{service} %{key}",
        network: "HEXISTS %{service} %{key}",
      },
    },
    limits: { networks: false },
    start: (entries) =>
      filled(startRedis(), async (server) => {
        const client = createClient({ socket: { host: "127.0.0.1", port: server.port }, password: "secret" });
        await client.connect();
        for (const { service, key, value } of entries) await client.hSet(`table:${service}`, key, value);
        client.destroy();
      }),
  },
];
