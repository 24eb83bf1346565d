import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { systemClock } from "../../foundation/clock.io.ts";
import { PosthornError } from "../../foundation/error.ts";
import { testAuthority } from "../../testing/test-authority.ts";
import { plainTerms } from "../../testing/tls-profile.ts";
import { parsePair, type CertificatePair } from "./keeper/certificate.ts";
import type { ContextTerms } from "./contexts.io.ts";
import {
  NoCertificate,
  type CertificateAnswer,
  type Keeper,
  type KeeperChange,
  type ProfileMaterial,
} from "./keeper/keeper.ts";
import { listenerProfile, type ListenerProfile } from "./profile.io.ts";
import { tlsServer } from "./server.io.ts";
import type { Handshaken, ServerProfile } from "./tls.ts";

const root = await testAuthority("Root CA");
const rsaRoot = await testAuthority("RSA CA", "rsa");

async function pairOf(names: readonly string[], authority = root): Promise<CertificatePair> {
  const parsed = parsePair({ ...(await authority.issue(names)), origin: names.join() });
  assert.ok(parsed.ok);
  return parsed.value;
}

/** A keeper whose answers a test sets, and which can be away. */
function fakeKeeper(pairs: readonly CertificatePair[]) {
  const listening = new Set<(change: KeeperChange) => void>();
  const state = {
    isAway: false,
    asked: [] as string[],
    material: {
      pairs,
      hasTables: false,
      challenges: [],
      tickets: { key: randomBytes(48), replacedAt: 0 },
    } as ProfileMaterial,
    table: {} as Record<string, CertificateAnswer>,
  };
  const present = <Value>(value: () => Value): Promise<Value> =>
    state.isAway
      ? Promise.reject(
          new PosthornError("ROLE_UNAVAILABLE", { message: "the keeper process is not there", advice: "x" }),
        )
      : Promise.resolve(value());
  const keeper: Keeper = {
    profile: () => present(() => state.material),
    certificateFor: (name) =>
      present(() => {
        state.asked.push(name);
        return state.table[name] ?? { kind: "none" };
      }),
    anchors: () => present(() => ({ pems: [root.certificatePem], origin: "x" })),
    clientCertificate: () => present(() => ({ pairs: [] })),
    onChange(tell) {
      listening.add(tell);
      return () => listening.delete(tell);
    },
  };
  return Object.assign(state, {
    keeper,
    change(change: KeeperChange, material: Partial<ProfileMaterial> = {}) {
      state.material = { ...state.material, ...material };
      for (const tell of listening) tell(change);
    },
  });
}

interface Serving extends AsyncDisposable {
  readonly profile: ListenerProfile;
  readonly troubles: readonly string[];
  readonly handshakes: Handshaken[];
  readonly port: number;
  /** A handshake from outside; the session for a next one, the certificate seen, whether it was resumed. */
  shake(options?: ConnectionOptions): Promise<Shaken>;
}

interface Shaken {
  readonly name: string | undefined;
  readonly isResumed: boolean;
  readonly session: Buffer | undefined;
  readonly group: string | undefined;
  readonly error: string | undefined;
}

async function serving(
  keeper: Keeper,
  terms: Partial<ContextTerms> = {},
  client: Parameters<typeof listenerProfile>[0]["client"] = { mode: "none" },
): Promise<Serving> {
  const troubles: string[] = [];
  const handshakes: Handshaken[] = [];
  const profile = listenerProfile({
    keeper,
    terms: { ...plainTerms, ...terms },
    client,
    clock: systemClock,
    onTrouble: (text) => troubles.push(text),
  });
  await profile.ready;
  const engine = tlsServer({ profile: () => profile.current(), clock: systemClock });
  const server = createServer({ allowHalfOpen: true }, (raw) => {
    void engine.accept(raw, { deadlineMs: 5000 }).then(async (handshaken) => {
      handshakes.push(handshaken);
      if (!handshaken.ok) return;
      handshaken.connection.socket.write("hello");
      handshaken.connection.socket.resume();
      handshaken.connection.socket.on("end", () => void handshaken.connection.close(500));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A TCP server says where it listens.
  const { port } = server.address() as AddressInfo;
  return {
    profile,
    troubles,
    handshakes,
    port,
    shake: (options = {}) => shake(port, options),
    async [Symbol.asyncDispose]() {
      profile.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function shake(port: number, options: ConnectionOptions): Promise<Shaken> {
  return new Promise((resolve) => {
    let session: Buffer | undefined;
    let isResumed = false;
    let seen: Pick<Shaken, "name" | "group"> = { name: undefined, group: undefined };
    const socket: TLSSocket = connectTls({
      socket: connect(port, "127.0.0.1"),
      servername: "mx.example",
      rejectUnauthorized: false,
      ...options,
    });
    socket.on("session", (made: Buffer) => (session = made));
    socket.on("secureConnect", () => {
      isResumed = socket.isSessionReused();
      const key: unknown = socket.getEphemeralKeyInfo();
      const group = typeof key === "object" && key !== null && "name" in key ? String(key.name) : undefined;
      seen = { name: socket.getPeerX509Certificate()?.subjectAltName?.replace("DNS:", ""), group };
    });
    socket.once("data", () => setTimeout(() => socket.end(), 20));
    socket.on("error", (error) => resolve({ ...seen, isResumed, session, error: error.message }));
    socket.on("close", () => resolve({ ...seen, isResumed, session, error: undefined }));
  });
}

function current(serve: Serving): ServerProfile {
  const profile = serve.profile.current();
  assert.ok(profile);
  return profile;
}

test("the name asked for chooses the certificate, and the kind of key is the client's choice", async () => {
  const fake = fakeKeeper([
    await pairOf(["default.example"]),
    await pairOf(["mx.example", "*.mx.example"]),
    await pairOf(["mx.example", "*.mx.example"], rsaRoot),
  ]);
  await using serve = await serving(fake.keeper);
  const mx = "mx.example, DNS:*.mx.example";
  assert.equal((await serve.shake()).name, mx);
  assert.equal((await serve.shake({ servername: "a.mx.example" })).name, mx);
  assert.equal((await serve.shake({ servername: "b.a.mx.example" })).name, "default.example");
  assert.equal((await serve.shake({ servername: "" })).name, "default.example");
  await serve.shake({ sigalgs: "RSA-PSS+SHA256" });
  const [, , , , rsa] = serve.handshakes;
  assert.equal(rsa?.ok && rsa.connection.facts.ownCertificate?.keyKind, "rsa");
  const [first] = serve.handshakes;
  assert.equal(first?.ok && first.connection.facts.ownCertificate?.keyKind, "ec");
  assert.equal(first?.ok && first.connection.facts.group, "X25519MLKEM768", "hybrid by default");
});

test("a new certificate is shown from the next handshake on; connections that are there go on", async () => {
  const fake = fakeKeeper([await pairOf(["old.example"])]);
  await using serve = await serving(fake.keeper);
  const first = await new Promise<TLSSocket>((resolve) => {
    const socket = connectTls({ port: serve.port, host: "127.0.0.1", rejectUnauthorized: false }, () =>
      resolve(socket),
    );
  });
  fake.change("certificates", { pairs: [await pairOf(["new.example"])] });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await serve.shake()).name, "new.example");
  assert.equal(first.destroyed, false);
  const echoed = new Promise((resolve) => first.once("close", resolve));
  first.end();
  first.resume();
  await echoed;
  const [before] = serve.handshakes;
  assert.equal(before?.ok && before.connection.closing().peer, "close_notify");
});

test("a ticket is good in every process with the same key, with and without a name, in both versions", async () => {
  const pairs = [await pairOf(["default.example"]), await pairOf(["mx.example"])];
  const fake = fakeKeeper(pairs);
  await using one = await serving(fake.keeper);
  await using other = await serving(fake.keeper);
  for (const version of ["TLSv1.2", "TLSv1.3"] as const)
    for (const servername of ["", "mx.example"]) {
      const options = { servername, minVersion: version, maxVersion: version };
      const { session, isResumed } = await one.shake(options);
      assert.ok(session !== undefined && !isResumed, `${version} ${servername}`);
      assert.equal((await other.shake({ ...options, session })).isResumed, true, `${version} ${servername}`);
    }
});

test("after rotation or a new certificate an old ticket means a full handshake, never a failure", async () => {
  const fake = fakeKeeper([await pairOf(["mx.example"])]);
  await using serve = await serving(fake.keeper);
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const options = { minVersion: version, maxVersion: version };
    const { session } = await serve.shake(options);
    assert.ok(session);
    fake.change("tickets", { tickets: { key: randomBytes(48), replacedAt: 1 } });
    await new Promise((resolve) => setImmediate(resolve));
    const again = await serve.shake({ ...options, session });
    assert.deepEqual([again.isResumed, again.error, again.name], [false, undefined, "mx.example"]);
    assert.ok(again.session);
    assert.equal((await serve.shake({ ...options, session: again.session })).isResumed, true);
    fake.change("certificates", { pairs: [await pairOf(["mx.example"])] });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await serve.shake({ ...options, session: again.session })).error, undefined);
  }
});

test("a session of one listener, or of other demands on clients, is not resumed at another", async () => {
  const fake = fakeKeeper([await pairOf(["mx.example"])]);
  await using one = await serving(fake.keeper);
  await using other = await serving(fake.keeper, { listener: "other" });
  await using asking = await serving(fake.keeper, {}, { mode: "verify", authorities: "ca.pem" });
  const { session } = await one.shake();
  assert.ok(session);
  for (const serve of [other, asking]) {
    const again = await serve.shake({ session });
    assert.deepEqual([again.isResumed, again.error], [false, undefined]);
  }
});

test("without tickets nobody resumes", async () => {
  const fake = fakeKeeper([await pairOf(["mx.example"])]);
  await using serve = await serving(fake.keeper, { hasTickets: false });
  const { session } = await serve.shake({ maxVersion: "TLSv1.2" });
  const again = await serve.shake({ maxVersion: "TLSv1.2", ...(session === undefined ? {} : { session }) });
  assert.equal(again.isResumed, false);
});

test("versions, ciphers and groups are the listener's", async () => {
  const fake = fakeKeeper([await pairOf(["mx.example"])]);
  await using serve = await serving(fake.keeper, {
    maxVersion: "TLSv1.2",
    groups: "secp384r1",
    ciphers: "ECDHE+AES256",
  });
  assert.match((await serve.shake({ minVersion: "TLSv1.3" })).error ?? "", /alert/i);
  await serve.shake();
  const last = serve.handshakes.at(-1);
  assert.ok(last?.ok);
  const { version, cipher, group } = last.connection.facts;
  assert.deepEqual([version, cipher, group], ["TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "secp384r1"]);
});

test("a table is asked for names that nobody else has; what it knows and does not know is remembered", async () => {
  const fake = fakeKeeper([await pairOf(["default.example"])]);
  const pair = await pairOf(["table.example"]);
  fake.material = { ...fake.material, hasTables: true };
  fake.table = { "table.example": { kind: "found", pairs: [pair], version: "1" } };
  await using serve = await serving(fake.keeper);
  assert.equal((await serve.shake({ servername: "table.example" })).name, "table.example");
  assert.equal((await serve.shake({ servername: "Table.example" })).name, "table.example");
  assert.equal((await serve.shake({ servername: "unknown.example" })).name, "default.example");
  assert.equal((await serve.shake({ servername: "unknown.example" })).name, "default.example");
  assert.equal((await serve.shake({ servername: "default.example" })).name, "default.example");
  assert.deepEqual(fake.asked, ["table.example", "unknown.example"]);
});

test("while the keeper is away known names are served on; an unknown one is told as that, not as another certificate", async () => {
  const fake = fakeKeeper([await pairOf(["default.example"])]);
  const pair = await pairOf(["table.example"]);
  fake.material = { ...fake.material, hasTables: true };
  fake.table = {
    "table.example": { kind: "found", pairs: [pair], version: "1" },
    "failing.example": { kind: "failed", text: "the table is gone" },
  };
  await using serve = await serving(fake.keeper);
  await serve.shake({ servername: "table.example" });
  fake.isAway = true;
  fake.change("certificates");
  assert.equal((await serve.shake({ servername: "default.example" })).name, "default.example");
  assert.equal((await serve.shake({ servername: "table.example" })).name, "table.example");
  assert.notEqual((await serve.shake({ servername: "new.example" })).error, undefined);
  const last = serve.handshakes.at(-1);
  assert.equal(!last?.ok && last?.finding.reason, "keeper-unavailable");
  assert.match(serve.troubles.join("\n"), /the keeper process is not there; what is known serves on/);
  fake.isAway = false;
  assert.equal((await serve.shake({ servername: "new.example" })).name, "default.example");
  // A table that fails is not one that has nothing.
  await assert.rejects(
    Promise.resolve(current(serve).optionsFor("failing.example")),
    (thrown) => thrown instanceof NoCertificate && thrown.reason === "keeper-unavailable",
  );
});

test("a keeper that comes late is asked until it answers", async () => {
  const fake = fakeKeeper([await pairOf(["mx.example"])]);
  fake.isAway = true;
  await using serve = await serving(fake.keeper);
  assert.equal(serve.profile.current(), undefined);
  fake.isAway = false;
  for (let at = 0; at < 100 && serve.profile.current() === undefined; at++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await serve.shake()).name, "mx.example");
});

test("a challenge of ACME is shown to who offers acme-tls/1 for its name, and to nobody else", async () => {
  const fake = fakeKeeper([await pairOf(["mx.example"])]);
  fake.material = { ...fake.material, challenges: [["mx.example", await pairOf(["mx.example", "challenge.example"])]] };
  await using serve = await serving(fake.keeper);
  const names = (shaken: Shaken): boolean | undefined => shaken.name?.includes("challenge");
  assert.equal(names(await serve.shake({ ALPNProtocols: ["acme-tls/1"] })), true);
  assert.equal(names(await serve.shake()), false);
  // While a challenge is open, ALPN of others is heeded as little as before.
  assert.equal(names(await serve.shake({ ALPNProtocols: ["smtp"] })), false);
});

test("certificates of clients are verified with the listener's authorities, and by nobody where there are none", async () => {
  const fake = fakeKeeper([await pairOf(["mx.example"])]);
  const stranger = await testAuthority("Stranger CA");
  const verdictOf = async (authorities: string | undefined, shown: { certificatePem: string; keyPem: string }) => {
    await using serve = await serving(fake.keeper, {}, { mode: "ask", authorities });
    await serve.shake({ cert: shown.certificatePem, key: shown.keyPem });
    const [handshake] = serve.handshakes;
    assert.ok(handshake?.ok);
    return handshake.connection.facts.verdict.result;
  };
  const good = await root.issue(["client.example"]);
  assert.equal(await verdictOf("ca.pem", good), "OK");
  assert.equal(await verdictOf("ca.pem", await stranger.issue(["client.example"])), "FAIL");
  assert.equal(await verdictOf(undefined, good), "FAIL");
});

for (const version of ["TLSv1.2", "TLSv1.3"] as const)
  test(`${version}: a resumed session is the client of its first handshake, judged again: never nobody, and never better`, async () => {
    const fake = fakeKeeper([await pairOf(["mx.example"])]);
    await using serve = await serving(fake.keeper, {}, { mode: "verify", authorities: "ca.pem" });
    const middle = await root.below("Middle CA");
    const stranger = await testAuthority("Stranger CA");
    for (const [issuer, result] of [
      [root, "OK"],
      [middle, "OK"],
      [stranger, "FAIL"],
    ] as const) {
      const issued = await issuer.issue(["client.example"]);
      const chain = issuer === middle ? middle.certificatePem : "";
      const own = { ...issued, certificatePem: issued.certificatePem + chain };
      const other = await root.issue(["other.example"]);
      serve.handshakes.length = 0;
      const first = await serve.shake({ maxVersion: version, cert: own.certificatePem, key: own.keyPem });
      assert.ok(first.session !== undefined, first.error);
      // Whatever certificate comes with it, the session is its first owner's.
      for (const shown of [own, other]) {
        const options: ConnectionOptions = {
          maxVersion: version,
          session: first.session,
          cert: shown.certificatePem,
          key: shown.keyPem,
        };
        assert.equal((await serve.shake(options)).isResumed, true);
      }
      const facts = serve.handshakes.map((one) => (one.ok ? one.connection.facts : undefined));
      assert.deepEqual(
        facts.map((one) => [one?.isResumed, one?.verdict.result]),
        [
          [false, result],
          [true, result],
          [true, result],
        ],
      );
      const [fingerprint, ...again] = facts.map((one) => one?.peerCertificate?.fingerprint);
      assert.ok(fingerprint !== undefined);
      assert.deepEqual(again, [fingerprint, fingerprint]);
    }
  });

test("a certificate that OpenSSL refuses is told, and the next one is the default", async () => {
  const good = await pairOf(["good.example"]);
  const bad: CertificatePair = {
    ...good,
    names: ["bad.example"],
    keyPem: "nonsense",
    fingerprint: "b",
    origin: "bad.pem",
  };
  const fake = fakeKeeper([bad, good]);
  await using serve = await serving(fake.keeper);
  assert.equal((await serve.shake({ servername: "" })).name, "good.example");
  assert.equal((await serve.shake({ servername: "bad.example" })).name, "good.example");
  assert.match(serve.troubles.join("\n"), /bad\.pem cannot be used/);
  assert.doesNotMatch(serve.troubles.join("\n"), /nonsense|PRIVATE KEY/);
});
