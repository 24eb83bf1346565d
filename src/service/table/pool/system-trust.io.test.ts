import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { createSecureContext, TLSSocket } from "node:tls";
import { systemClock } from "../../../foundation/clock.io.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { testAuthority } from "../../../testing/test-authority.ts";
import { trustIn } from "../../../testing/trust.ts";
import { isBackendSource } from "../backend-source.ts";
import { openBackend } from "../open-backend.io.ts";
import { tablesSettings } from "../settings.ts";
import { systemTrust } from "./system-trust.io.ts";
import type { SystemTrust } from "./system-trust.ts";

const authority = await testAuthority("Ours");
const stranger = await testAuthority("Somebody else");
const shown = await authority.issue(["localhost"]);

/** Protocol 10 with all that clients want, encryption too. */
const MYSQL_GREETING = Buffer.concat([
  Buffer.from([0x4a, 0, 0, 0]),
  Buffer.from("\n8.0.0\0\x01\0\0\0abcdefgh\0", "latin1"),
  Buffer.from([0xff, 0xff, 0x2d, 2, 0, 0xff, 0x00, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  Buffer.from("ijklmnopqrst\0mysql_native_password\0", "latin1"),
]);
MYSQL_GREETING[0] = MYSQL_GREETING.length - 4;

const sql = { database: "mail", user: "posthorn", queries: { alias: "select a from t where k = :key" } };
interface Conduct {
  readonly greeting: Buffer | undefined;
  readonly asks: boolean;
  readonly answer: Buffer | undefined;
}

/** What each says before its handshake, and after what it was asked for one. */
const KINDS = {
  postgres: { options: sql, greeting: undefined, asks: true, answer: Buffer.from("S") },
  mysql: { options: sql, greeting: MYSQL_GREETING, asks: true, answer: undefined },
  redis: { options: { commands: { alias: "GET %{key}" } }, greeting: undefined, asks: false, answer: undefined },
  ldap: {
    options: {
      bindDn: "cn=posthorn",
      password: "sesame",
      base: "dc=example",
      searches: { alias: { filter: "(mail=%{key})", attributes: ["uid"] } },
    },
    greeting: undefined,
    asks: true,
    // The extended response to StartTLS; the fifth byte is the number of what was asked.
    answer: Buffer.from([0x30, 12, 2, 1, 1, 0x78, 7, 10, 1, 0, 4, 0, 4, 0]),
  },
} as const;

type Kind = keyof typeof KINDS;
const ports = new Map<Kind, number>();
let shaken: Kind[] = [];
let close: (() => void) | undefined;

before(async () => {
  const context = createSecureContext({ cert: shown.certificatePem, key: shown.keyPem });
  const sockets = new Set<Socket>();
  const servers = await Promise.all(
    (["postgres", "mysql", "redis", "ldap"] as const).map(async (kind) => {
      const { greeting, asks, answer }: Conduct = KINDS[kind];
      const server = createServer((socket) => {
        sockets.add(socket);
        socket.on("error", () => {});
        if (greeting !== undefined) socket.write(greeting);
        const shakeHands = (asked?: Buffer): void => {
          if (kind === "ldap") answer?.writeUInt8(asked?.[4] ?? 0, 4);
          if (answer !== undefined) socket.write(answer);
          const secure = new TLSSocket(socket, { isServer: true, secureContext: context });
          secure.on("error", () => {});
          // What a client says first, it says to whom it believes.
          secure.once("data", () => {
            shaken.push(kind);
            secure.destroy();
          });
        };
        if (!asks) shakeHands();
        else
          socket.once("data", (bytes: Buffer) => {
            // MySQL's clients do not wait for an answer.
            const rest = kind === "mysql" ? bytes.subarray(bytes.readUIntLE(0, 3) + 4) : Buffer.alloc(0);
            socket.pause();
            if (rest.length > 0) socket.unshift(rest);
            shakeHands(bytes);
          });
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      ports.set(kind, typeof address === "object" && address !== null ? address.port : 0);
      return server;
    }),
  );
  close = () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
  };
});
after(() => close?.());

async function askedOnce(kind: Kind, trust: SystemTrust, tls = "verify"): Promise<string> {
  shaken = [];
  const { table } = tablesSettings.parse({
    table: {
      [kind]: {
        connectTimeout: "2s",
        queryTimeout: "2s",
        hosts: `localhost:${ports.get(kind)}`,
        tls,
        ...KINDS[kind].options,
      },
    },
  });
  assert.ok(table !== undefined && isBackendSource(table));
  const world = {
    clock: systemClock,
    random: seededRandom(1),
    trust,
    onFinding: () => {},
    secrets: { table: "sesame" },
  };
  const backend = await openBackend("table", table, world);
  const answer = await backend.get("joe", { service: "alias" });
  await backend.close();
  return answer.kind === "failed" ? answer.text : answer.kind;
}

for (const kind of ["postgres", "mysql", "redis", "ldap"] as const)
  test(`a ${kind} server that nobody is named for is verified with the system's authorities, and with no others`, async () => {
    await askedOnce(kind, trustIn(authority.certificatePem));
    assert.deepEqual(shaken, [kind]);
    assert.match(await askedOnce(kind, trustIn(stranger.certificatePem)), /certificate/);
    assert.deepEqual(shaken, []);
    const gone = systemTrust({
      authorities: () => Promise.resolve({ pems: [], problem: "/etc/ca.pem does not exist" }),
      onChange: () => () => {},
    });
    assert.match(await askedOnce(kind, gone), /no authority of the system .*: \/etc\/ca\.pem does not exist/);
    assert.deepEqual(shaken, []);
    // Who does not verify needs nobody.
    await askedOnce(kind, gone, "unverified");
    assert.deepEqual(shaken, [kind]);
  });

test("the system's authorities are asked for once, again after a change, and again where there were none", async () => {
  let pems: readonly string[] = [];
  let asked = 0;
  let change = (): void => {};
  const trust = systemTrust({
    authorities: () => {
      asked++;
      return Promise.resolve({ pems });
    },
    onChange(tell) {
      change = tell;
      return () => {};
    },
  });
  await assert.rejects(trust.current(), /there are none$/);
  pems = [authority.certificatePem];
  const first = await trust.current();
  assert.equal(await trust.current(), first);
  assert.equal(asked, 2);
  change();
  assert.notEqual((await trust.current()).context, first.context);
  pems = [];
  change();
  await assert.rejects(trust.current(), /there are none$/);
});
