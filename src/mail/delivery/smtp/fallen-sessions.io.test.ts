import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { emitNothing } from "../../../foundation/events.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { createZone } from "../../../simulator/zone.ts";
import { policiesOf, testKeeper } from "../../../testing/client-tls.ts";
import type { Message } from "../../envelope/envelope.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { Transacted } from "../delivery.ts";
import { smtpClientSettings } from "../settings.ts";
import { createNetworkDelivery } from "./network-delivery.io.ts";
import { tcpDial } from "./tcp-dial.io.ts";

/** What a session that is less than it should be does to mail: the host lacks and refuses for now only. */

const WITH_TLS = "250-mx.example\r\n250 STARTTLS\r\n";
const WITHOUT = "250 mx.example\r\n";
const NEEDS_TLS = "530 5.7.0 Must issue a STARTTLS command first\r\n";

/** What the host says, by the command's first four letters; `reset` ends the connection at the next bytes. */
type Script = Readonly<Record<string, string>>;

async function transactedBy(script: Script, changes: Partial<Message> = {}, policy = "may"): Promise<Transacted> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write("220 mx.example ESMTP\r\n");
    socket.setEncoding("latin1").on("data", (text: string) => {
      if (!/^[A-Z]{4}/.test(text)) return socket.resetAndDestroy();
      for (const line of text.split("\r\n").slice(0, -1))
        socket.write(script[line.slice(0, 4)] ?? "250 2.0.0 fine\r\n");
      return undefined;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const settings = smtpClientSettings.parse({ quitTimeout: "100ms", tls: { policy: { "*": policy } } });
  const delivery = createNetworkDelivery({
    clock: systemClock,
    random: seededRandom(1),
    emit: emitNothing,
    settings,
    resolver: createZone({}),
    dial: tcpDial,
    openBody: async function* () {},
    credentials: () => undefined,
    hostname: "us.example",
    localAddresses: [],
    keeper: testKeeper(),
    policies: policiesOf(settings.tls),
  });
  try {
    const connected = await delivery.connect({
      session: "s1",
      host: { name: "mx.example", address: { ip: "127.0.0.1", port }, preference: 0 },
      protocol: "smtp",
      tls: "may",
      verify: false,
      helo: "us.example",
      relay: "example",
    });
    assert.ok(connected.ok && connected.facts.tls === undefined, JSON.stringify(connected));
    const bytes = Buffer.from(`Subject: x\r\n\r\nh${changes.content === "8bit" ? "\xe4" : "a"}llo\r\n`, "latin1");
    const message: Message = {
      id: "M1",
      sender: "a@us.example",
      receivedAt: 0,
      sizeBytes: bytes.length,
      content: "7bit",
      isInternational: false,
      origin: { listener: "l", protocol: "ESMTP", session: "x" },
      ...changes,
    };
    const envelope = { id: "M1.1", message: "M1", recipient: "b@there.example", notify: [], action: "relay" };
    return await delivery.transact({ session: "s1", message, envelopes: [envelope], body: { kind: "inline", bytes } });
  } finally {
    await delivery[Symbol.asyncDispose]();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

function failureIn({ outcomes }: Transacted): Pick<Failure, "lasting" | "status"> {
  const [outcome] = outcomes;
  assert.ok(outcome?.kind === "failed", JSON.stringify(outcome));
  const { lasting, status } = outcome.failure;
  return { lasting, status };
}

/** Ways into plaintext at a host that offers encryption. */
const FALLS: Readonly<Record<string, Script>> = {
  "the handshake failed": { EHLO: WITH_TLS, STAR: "220 go on\r\n" },
  "STARTTLS was refused for now": { EHLO: WITH_TLS, STAR: "454 4.7.0 TLS not available\r\n" },
};

for (const [how, script] of Object.entries(FALLS)) {
  test(`in plaintext since ${how}, a host that wants encryption is tried again`, async () => {
    const transacted = await transactedBy({ ...script, MAIL: NEEDS_TLS });
    assert.deepEqual(failureIn(transacted), { lasting: "temporary", status: "4.7.0" });
    // The session is no good for other mail either: another host has its turn.
    assert.equal(transacted.ended?.failure.reply?.code, 530);
    const ofOne = await transactedBy({ ...script, RCPT: "550 5.7.10 Encryption needed\r\n" });
    assert.deepEqual(failureIn(ofOne), { lasting: "temporary", status: "4.7.10" });
  });

  test(`in plaintext since ${how}, what a host offers under TLS only is no reason to return mail`, async () => {
    for (const [changes, status] of [
      [{ content: "8bit" }, "4.6.3"],
      [{ sender: "jürgen@us.example", isInternational: true }, "4.6.7"],
      [{ deliverBy: { at: Date.now() + 60_000, mode: "return", trace: false } }, "4.3.3"],
    ] as const)
      assert.deepEqual(failureIn(await transactedBy(script, changes)), { lasting: "temporary", status });
  });

  test(`in plaintext since ${how}, a refusal of the mail itself is one for good`, async () => {
    const refused = await transactedBy({ ...script, MAIL: "550 5.1.8 no such sender\r\n" });
    assert.equal(failureIn(refused).lasting, "permanent");
  });
}

test("a host that offers STARTTLS and wants it keeps the mail of a policy that says none waiting", async () => {
  const transacted = await transactedBy({ EHLO: WITH_TLS, MAIL: NEEDS_TLS }, {}, "none");
  assert.equal(failureIn(transacted).lasting, "temporary");
});

test("a host that wants encryption and offers none keeps the mail waiting, and other hosts have their turn", async () => {
  const atMail = await transactedBy({ EHLO: WITHOUT, MAIL: NEEDS_TLS });
  assert.deepEqual(failureIn(atMail), { lasting: "temporary", status: "4.7.0" });
  assert.equal(atMail.ended?.failure.reply?.code, 530);
  const ofOne = await transactedBy({ EHLO: WITHOUT, RCPT: "550 5.7.10 Encryption needed\r\n" });
  assert.deepEqual(failureIn(ofOne), { lasting: "temporary", status: "4.7.10" });
});

test("what a host without STARTTLS lacks or refuses it does for good", async () => {
  assert.equal(failureIn(await transactedBy({ EHLO: WITHOUT }, { content: "8bit" })).lasting, "permanent");
  const login = { EHLO: WITHOUT, MAIL: "530 5.7.0 Authentication required\r\n" };
  assert.equal(failureIn(await transactedBy(login)).lasting, "permanent");
});

test("a host that refuses EHLO lacks extensions for good where it does not know the command, and else for now", async () => {
  for (const [code, lasting] of [
    [500, "permanent"],
    [502, "permanent"],
    [550, "temporary"],
    [554, "temporary"],
  ] as const) {
    const transacted = await transactedBy({ EHLO: `${code} no\r\n` }, { content: "8bit" });
    assert.equal(failureIn(transacted).lasting, lasting, String(code));
  }
});
