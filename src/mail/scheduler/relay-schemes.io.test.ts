import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createSecureContext } from "node:tls";
import { generate } from "selfsigned";
import { systemClock } from "../../foundation/clock.io.ts";
import { emitNothing } from "../../foundation/events.ts";
import { seededRandom } from "../../foundation/random.ts";
import { createPeer, USUAL_EXTENSIONS, type Peer, type PeerOptions } from "../../simulator/peer.ts";
import { createZone } from "../../simulator/zone.ts";
import { policiesOf, testKeeper } from "../../testing/client-tls.ts";
import { parseRelay } from "../route/relay.ts";
import { planOf } from "./plan.ts";
import type { ConnectRequest, TransactRequest } from "../delivery/delivery.ts";
import { smtpClientSettings } from "../delivery/settings.ts";
import { createNetworkDelivery } from "../delivery/smtp/network-delivery.io.ts";
import { tcpDial } from "../delivery/smtp/tcp-dial.io.ts";

const directory = mkdtempSync(join(tmpdir(), "posthorn-schemes-"));
after(() => rmSync(directory, { recursive: true }));

async function pairFor(name: string) {
  return generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 2, value: name }] },
    ],
  });
}
const right = await pairFor("mx.example");
const wrong = await pairFor("elsewhere.example");
const caFile = join(directory, "ca.pem");
writeFileSync(caFile, right.cert);
const rightContext = createSecureContext({ key: right.private, cert: right.cert });
const wrongContext = createSecureContext({ key: wrong.private, cert: wrong.cert });

/** How hosts behave towards encryption. */
const HOSTS: Readonly<Record<string, Partial<PeerOptions>>> = {
  "not offered": {},
  refused: {
    extensions: [...USUAL_EXTENSIONS, "AUTH PLAIN", "STARTTLS"],
    at: (point) => (point === "STARTTLS" ? { do: "reply", text: "454 4.7.0 not now" } : undefined),
  },
  broken: {
    extensions: [...USUAL_EXTENSIONS, "AUTH PLAIN", "STARTTLS"],
    at: (point) => (point === "STARTTLS" ? { do: "reply", text: "220 go ahead", thenClose: true } : undefined),
  },
  "wrong cert": { tls: { context: wrongContext } },
  implicit: { tls: { context: rightContext, isImplicit: true } },
  "implicit, wrong": { tls: { context: wrongContext, isImplicit: true } },
  fine: { tls: { context: rightContext } },
};

/**
 * What DESIGN says comes of each scheme at each host. TLS: encrypted and verified. tls: encrypted, the certificate does
 * not verify. plain: in plaintext. wait: not at all for now.
 */
const TABLE = `
  scheme    login verify | not offered | refused | broken | wrong cert | implicit | implicit, wrong | fine
  smtp+tls  no    -      | plain       | plain   | plain  | tls        | wait     | wait            | TLS
  smtp+tls  no    yes    | wait        | wait    | wait   | wait       | wait     | wait            | TLS
  smtp+tls  yes   -      | wait        | wait    | wait   | wait       | wait     | wait            | TLS
  smtp+tls  yes   no     | wait        | wait    | wait   | tls        | wait     | wait            | TLS
  smtp      no    -      | plain       | plain   | plain  | plain      | wait     | wait            | plain
  smtp      no    yes    | wait        | wait    | wait   | wait       | wait     | wait            | wait
  smtp      yes   -      | wait        | wait    | wait   | wait       | wait     | wait            | wait
  smtp      yes   no     | wait        | wait    | wait   | wait       | wait     | wait            | wait
  tls       no    -      | wait        | wait    | wait   | tls        | wait     | wait            | TLS
  tls       no    yes    | wait        | wait    | wait   | wait       | wait     | wait            | TLS
  tls       yes   -      | wait        | wait    | wait   | wait       | wait     | wait            | TLS
  tls       yes   no     | wait        | wait    | wait   | tls        | wait     | wait            | TLS
  smtps     no    -      | wait        | wait    | wait   | wait       | TLS      | tls             | wait
  smtps     no    yes    | wait        | wait    | wait   | wait       | TLS      | wait            | wait
  smtps     yes   -      | wait        | wait    | wait   | wait       | TLS      | wait            | wait
  smtps     yes   no     | wait        | wait    | wait   | wait       | TLS      | tls             | wait
  ssl       no    -      | wait        | wait    | wait   | tls        | TLS      | tls             | TLS
  ssl       no    yes    | wait        | wait    | wait   | wait       | TLS      | wait            | TLS
  ssl       yes   -      | wait        | wait    | wait   | wait       | TLS      | wait            | TLS
  ssl       yes   no     | wait        | wait    | wait   | tls        | TLS      | tls             | TLS
  lmtp      no    -      | plain       | plain   | plain  | tls        | wait     | wait            | TLS
  lmtp      no    yes    | wait        | wait    | wait   | wait       | wait     | wait            | TLS
  lmtp      yes   -      | wait        | wait    | wait   | wait       | wait     | wait            | TLS
  lmtp      yes   no     | wait        | wait    | wait   | tls        | wait     | wait            | TLS
`;

type Expected = "TLS" | "tls" | "plain" | "wait";

interface Cell {
  readonly scheme: string;
  readonly hasLogin: boolean;
  readonly verify: boolean | undefined;
  readonly host: string;
  readonly expected: Expected;
}

function cells(): Cell[] {
  const [head = "", ...rows] = TABLE.trim()
    .split("\n")
    .map((line) => line.trim());
  const hosts = head
    .split("|")
    .slice(1)
    .map((name) => name.trim());
  return rows.flatMap((row) => {
    const [about = "", ...outcomes] = row.split("|").map((cell) => cell.trim());
    const [scheme = "", login, verify] = about.split(/\s+/);
    return outcomes.map((expected, at) => ({
      scheme,
      hasLogin: login === "yes",
      verify: verify === "-" ? undefined : verify === "yes",
      host: hosts[at] ?? "",
      expected: expected as Expected,
    }));
  });
}

/** A host that records every byte it was given before TLS. */
async function startHost(name: string, protocol: "smtp" | "lmtp") {
  const options = HOSTS[name];
  assert.ok(options !== undefined, name);
  const peer: Peer = createPeer({
    clock: systemClock,
    protocol,
    extensions: [...USUAL_EXTENSIONS, "AUTH PLAIN"],
    login: { user: "me", password: "secret" },
    ...options,
  });
  const plaintext: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    if (options.tls?.isImplicit !== true) socket.on("data", (bytes: Buffer) => plaintext.push(bytes));
    peer.accept(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    peer,
    port: (server.address() as AddressInfo).port,
    plaintext: () => Buffer.concat(plaintext).toString("latin1"),
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const settings = smtpClientSettings.parse({
  caFile,
  connectTimeout: "1s",
  greetingTimeout: "1s",
  commandTimeout: "20s",
  tlsTimeout: "20s",
  quitTimeout: "200ms",
});

function requestFor(cell: Cell, port: number): ConnectRequest {
  const relay = parseRelay(`${cell.scheme}://${cell.hasLogin ? "office@" : ""}mx.example:${port}`);
  assert.ok(relay.ok && relay.value.to.kind === "host");
  // What the scheduler makes of the settings, `verify` left out included.
  const plan = planOf(
    {
      kind: "relay",
      to: [`${cell.scheme}://${cell.hasLogin ? "office@" : ""}mx.example:${port}`],
      verify: cell.verify,
      backup: false,
    },
    "us.example",
  );
  assert.ok(plan.kind === "relay");
  const [way] = plan.ways;
  assert.ok(way !== undefined);
  return {
    session: "s",
    host: { name: "mx.example", address: { ip: "127.0.0.1", port }, preference: 0 },
    protocol: way.relay.protocol,
    tls: way.relay.tls,
    verify: way.verify,
    credentials: way.relay.credentials,
    helo: "us.example",
    relay: way.text,
    destination: `mx.example:${port}`,
  };
}

const transaction: TransactRequest = {
  session: "s",
  message: {
    id: "M1",
    sender: "a@us.example",
    receivedAt: 0,
    sizeBytes: 100,
    content: "7bit",
    isInternational: false,
    origin: { listener: "l", protocol: "ESMTP", session: "x" },
  },
  envelopes: [{ id: "M1.1", message: "M1", recipient: "b@there.example", notify: [], action: "relay" }],
  body: { kind: "inline", bytes: Buffer.from("Subject: x\r\n\r\nhello\r\n") },
};

async function outcomeOf(cell: Cell): Promise<{ outcome: Expected; why: string }> {
  using host = await startHost(cell.host, cell.scheme === "lmtp" ? "lmtp" : "smtp");
  await using delivery = createNetworkDelivery({
    clock: systemClock,
    random: seededRandom(1),
    emit: emitNothing,
    settings,
    resolver: createZone({}),
    dial: tcpDial,
    openBody: async function* () {},
    credentials: () => ({ user: "me", password: "secret" }),
    hostname: "us.example",
    localAddresses: [],
    keeper: testKeeper(),
    policies: policiesOf(settings.tls),
  });
  const connected = await delivery.connect(requestFor(cell, host.port));
  let outcome: Expected = "wait";
  let why = "";
  if (connected.ok) {
    const transacted = await delivery.transact(transaction);
    assert.equal(transacted.outcomes[0]?.kind, "delivered", JSON.stringify(transacted));
    const [message] = host.peer.messages;
    assert.equal(message?.account, cell.hasLogin ? "me" : undefined);
    const { tls } = connected.facts;
    assert.equal(tls !== undefined, message?.isEncrypted, "what is said of encryption is what was");
    outcome = tls === undefined ? "plain" : tls.verdict.result === "OK" ? "TLS" : "tls";
    await delivery.leave("s");
  } else {
    assert.equal(connected.failure.lasting, "temporary");
    assert.equal(host.peer.messages.length, 0);
    why = JSON.stringify(connected.failure.cause);
  }
  const plaintext = host.plaintext();
  const asksEncryption = ["tls", "smtps", "ssl"].includes(cell.scheme) || cell.hasLogin || cell.verify === true;
  // Wherever encryption was asked for: not one command of the envelope in the clear.
  if (asksEncryption) assert.doesNotMatch(plaintext, /^(?:MAIL|RCPT|DATA|BDAT)\b/im);
  assert.doesNotMatch(plaintext, /^AUTH\b|c2VjcmV0/im, "credentials in plaintext");
  if (outcome !== "plain") assert.doesNotMatch(plaintext, /hello\r\n/);
  return { outcome, why };
}

test("each scheme does at each host what it says, with and without a login and verification, and nothing asked to be encrypted is ever said in the clear", async () => {
  const all = cells();
  assert.equal(all.length, 24 * 7);
  const waiting = [...all];
  const wrongCells: string[] = [];
  const work = async (): Promise<void> => {
    for (let cell = waiting.shift(); cell !== undefined; cell = waiting.shift()) {
      const name = `${cell.scheme} login=${cell.hasLogin} verify=${cell.verify} at ${cell.host}`;
      const told = await outcomeOf(cell).catch((thrown: unknown) => ({ outcome: String(thrown), why: "" }));
      if (told.outcome !== cell.expected) wrongCells.push(`${name}: ${told.outcome} ${told.why}, not ${cell.expected}`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  assert.deepEqual(wrongCells, []);
});

test("ssl goes to port 465 after 25, backup is as smtp+tls, and a unix socket needs no encryption", () => {
  for (const [url, tls, port] of [
    ["backup://", "may", 25],
    ["backup://mx2.us.example", "may", 25],
    ["tls+backup://", "starttls", 25],
    ["ssl+backup://", "starttls-or-implicit", 25],
    ["smtps+backup://", "implicit", 465],
    ["lmtp+unix:/run/lmtp", "never", 0],
  ] as const) {
    const relay = parseRelay(url);
    assert.ok(relay.ok, url);
    assert.deepEqual([relay.value.tls, relay.value.defaultPort], [tls, port], url);
  }
});
