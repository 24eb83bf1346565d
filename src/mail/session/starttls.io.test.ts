import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { messageIdMaker } from "../../foundation/ids.ts";
import { PLAIN_TERMS } from "../../testing/dialogue.ts";
import { eventLog, lenientPolicy, memoryQueue, oneAccount } from "../../testing/reception.ts";
import { runSession } from "./session.io.ts";

/** A socket whose packets come exactly when the test says. */
class Wire extends Duplex {
  heard = "";
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.heard += chunk.toString("latin1");
    done();
  }
}

test("plaintext that arrives between STARTTLS and our reply is an injection, and no handshake begins", async () => {
  const log = eventLog();
  const queue = memoryQueue();
  const wire = new Wire({ allowHalfOpen: true });
  let handshakes = 0;
  runSession({
    // A session needs no more of a socket than a stream has.
    socket: wire as unknown as Socket,
    terms: PLAIN_TERMS,
    peer: { address: "192.0.2.9", name: "client.example" },
    allowance: { take: () => true, isSpent: () => false },
    services: {
      clock: systemClock,
      emit: log.emit,
      newMessageId: messageIdMaker(systemClock, 1),
      intake: queue,
      queue,
      policy: lenientPolicy(),
      logins: oneAccount,
      tls: {
        accept: () => {
          handshakes++;
          return new Promise(() => {});
        },
      },
    },
    onEnd: () => {},
  });
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  wire.push("EHLO x\r\n");
  await turn();
  wire.heard = "";
  wire.push("STARTTLS\r\n");
  await turn();
  wire.push("RSET\r\n");
  await turn();
  await turn();
  assert.match(wire.heard, /^554 5\.5\.0 [^\r]*\r\n$/);
  assert.equal(handshakes, 0);
  assert.ok(
    log.lines.includes(
      "warning: injection from client.example[192.0.2.9]: 6 bytes of plaintext between STARTTLS and our reply, before TLS; refused",
    ),
    log.lines.join("\n"),
  );
  wire.destroy();
});
