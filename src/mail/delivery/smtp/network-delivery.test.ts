import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { emitNothing } from "../../../foundation/events.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { createNetwork } from "../../../simulator/network.ts";
import {
  createPeer,
  USUAL_EXTENSIONS,
  type PeerOptions,
  type PeerPoint,
  type PeerReaction,
} from "../../../simulator/peer.ts";
import { buildDsn } from "../../../protocol/dsn/dsn.ts";
import { createZone } from "../../../simulator/zone.ts";
import type { Envelope, Message } from "../../envelope/envelope.ts";
import type { Body } from "../../queue/store.ts";
import type { ConnectRequest } from "../delivery.ts";
import type { NextHost } from "../../route/next-host.ts";
import { smtpClientSettings } from "../settings.ts";
import { policiesOf, quickKeeper } from "../../../testing/client-tls.ts";
import { createNetworkDelivery } from "./network-delivery.io.ts";

const noon = Date.UTC(2026, 0, 1, 12);
const minutes = (count: number): number => count * 60_000;
const ADDRESS = "192.0.2.1";
const host: NextHost = { name: "mx.example", address: { ip: ADDRESS, port: 25 }, preference: 10 };

function setUp(
  peerOptions: Partial<PeerOptions> = {},
  settings: object = {},
  bodies: Record<string, readonly Uint8Array[]> = {},
) {
  const clock = virtualClock(noon);
  const network = createNetwork({ clock, latencyMs: 10 });
  const peer = createPeer({ clock, ...peerOptions });
  network.listen(ADDRESS, 25, (connection) => peer.accept(connection));
  const parsed = smtpClientSettings.parse(settings);
  const delivery = createNetworkDelivery({
    clock,
    random: seededRandom(1),
    emit: emitNothing,
    settings: parsed,
    resolver: createZone({}),
    dial: network.dial,
    openBody: (body) => chunksOf(body.kind === "file" ? (bodies[body.name] ?? []) : [body.bytes]),
    credentials: (label) => (label === "office" ? { user: "me", password: "secret" } : undefined),
    hostname: "us.example",
    localAddresses: [],
    keeper: quickKeeper(),
    policies: policiesOf(parsed.tls),
  });
  /** Lets virtual time run until the work is done. */
  const run = async <Value>(work: Promise<Value>): Promise<Value> => {
    const state = { isDone: false };
    const watched = work.finally(() => {
      state.isDone = true;
    });
    while (!state.isDone) {
      const moved = await clock.advanceToNext();
      assert.ok(moved || state.isDone, "the work waits for something that never happens");
    }
    return watched;
  };
  return { clock, network, peer, delivery, run };
}

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  for (const chunk of chunks) {
    await Promise.resolve();
    yield chunk;
  }
}

function connectRequest(changes: Partial<ConnectRequest> = {}): ConnectRequest {
  return {
    session: "s1",
    host,
    protocol: "smtp",
    tls: "may",
    verify: false,
    helo: "us.example",
    relay: "example",
    ...changes,
  };
}

const text = "Subject: hello\r\n\r\nHello.\r\n.dot\r\n";

function message(changes: Partial<Message> = {}): Message {
  return {
    id: "M1",
    sender: "a@us.example",
    receivedAt: noon,
    sizeBytes: text.length,
    content: "7bit",
    isInternational: false,
    origin: { listener: "l", protocol: "ESMTP", session: "x" },
    ...changes,
  };
}

function envelopes(...recipients: readonly (string | Partial<Envelope>)[]): Envelope[] {
  return recipients.map((given, index) => {
    const base = { id: `M1.${index + 1}`, message: "M1", recipient: "", notify: [], action: "relay" };
    return typeof given === "string" ? { ...base, recipient: given } : { ...base, ...given };
  });
}

function inChunks(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, n) =>
    bytes.subarray(n * 65_536, (n + 1) * 65_536),
  );
}

const inline = (content: string): Body => ({ kind: "inline", bytes: Buffer.from(content, "latin1") });

type SetUp = ReturnType<typeof setUp>;

async function send(
  { delivery, run }: SetUp,
  recipients: readonly (string | Partial<Envelope>)[] = ["b@there.example"],
  changes: { connect?: Partial<ConnectRequest>; message?: Partial<Message>; body?: Body } = {},
) {
  const connected = await run(delivery.connect(connectRequest(changes.connect)));
  assert.ok(connected.ok, JSON.stringify(connected));
  const body = changes.body ?? inline(text);
  const transacted = await run(
    delivery.transact({ session: "s1", message: message(changes.message), envelopes: envelopes(...recipients), body }),
  );
  return { connected, transacted };
}

function kinds(transacted: { outcomes: readonly { kind: string }[] }): string[] {
  return transacted.outcomes.map((one) => one.kind);
}

function failureOf(transacted: Awaited<ReturnType<typeof send>>["transacted"], index = 0) {
  const outcome = transacted.outcomes[index];
  assert.ok(outcome?.kind === "failed", JSON.stringify(outcome));
  return outcome.failure;
}

test("a message is handed over with dots doubled on the wire, and the reply is kept", async () => {
  const world = setUp();
  const { connected, transacted } = await send(world);
  assert.equal(connected.facts.host, "mx.example[192.0.2.1]:25");
  assert.deepEqual(connected.facts.extensions.toSorted(), [...USUAL_EXTENSIONS].toSorted());
  const [outcome] = transacted.outcomes;
  assert.ok(outcome?.kind === "delivered");
  assert.equal(outcome.text, "250 2.0.0 queued");
  assert.equal(outcome.status, "2.0.0");
  assert.equal(outcome.dsnPassedOn, true);
  assert.equal(outcome.isFinal, false);
  assert.equal(world.peer.messages[0]?.content, text);
  assert.equal(world.peer.messages[0]?.sender, "a@us.example");
  assert.equal(transacted.isUsable, true);
});

test("a pipelined transaction takes two round trips, an eager one by BDAT a single one", async () => {
  for (const [extensions, trips] of [
    [[...USUAL_EXTENSIONS], 2],
    [[...USUAL_EXTENSIONS, "CHUNKING"], 1],
    [["8BITMIME"], 4],
  ] as const) {
    const world = setUp({ extensions });
    const { clock, delivery, run } = world;
    await run(delivery.connect(connectRequest()));
    const startedAt = clock.now();
    const transacted = await run(
      delivery.transact({ session: "s1", message: message(), envelopes: envelopes("b@x.example"), body: inline(text) }),
    );
    assert.deepEqual(kinds(transacted), ["delivered"]);
    assert.equal(clock.now() - startedAt, trips * 20, extensions.join());
    assert.equal(world.peer.messages[0]?.content, text);
  }
});

test("a kept session carries many messages without RSET between them", async () => {
  const world = setUp();
  await world.run(world.delivery.connect(connectRequest()));
  for (let count = 1; count <= 3; count++) {
    const transacted = await world.run(
      world.delivery.transact({
        session: "s1",
        message: message(),
        envelopes: envelopes("b@x.example"),
        body: inline(text),
      }),
    );
    assert.ok(transacted.isUsable);
  }
  await world.run(world.delivery.leave("s1"));
  await world.clock.advance(100);
  assert.equal(world.peer.messages.length, 3);
  assert.equal(world.peer.counters.connections, 1);
  assert.equal(world.peer.commands.filter((line) => line === "RSET").length, 0);
  assert.equal(world.peer.commands.at(-1), "QUIT");
  assert.equal(world.network.counters.open, 0);
});

test("each recipient has a fate of its own", async () => {
  const world = setUp({
    at: (point, { line }) => {
      if (point !== "RCPT") return undefined;
      if (line.includes("<gone@")) return { do: "reply", text: "550 5.1.1 no such user" };
      return line.includes("<full@") ? { do: "reply", text: "452 4.2.2 mailbox full" } : undefined;
    },
  });
  const { transacted } = await send(world, ["gone@x.example", "b@x.example", "full@x.example"]);
  assert.deepEqual(kinds(transacted), ["failed", "delivered", "failed"]);
  assert.deepEqual(failureOf(transacted, 0), {
    lasting: "permanent",
    status: "5.1.1",
    cause: { kind: "reply", during: "RCPT" },
    reply: { code: 550, status: "5.1.1", lines: ["no such user"] },
    host: "mx.example[192.0.2.1]:25",
  });
  assert.equal(failureOf(transacted, 2).lasting, "temporary");
  assert.equal(transacted.isUsable, true);
});

test("when nobody is accepted no content goes out, and RSET clears the way for the next message", async () => {
  for (const extensions of [USUAL_EXTENSIONS, ["8BITMIME"], [...USUAL_EXTENSIONS, "CHUNKING"]]) {
    const world = setUp({
      extensions,
      at: (point, { count }) => (point === "RCPT" && count === 1 ? { do: "reply", text: "550 5.1.1 no" } : undefined),
    });
    const { transacted } = await send(world);
    assert.equal(failureOf(transacted).status, "5.1.1");
    assert.ok(transacted.isUsable);
    const again = await world.run(
      world.delivery.transact({
        session: "s1",
        message: message(),
        envelopes: envelopes("c@x.example"),
        body: inline(text),
      }),
    );
    assert.deepEqual(kinds(again), ["delivered"]);
    assert.equal(world.peer.messages.length, 1);
    assert.ok(world.peer.commands.includes("RSET"));
  }
});

test("a host that wants content although nobody was accepted gets the end mark alone, and its yes counts for nobody", async () => {
  const world = setUp({
    at: (point) => {
      if (point === "RCPT") return { do: "reply", text: "550 5.1.1 no" };
      return undefined;
    },
  });
  const { transacted } = await send(world);
  assert.deepEqual(kinds(transacted), ["failed"]);
  assert.equal(world.peer.counters.contentBytes, 0);
});

test("recipients beyond the host's limit go in a transaction of their own at once", async () => {
  let accepted = 0;
  const world = setUp({
    at: (point) => {
      if (point === "MAIL") accepted = 0;
      return point === "RCPT" && ++accepted > 2 ? { do: "reply", text: "452 4.5.3 too many recipients" } : undefined;
    },
  });
  const { transacted } = await send(world, ["a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example"]);
  assert.deepEqual(
    kinds(transacted),
    Array.from({ length: 5 }, () => "delivered"),
  );
  assert.deepEqual(
    world.peer.messages.map((one) => one.recipients.length),
    [2, 2, 1],
  );
});

test("a 552 for RCPT counts as too many recipients, not as a refusal for good", async () => {
  const world = setUp({ at: (point) => (point === "RCPT" ? { do: "reply", text: "552 too many" } : undefined) });
  const { transacted } = await send(world);
  assert.equal(failureOf(transacted).lasting, "temporary");
  assert.equal(failureOf(transacted).status, "4.0.0");
});

test("announced limits are kept: recipients, domains and transactions", async () => {
  const world = setUp({ extensions: [...USUAL_EXTENSIONS, "LIMITS RCPTMAX=2 RCPTDOMAINMAX=1 MAILMAX=3"] });
  const { connected, transacted } = await send(world, ["a@x.example", "b@y.example", "c@x.example", "d@x.example"]);
  assert.equal(connected.facts.mostRecipients, 2);
  assert.equal(connected.facts.mostTransactions, 3);
  assert.deepEqual(
    kinds(transacted),
    Array.from({ length: 4 }, () => "delivered"),
  );
  assert.deepEqual(
    world.peer.messages.map((one) => one.recipients),
    [["a@x.example", "c@x.example"], ["b@y.example"], ["d@x.example"]],
  );
  assert.equal(transacted.isUsable, false);
  await world.clock.advance(100);
  assert.equal(world.network.counters.open, 0);
});

test("a priority goes to the hosts that offer the extension, and keeps mail from no other", async () => {
  for (const extensions of [USUAL_EXTENSIONS, [...USUAL_EXTENSIONS, "MT-PRIORITY"]]) {
    const world = setUp({ extensions });
    await send(world, [{ recipient: "b@x.example" }], { message: { priority: -4 } });
    const has = /MT-PRIORITY=-4\b/.test(world.peer.messages[0]?.mailParameters ?? "");
    assert.equal(has, extensions.length > USUAL_EXTENSIONS.length);
  }
});

test("what was announced and asked for travels as parameters", async () => {
  const world = setUp({ extensions: [...USUAL_EXTENSIONS, "DELIVERBY"] });
  await send(
    world,
    [{ recipient: "b@x.example", notify: ["SUCCESS", "FAILURE"], originalRecipient: "rfc822;b+c@old.example" }],
    {
      message: {
        content: "8bit",
        dsnReturn: "HDRS",
        dsnEnvelopeId: "id 1",
        isInternational: true,
        deliverBy: { at: noon + 3_600_000, mode: "notify", trace: true },
      },
    },
  );
  const [got] = world.peer.messages;
  const parameters = got?.mailParameters.split(" ").toSorted();
  assert.deepEqual(
    parameters?.slice(1),
    ["BODY=8BITMIME", "BY=3599;NT", "ENVID=id+201", "RET=HDRS", `SIZE=${text.length}`, "SMTPUTF8"].toSorted().slice(1),
  );
  assert.equal(got?.rcptParameters[0], "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bc@old.example");
});

test("without DSN at the host nothing of it is said, and the duty stays with us", async () => {
  const world = setUp({ extensions: ["PIPELINING"] });
  const { transacted } = await send(world, [{ recipient: "b@x.example", notify: ["SUCCESS"] }], {
    message: { dsnReturn: "FULL" },
  });
  const [outcome] = transacted.outcomes;
  assert.ok(outcome?.kind === "delivered" && !outcome.dsnPassedOn);
  assert.equal(world.peer.messages[0]?.mailParameters, "");
  assert.equal(world.peer.messages[0]?.rcptParameters[0], "");
});

test("content that the host cannot take is refused for good, before a word is said about it", async () => {
  const eight = "Subject: x\r\n\r\n\xe4\r\n";
  const cases = [
    [{ content: "8bit" }, eight, ["PIPELINING"], "8BITMIME", "5.6.3"],
    [{ content: "binary" }, "Subject: x\r\n\r\na\0b", USUAL_EXTENSIONS, "BINARYMIME", "5.6.3"],
    [{ isInternational: true }, "Subject: \xc3\xa4\r\n\r\n", ["PIPELINING"], "SMTPUTF8", "5.6.7"],
    [{ sender: "ä@us.example" }, text, ["PIPELINING"], "SMTPUTF8", "5.6.7"],
    [{ sizeBytes: 2000 }, text, ["SIZE 1000"], "SIZE", "5.3.4"],
    [{ deliverBy: { at: noon + 60_000, mode: "return", trace: false } }, text, ["PIPELINING"], "DELIVERBY", "5.3.3"],
  ] as const;
  for (const [changes, content, extensions, extension, status] of cases) {
    const world = setUp({ extensions });
    const { transacted } = await send(world, ["b@x.example"], { message: changes, body: inline(content) });
    const failure = failureOf(transacted);
    assert.deepEqual(failure.cause, { kind: "unsupported", extension });
    assert.equal(failure.status, status);
    assert.equal(failure.lasting, "permanent");
    assert.ok(transacted.isUsable);
    assert.ok(!world.peer.commands.some((line) => line.startsWith("MAIL")));
  }
});

test("a NUL or an overlong line in ordinary mail bounces nothing for want of an extension; the NUL stays behind", async () => {
  const odd = `Subject: x\r\n\r\na\0b ${"long ".repeat(300)}\r\n`;
  for (const [changes, extensions] of [
    [{ content: "7bit", isInternational: true }, ["PIPELINING"]],
    [{ content: "7bit" }, ["PIPELINING"]],
    [{ content: "8bit" }, ["8BITMIME"]],
    [{ content: "8bit" }, ["8BITMIME", "PIPELINING", "CHUNKING"]],
  ] as const) {
    const world = setUp({ extensions });
    const { transacted } = await send(world, ["b@x.example"], { message: changes, body: inline(odd) });
    assert.deepEqual(kinds(transacted), ["delivered"]);
    assert.equal(world.peer.messages[0]?.content, odd.replace("\0", ""));
  }
});

test("content that claims more than it needs goes to a host that lacks the extension", async () => {
  for (const changes of [{ content: "8bit" }, { content: "binary" }, { isInternational: true }] as const) {
    const world = setUp({ extensions: ["PIPELINING"] });
    const { transacted } = await send(world, ["b@x.example"], { message: changes });
    assert.deepEqual(kinds(transacted), ["delivered"]);
    assert.equal(world.peer.messages[0]?.mailParameters, "");
  }
});

test("a notice of ours that returns 8-bit mail goes to a host without 8BITMIME, or room, with the header alone", async () => {
  const notice = buildDsn({
    hostname: "us.example",
    to: "a@them.example",
    subject: "Your message could not be delivered",
    at: noon,
    messageId: "<1@us.example>",
    text: ["Sorry."],
    report: { reportingMta: "us.example", recipients: [] },
    returned: { kind: "message", bytes: Buffer.from("Subject: x\r\n\r\n\xe4\r\n", "latin1") },
    boundaryWord: "M1",
  }).bytes;
  const changes = {
    sender: "",
    content: "8bit",
    sizeBytes: notice.length,
    origin: { listener: "bounce", protocol: "local", session: "" },
  } as const;
  for (const body of [
    inline(notice.toString("latin1")),
    { kind: "file", name: "n", sizeBytes: notice.length } as const,
  ]) {
    const world = setUp(
      { extensions: ["PIPELINING", "SIZE"] },
      {},
      { n: [notice.subarray(0, 400), notice.subarray(400)] },
    );
    const { transacted } = await send(world, ["a@them.example"], { message: changes, body });
    assert.deepEqual(kinds(transacted), ["delivered"]);
    const [got] = world.peer.messages;
    assert.match(
      got?.content ?? "",
      /^Content-Type: text\/rfc822-headers; charset=us-ascii\r\n\r\nSubject: x\r\n\r\n--/m,
    );
    assert.ok(!/[^\0-\x7f]|8bit/.test(got?.content ?? ""));
    assert.equal(got?.mailParameters.trim(), `SIZE=${got?.content.length}`);
  }
  const small = setUp({ extensions: ["8BITMIME", `SIZE ${notice.length - 1}`] });
  const ofSmall = await send(small, ["a@them.example"], { message: changes, body: inline(notice.toString("latin1")) });
  assert.deepEqual(kinds(ofSmall.transacted), ["delivered"]);
  assert.match(small.peer.messages[0]?.content ?? "", /text\/rfc822-headers/);
  const other = setUp({ extensions: ["PIPELINING"] });
  const { transacted } = await send(other, ["a@them.example"], {
    message: { ...changes, origin: { listener: "l", protocol: "ESMTP", session: "x" } },
    body: inline(notice.toString("latin1")),
  });
  assert.deepEqual(failureOf(transacted).cause, { kind: "unsupported", extension: "8BITMIME" });
});

test("a notice of ours that would be too large in ASCII goes with the header alone", async () => {
  const line = `${"\u00e4".repeat(70)}\r\n`;
  const { bytes } = buildDsn({
    hostname: "us.example",
    to: "a@them.example",
    subject: "Your message could not be delivered",
    at: noon,
    messageId: "<1@us.example>",
    text: ["Sorry."],
    report: { reportingMta: "us.example", recipients: [] },
    returned: { kind: "message", bytes: Buffer.from(`Subject: \u00e4\r\n\r\n${line.repeat(50)}`) },
    boundaryWord: "M1",
  });
  const world = setUp({ extensions: [`SIZE ${bytes.length + 1000}`] });
  const { transacted } = await send(world, ["a@them.example"], {
    message: {
      sender: "",
      content: "8bit",
      sizeBytes: bytes.length,
      origin: { listener: "bounce", protocol: "local", session: "" },
    },
    body: inline(bytes.toString("latin1")),
  });
  assert.deepEqual(kinds(transacted), ["delivered"]);
  assert.match(
    world.peer.messages[0]?.content ?? "",
    /text\/rfc822-headers; charset=utf-8\r\n.*\r\n\r\nSubject: =C3=A4/,
  );
});

test("8-bit content goes out all the same where the settings say so", async () => {
  const world = setUp({ extensions: ["PIPELINING"] }, { eightBit: "send" });
  const { transacted } = await send(world, ["b@x.example"], {
    message: { content: "8bit" },
    body: inline("Subject: x\r\n\r\n\xe4\r\n"),
  });
  assert.deepEqual(kinds(transacted), ["delivered"]);
  assert.equal(world.peer.messages[0]?.mailParameters, "");
});

test("U-labels become A-labels for a host without SMTPUTF8; a local part beyond ASCII fails alone", async () => {
  const world = setUp({ extensions: ["PIPELINING"] });
  const { transacted } = await send(world, ["b@bücher.example", "bü@x.example"]);
  assert.deepEqual(kinds(transacted), ["delivered", "failed"]);
  assert.equal(failureOf(transacted, 1).status, "5.6.7");
  assert.deepEqual(world.peer.messages[0]?.recipients, ["b@xn--bcher-kva.example"]);
});

test("binary content goes as it is, by BDAT", async () => {
  const world = setUp({ extensions: [...USUAL_EXTENSIONS, "CHUNKING", "BINARYMIME"] }, { chunking: "needed" });
  const content = "Subject: x\r\n\r\na\0b\nc\rd\r\n.e";
  const { transacted } = await send(world, ["b@x.example"], { message: { content: "binary" }, body: inline(content) });
  assert.deepEqual(kinds(transacted), ["delivered"]);
  assert.equal(world.peer.messages[0]?.content, content);
  assert.equal(world.peer.messages[0]?.by, "BDAT");
});

test("no CR or LF that stands alone leaves, by DATA or by BDAT, wherever the content is cut", async () => {
  const dirty = "Subject: x\r\n\r\na\nb\rc\r\n\n.\r\n\r.\n.\nMAIL FROM:<evil@x>\r\n";
  for (const extensions of [USUAL_EXTENSIONS, [...USUAL_EXTENSIONS, "CHUNKING"]]) {
    for (const cut of [1, 2, 3, 7, 100]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < dirty.length; at += cut) chunks.push(Buffer.from(dirty.slice(at, at + cut)));
      const world = setUp({ extensions }, {}, { f: chunks });
      const { transacted } = await send(world, ["b@x.example"], {
        body: { kind: "file", name: "f", sizeBytes: dirty.length },
      });
      assert.deepEqual(kinds(transacted), ["delivered"]);
      assert.equal(world.peer.messages.length, 1);
      const got = world.peer.messages[0]?.content ?? "";
      assert.equal(got, "Subject: x\r\n\r\na\r\nb\r\nc\r\n\r\n.\r\n\r\n.\r\n.\r\nMAIL FROM:<evil@x>\r\n");
    }
  }
});

test("large content from a file arrives whole, by DATA and in chunks", async () => {
  const line = `${"x".repeat(76)}\r\n`;
  const content = `Subject: big\r\n\r\n${line.repeat(12_000)}`;
  const bytes = Buffer.from(content);
  const chunks = inChunks(bytes);
  for (const extensions of [USUAL_EXTENSIONS, [...USUAL_EXTENSIONS, "CHUNKING"], ["CHUNKING", "BINARYMIME"]]) {
    const world = setUp({ extensions }, {}, { f: chunks });
    const { transacted } = await send(world, ["b@x.example"], {
      message: extensions.includes("BINARYMIME") ? { content: "binary" } : {},
      body: { kind: "file", name: "f", sizeBytes: bytes.length },
    });
    assert.deepEqual(kinds(transacted), ["delivered"]);
    assert.equal(world.peer.messages[0]?.content.length, content.length);
    assert.ok(world.peer.messages[0]?.content === content);
  }
});

test("content that cannot be read ends the session, so that the host keeps no half of it", async () => {
  for (const extensions of [USUAL_EXTENSIONS, [...USUAL_EXTENSIONS, "CHUNKING"]]) {
    const world = setUp({ extensions });
    const broken = createNetworkDelivery({
      clock: world.clock,
      random: seededRandom(1),
      emit: emitNothing,
      settings: smtpClientSettings.parse({}),
      resolver: createZone({}),
      dial: world.network.dial,
      openBody: async function* () {
        yield Buffer.from("Subject: half\r\n\r\n");
        await Promise.reject(new Error("EIO"));
      },
      credentials: () => undefined,
      hostname: "us.example",
      localAddresses: [],
      keeper: quickKeeper(),
      policies: policiesOf(smtpClientSettings.parse({}).tls),
    });
    const { transacted } = await send({ ...world, delivery: broken }, ["b@x.example"], {
      body: { kind: "file", name: "f", sizeBytes: 100 },
    });
    const failure = failureOf(transacted);
    assert.equal(failure.lasting, "temporary");
    assert.equal(failure.cause.kind, "internal");
    assert.equal(transacted.isUsable, false);
    await world.clock.advance(1000);
    assert.equal(world.peer.messages.length, 0);
    assert.equal(world.network.counters.open, 0);
  }
});

test("over LMTP every recipient has an answer of its own after the content", async () => {
  for (const extensions of [USUAL_EXTENSIONS, [...USUAL_EXTENSIONS, "CHUNKING"]]) {
    const world = setUp({
      protocol: "lmtp",
      extensions,
      at: (point, { line }) => {
        if (point === "RCPT" && line.includes("<gone@")) return { do: "reply", text: "550 5.1.1 gone" };
        return point === "end"
          ? { do: "reply", text: "250 2.1.5 stored a\r\n452 4.2.2 full b\r\n250 2.1.5 stored c" }
          : undefined;
      },
    });
    const { transacted } = await send(world, ["a@x.example", "gone@x.example", "b@x.example", "c@x.example"], {
      connect: { protocol: "lmtp" },
    });
    assert.deepEqual(kinds(transacted), ["delivered", "failed", "failed", "delivered"]);
    assert.equal(failureOf(transacted, 1).status, "5.1.1");
    assert.equal(failureOf(transacted, 2).status, "4.2.2");
    const [first] = transacted.outcomes;
    assert.ok(first?.kind === "delivered" && first.isFinal && first.text === "250 2.1.5 stored a");
    assert.ok(transacted.isUsable);
    assert.ok(world.peer.commands[0]?.startsWith("LHLO"));
  }
});

test("over LMTP answers that came before a hang-up stay, the others are tried again", async () => {
  const world = setUp({
    protocol: "lmtp",
    at: (point) => (point === "end" ? { do: "reply", text: "250 2.1.5 stored a", thenClose: true } : undefined),
  });
  const { transacted } = await send(world, ["a@x.example", "b@x.example"], { connect: { protocol: "lmtp" } });
  assert.deepEqual(kinds(transacted), ["delivered", "failed"]);
  assert.equal(failureOf(transacted, 1).lasting, "temporary");
  assert.equal(transacted.isUsable, false);
});

test("a server from before EHLO is greeted with HELO and served command by command", async () => {
  const world = setUp({ at: (point) => (point === "EHLO" ? { do: "reply", text: "500 what" } : undefined) });
  const { connected, transacted } = await send(world);
  assert.deepEqual(connected.facts.extensions, []);
  assert.deepEqual(kinds(transacted), ["delivered"]);
});

test("the null sender stays null", async () => {
  const world = setUp();
  await send(world, ["b@x.example"], { message: { sender: "" } });
  assert.equal(world.peer.messages[0]?.sender, "");
});

test("a greylisted recipient fails for now and is taken later", async () => {
  const world = setUp({ greylistMs: minutes(5) });
  const { transacted } = await send(world);
  assert.equal(failureOf(transacted).reply?.code, 450);
  await world.run(world.delivery.leave("s1"));
  await world.clock.advance(minutes(5));
  assert.deepEqual(kinds((await send(world)).transacted), ["delivered"]);
});

test("mail for a kept session that the host has closed was not tried, and no connection is made behind the back of who drives it", async () => {
  for (const isMeanwhile of [true, false]) {
    const held: { end: () => void }[] = [];
    const world = setUp(
      { at: (point, { count }) => (point === "MAIL" && count === 2 ? { do: "close" } : undefined) },
      { idleTimeout: "1h" },
    );
    world.network.listen(ADDRESS, 25, (connection) => {
      held.push(connection);
      world.peer.accept(connection);
    });
    await send(world);
    if (isMeanwhile) held[0]?.end();
    await world.clock.advance(minutes(1));
    const second = { session: "s1", message: message(), envelopes: envelopes("c@x.example"), body: inline(text) };
    const transacted = await world.run(world.delivery.transact(second));
    const { lasting, cause } = failureOf(transacted);
    assert.deepEqual([lasting, cause.kind], ["temporary", "lost"]);
    assert.deepEqual(cause.kind === "lost" ? cause.during : undefined, isMeanwhile ? "idle" : "MAIL");
    assert.equal(transacted.isUsable, false);
    assert.ok(transacted.ended !== undefined);
    assert.equal(world.peer.counters.connections, 1);
    assert.equal(world.peer.messages.length, 1);
  }
});

test("recipients that a host took before it closed the connection are not told it again", async () => {
  const world = setUp(
    { at: (point, { count }) => (point === "MAIL" && count === 2 ? { do: "close" } : undefined) },
    { mostRecipients: 1 },
  );
  const { transacted } = await send(world, ["a@x.example", "b@x.example"]);
  assert.deepEqual(kinds(transacted), ["delivered", "failed"]);
  assert.equal(world.peer.messages.length, 1);
});

test("recipients whose transaction had not begun when the session ended were not tried, whatever ended it", async () => {
  for (const point of ["RCPT", "DATA", "end"] as const) {
    const world = setUp(
      { at: (at, { count }) => (at === point && count === 2 ? { do: "close" } : undefined) },
      { mostRecipients: 1 },
    );
    const { transacted } = await send(world, ["a@x.example", "b@x.example", "c@x.example"]);
    assert.deepEqual(kinds(transacted), ["delivered", "failed", "failed"], point);
    const causes = transacted.outcomes.flatMap((one) => (one.kind === "failed" ? [one.failure.cause] : []));
    assert.deepEqual(
      causes.map((cause) => (cause.kind === "lost" ? cause.during : cause.kind)),
      [point === "end" ? "end of DATA" : point, "idle"],
    );
  }
});

test("a session without work is left after its time", async () => {
  const world = setUp({}, { idleTimeout: "30s" });
  await send(world);
  await world.clock.advance(31_000);
  assert.equal(world.peer.commands.at(-1), "QUIT");
  assert.equal(world.network.counters.open, 0);
});

test("421 ends the session wherever it comes, and is for nobody a refusal for good", async () => {
  for (const point of ["MAIL", "RCPT", "DATA", "end"] as const) {
    const world = setUp({
      at: (at) => (at === point ? { do: "reply", text: "421 4.3.2 shutting down", thenClose: true } : undefined),
    });
    const { transacted } = await send(world, ["a@x.example", "b@x.example"]);
    assert.deepEqual(kinds(transacted), ["failed", "failed"]);
    assert.equal(failureOf(transacted).reply?.code, 421);
    assert.equal(failureOf(transacted).lasting, "temporary");
    assert.equal(transacted.isUsable, false);
    assert.equal(transacted.ended?.failure.reply?.code, 421);
  }
});

test("a refusal in the middle of the content is heard, kept and used, although the connection is closed at once", async () => {
  const line = `${"x".repeat(98)}\r\n`;
  const big = Buffer.from(line.repeat(20_000));
  for (const [reply, lasting] of [
    ["552 5.3.4 too big", "permanent"],
    ["421 4.3.2 shutting down", "temporary"],
  ] as const) {
    const world = setUp(
      {
        contentPointBytes: 100_000,
        at: (point) => (point === "content" ? { do: "reply", text: reply, thenClose: true } : undefined),
      },
      {},
      { f: inChunks(big) },
    );
    const { transacted } = await send(world, ["b@x.example"], {
      body: { kind: "file", name: "f", sizeBytes: big.length },
    });
    assert.equal(failureOf(transacted).lasting, lasting);
    assert.equal(failureOf(transacted).reply?.code, Number(reply.slice(0, 3)));
    assert.equal(transacted.isUsable, false);
    assert.equal(transacted.ended?.failure.lasting, "temporary");
  }
});

test("a yes that comes before the content is whole is not believed", async () => {
  const big = Buffer.from(`${"x".repeat(98)}\r\n`.repeat(20_000));
  const world = setUp(
    {
      contentPointBytes: 1000,
      at: (point) => (point === "content" ? { do: "reply", text: "250 2.0.0 thanks, enough" } : undefined),
    },
    {},
    { f: inChunks(big) },
  );
  const { transacted } = await send(world, ["b@x.example"], {
    body: { kind: "file", name: "f", sizeBytes: big.length },
  });
  assert.equal(failureOf(transacted).cause.kind, "protocol");
  assert.equal(failureOf(transacted).lasting, "temporary");
});

test("a connection lost after the content, before the answer, is a temporary failure", async () => {
  for (const reaction of [{ do: "close" }, { do: "reset" }] as const) {
    const world = setUp({ at: (point) => (point === "end" ? reaction : undefined) });
    const { transacted } = await send(world);
    assert.equal(failureOf(transacted).lasting, "temporary");
    assert.deepEqual(failureOf(transacted).cause, {
      kind: "lost",
      reason: reaction.do === "close" ? "closed" : "reset",
      during: "end of DATA",
    });
  }
});

test("the answer to the content has ten minutes, and the transaction a bound of its own", async () => {
  const slow = setUp({ at: (point) => (point === "end" ? { do: "slow", afterMs: minutes(9) } : undefined) });
  assert.deepEqual(kinds((await send(slow)).transacted), ["delivered"]);
  const dead = setUp({ at: (point) => (point === "end" ? { do: "hang" } : undefined) });
  const { transacted } = await send(dead);
  assert.ok(Math.abs(dead.clock.now() - noon - minutes(10)) < 1000);
  assert.deepEqual(failureOf(transacted).cause, { kind: "lost", reason: "timeout", during: "end of DATA" });
  // A host that answers each recipient in four minutes and fifty seconds is never late, and never done.
  const lazy = setUp(
    { at: (point) => (point === "RCPT" ? { do: "slow", afterMs: minutes(5) - 10_000 } : undefined) },
    { transactionTimeout: "30m" },
  );
  const many = Array.from({ length: 20 }, (_, n) => `r${n}@x.example`);
  const { transacted: late } = await send(lazy, many);
  assert.ok(lazy.clock.now() - noon < minutes(31));
  assert.equal(late.isUsable, false);
});

test("connections that cannot be made are told with the system's words, and for this address only", async () => {
  const world = setUp();
  const { delivery, run, network, clock } = world;
  const nowhere = { ...host, address: { ip: "192.0.2.9", port: 25 } };
  const refused = await run(delivery.connect(connectRequest({ host: nowhere })));
  assert.ok(!refused.ok);
  assert.deepEqual(refused.failure, {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "refused", text: "Connection refused" },
    host: "mx.example[192.0.2.9]:25",
  });
  assert.equal(refused.scope, "address");
  network.setDark("192.0.2.9", true);
  const startedAt = clock.now();
  const dark = await run(delivery.connect(connectRequest({ host: nowhere })));
  assert.ok(!dark.ok && dark.failure.cause.kind === "connect" && dark.failure.cause.reason === "timeout");
  assert.equal(clock.now() - startedAt, 30_000);
});

test("a greeting that refuses is never for good", async () => {
  for (const text of ["554 5.7.1 go away", "421 busy", "450 later"]) {
    const world = setUp({ at: (point) => (point === "connect" ? { do: "reply", text, thenClose: true } : undefined) });
    const connected = await world.run(world.delivery.connect(connectRequest()));
    assert.ok(!connected.ok);
    assert.equal(connected.failure.lasting, "temporary");
    assert.equal(connected.failure.status.charAt(0), "4");
    assert.deepEqual(connected.failure.cause, { kind: "reply", during: "greeting" });
  }
});

test("encryption that is a must and not to be had is a deferral, and nothing is said in the clear", async () => {
  for (const tls of ["starttls", "starttls-or-implicit"] as const) {
    const world = setUp();
    const connected = await world.run(world.delivery.connect(connectRequest({ tls })));
    assert.ok(!connected.ok);
    assert.equal(connected.failure.lasting, "temporary");
    assert.ok(["tls", "connect"].includes(connected.failure.cause.kind));
    assert.ok(!world.peer.commands.some((line) => line.startsWith("MAIL")));
  }
});

test("credentials never travel in plaintext", async () => {
  for (const tls of ["never", "may"] as const) {
    const world = setUp({
      extensions: [...USUAL_EXTENSIONS, "AUTH PLAIN LOGIN"],
      login: { user: "me", password: "secret" },
    });
    const connected = await world.run(
      world.delivery.connect(connectRequest({ tls, credentials: "office", verify: false })),
    );
    assert.ok(!connected.ok);
    assert.ok(connected.failure.cause.kind === "auth" && connected.failure.cause.reason === "not-encrypted");
    assert.ok(!world.peer.commands.some((line) => line.startsWith("AUTH")));
  }
});

test("a name of credentials that the settings do not have is a deferral", async () => {
  const world = setUp();
  const connected = await world.run(world.delivery.connect(connectRequest({ credentials: "nobody" })));
  assert.ok(!connected.ok && connected.failure.cause.kind === "settings" && connected.failure.lasting === "temporary");
});

test("leaving in the middle of a transaction ends it as a temporary failure", async () => {
  const world = setUp({ at: (point) => (point === "end" ? { do: "hang" } : undefined) });
  const { delivery, run, clock } = world;
  await run(delivery.connect(connectRequest()));
  const running = delivery.transact({
    session: "s1",
    message: message(),
    envelopes: envelopes("b@x.example"),
    body: inline(text),
  });
  await clock.advance(1000);
  await delivery[Symbol.asyncDispose]();
  const transacted = await running;
  assert.equal(failureOf(transacted).lasting, "temporary");
  assert.equal(transacted.isUsable, false);
});

test("a transaction that comes while the session says goodbye is not tried", async () => {
  const world = setUp({}, { idleTimeout: "30s" });
  await send(world);
  await world.clock.advance(30_000);
  const again = await world.run(
    world.delivery.transact({
      session: "s1",
      message: message(),
      envelopes: envelopes("c@x.example"),
      body: inline(text),
    }),
  );
  assert.equal(failureOf(again).cause.kind, "lost");
  assert.equal(again.isUsable, false);
  assert.equal(world.peer.messages.length, 1);
});

test("two transactions at once over one session are a mistake that costs no mail", async () => {
  const world = setUp();
  await world.run(world.delivery.connect(connectRequest()));
  const request = { session: "s1", message: message(), envelopes: envelopes("b@x.example"), body: inline(text) };
  const [one, other] = await world.run(
    Promise.all([world.delivery.transact(request), world.delivery.transact(request)]),
  );
  assert.deepEqual(kinds(one), ["delivered"]);
  assert.equal(failureOf(other).lasting, "temporary");
});

test("a peer that says anything at all never breaks us, and makes nothing delivered that it did not take", async () => {
  const replies = fc.constantFrom(
    "250 ok\r\n",
    "250-x\r\n",
    "354 go\r\n",
    "220 hi\r\n",
    "421 bye\r\n",
    "550 no\r\n",
    "\r\n",
    "garbage\r\n",
    "25",
    "0 \r\n",
    "334 aa\r\n",
  );
  const said = fc.oneof(replies, fc.string({ maxLength: 20 }));
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 12 }), fc.boolean(), async (sayings, closes) => {
      const world = setUp(
        {},
        { greetingTimeout: "10s", commandTimeout: "10s", dataTimeout: "10s", endOfDataTimeout: "10s" },
      );
      let heard = "";
      world.network.listen(ADDRESS, 25, (connection) => {
        const left = [...sayings];
        const sayOne = (): void => {
          const next = left.shift();
          if (next !== undefined) connection.write(next);
          else if (closes) connection.end();
        };
        connection.on("error", () => {});
        connection.on("data", (bytes: Buffer) => {
          heard += bytes.toString("latin1");
          sayOne();
        });
        connection.write("220 x\r\n");
      });
      const connected = await world.run(world.delivery.connect(connectRequest({ tls: "never" })));
      if (connected.ok) {
        const transacted = await world.run(
          world.delivery.transact({
            session: "s1",
            message: message(),
            envelopes: envelopes("b@x.example"),
            body: inline(text),
          }),
        );
        if (transacted.outcomes[0]?.kind === "delivered") assert.ok(heard.includes("\r\n.\r\n"));
      }
      await world.run(world.delivery.leave("s1"));
    }),
    { numRuns: 150 },
  );
});

/**
 * At every point of the dialogue the peer closes, resets or goes silent, with content of each size near a buffer's limit:
 * the attempt always ends, by its deadline, and leaves no connection.
 */
const POINTS: readonly PeerPoint[] = ["connect", "EHLO", "MAIL", "RCPT", "DATA", "content", "end", "BDAT", "QUIT"];
const BUFFERS = [0, 512, 16 * 1024, 64 * 1024, 128 * 1024, 256 * 1024];

test("whatever the peer does and wherever, no attempt stays open beyond its deadline", async () => {
  const reactions: readonly PeerReaction[] = [
    { do: "close" },
    { do: "reset" },
    { do: "hang" },
    { do: "reply", text: "not a reply" },
  ];
  let count = 0;
  for (const extensions of [USUAL_EXTENSIONS, [...USUAL_EXTENSIONS, "CHUNKING"], ["SIZE"]]) {
    for (const point of POINTS) {
      for (const reaction of reactions) {
        for (const buffer of BUFFERS) {
          for (const off of buffer === 0 ? [1] : [-2, -1, 0, 1, 2]) {
            if (point !== "content" && point !== "end" && off !== 0) continue;
            await survives(extensions, point, reaction, buffer + off);
            count++;
          }
        }
      }
    }
  }
  assert.ok(count > 1000);
});

async function survives(
  extensions: readonly string[],
  point: PeerPoint,
  reaction: PeerReaction,
  bytes: number,
): Promise<void> {
  const content = Buffer.from("Subject: x\r\n\r\n".padEnd(bytes, "y").slice(0, bytes));
  const world = setUp(
    {
      extensions,
      contentPointBytes: Math.max(0, bytes - 1),
      at: (at) => (at === point ? reaction : undefined),
    },
    {},
    { f: [content.subarray(0, 65_536), content.subarray(65_536)] },
  );
  const { clock, delivery, run, network } = world;
  const what = `${extensions.join("+")} ${point} ${reaction.do} ${bytes}`;
  const connected = await run(delivery.connect(connectRequest()));
  if (connected.ok) {
    const transacted = await run(
      delivery.transact({
        session: "s1",
        message: message({ sizeBytes: bytes }),
        envelopes: envelopes("b@x.example"),
        body: bytes > 32 * 1024 ? { kind: "file", name: "f", sizeBytes: bytes } : { kind: "inline", bytes: content },
      }),
    );
    const [outcome] = transacted.outcomes;
    assert.ok(outcome !== undefined, what);
    // Nobody but a peer that took the whole makes it a delivery; one that then talks nonsense may get it twice.
    if (reaction.do === "reply") assert.ok(outcome.kind === "failed" || world.peer.messages.length > 0, what);
    else assert.equal(outcome.kind === "delivered", world.peer.messages.length > 0, what);
    if (outcome.kind === "failed") assert.equal(outcome.failure.lasting, "temporary", what);
    assert.equal(transacted.isUsable, outcome.kind === "delivered", what);
  }
  await run(delivery.leave("s1"));
  assert.ok(clock.now() - noon <= minutes(11), what);
  await clock.advance(10_000);
  assert.equal(network.counters.open, reaction.do === "hang" ? network.counters.open : 0, what);
}
