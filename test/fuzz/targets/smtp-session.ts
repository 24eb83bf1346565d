import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { crc32 } from "node:zlib";
import { seededRandom } from "../../../src/foundation/random.ts";
import { runSession } from "../../../src/mail/session/session.io.ts";
import { ReplyParser } from "../../../src/protocol/smtp/reply-parser.ts";
import { messageIdMaker } from "../../../src/foundation/ids.ts";
import { virtualClock } from "../../../src/simulator/clock.ts";
import { PLAIN_TERMS } from "../../../src/testing/dialogue.ts";
import { lenientPolicy, memoryQueue, oneAccount } from "../../../src/testing/reception.ts";
import type { FuzzTarget } from "../fuzz-target.ts";
import { below } from "../mutate.ts";

const ENVELOPE = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";
const NOON = 1_800_000_000_000;
const MOST_TURNS = 60;

/**
 * Whole sessions over a wire in memory and a virtual clock: all at once, line for line, and each line in two pieces. Every reply is one,
 * there are never more than lines and chunks were sent; "queued" is said for each commit and for nothing else; nothing stays open behind;
 * cutting lines changes nothing.
 */
export const target: FuzzTarget = {
  maxBytes: 1200,
  longBytes: 0,
  seeds: [
    `EHLO me\r\n${ENVELOPE}DATA\r\nSubject: x\r\n\r\nhi\r\n..\r\n.\r\nQUIT\r\n`,
    `EHLO me\r\n${ENVELOPE}BDAT 4\r\nhi\r\nBDAT 0 LAST\r\n${ENVELOPE}BDAT 3 LAST\r\nabcNOOP\r\n`,
    "EHLO me\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\nAUTH LOGIN\r\nYW5u\r\n*\r\nMAIL FROM:<a@b> AUTH=<>\r\nRSET\r\n",
    "HELO me\r\nMAIL FROM:<> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<list@x>\r\nRCPT TO:<nobody@x>\r\nRCPT TO:<later@x>\r\nDATA\r\nx\n.\ny\r.\r\n.\r\nVRFY a\r\nEXPN b\r\nHELP\r\n",
    "STARTTLS\r\nEHLO a b\r\nETRN @x\r\nXCLIENT NAME=a ADDR=192.0.2.1\r\nXFORWARD NAME=b\r\nUNKNOWN\r\n\r\n\r\n",
    `EHLO me\r\nMAIL FROM:<a@b> RET=HDRS ENVID=x SMTPUTF8\r\nRCPT TO:<c@d> NOTIFY=SUCCESS ORCPT=rfc822;c@d\r\nBDAT 99999999999 LAST\r\nx`,
  ],
  tokens: [
    "\r\n",
    "\n",
    "\r",
    ".\r\n",
    "\r\n.\r\n",
    "EHLO me\r\n",
    ENVELOPE,
    "DATA\r\n",
    "BDAT ",
    "BDAT 2 LAST\r\n",
    "RSET\r\n",
    "QUIT\r\n",
    "NOOP\r\n",
    "AUTH PLAIN\r\n",
    "AUTH SCRAM-SHA-256 ",
    "AGFubgBzZWNyZXQ=\r\n",
    "*\r\n",
    "XCLIENT ADDR=::1\r\n",
    "STARTTLS\r\n",
    "\x16\x03\x01\0\x05\x01",
    "\0",
    "<nobody@x>",
    " SIZE=99999999",
  ],
  async run(bytes) {
    const lines = linesOf(bytes);
    const random = seededRandom(crc32(bytes));
    const halves = lines.flatMap((line) => {
      const at = below(random, line.length);
      return [line.subarray(0, at), line.subarray(at)].filter((piece) => piece.length > 0);
    });
    await converse([bytes], lines.length);
    const whole = await converse(lines, lines.length);
    const cut = await converse(halves, lines.length);
    // A chunk ends where its octets do, so what comes with its end may be the next command, which other cuts part from it; and who
    // breaks off in a handshake does so in other words.
    if (!/bdat|starttls|\x16/i.test(bytes.toString("latin1"))) assert.deepEqual(cut, whole);
  },
};

/** One conversation; what was said, and what the queue was given. */
async function converse(pieces: readonly Buffer[], lines: number): Promise<{ said: string; kept: readonly string[] }> {
  const clock = virtualClock(NOON);
  const queue = memoryQueue();
  const wire = new Wire();
  let isOver = false;
  const session = runSession({
    // As much of a socket as a session without TLS looks at.
    socket: wire as unknown as Socket,
    terms: {
      ...PLAIN_TERMS,
      tls: "off",
      auth: "offer",
      mechanisms: ["SCRAM-SHA-256", "PLAIN", "LOGIN"],
      mayAuthenticateInPlain: true,
      mayXclient: () => true,
      mayXforward: () => true,
      vrfy: "answer",
    },
    peer: { address: "192.0.2.9", port: 4242, name: "client.example" },
    allowance: { take: () => true, isSpent: () => false },
    services: {
      clock,
      emit: () => {},
      newMessageId: messageIdMaker(clock, 1),
      intake: queue,
      queue,
      policy: lenientPolicy(),
      logins: oneAccount,
      tls: { accept: () => assert.fail("TLS is off") },
    },
    onEnd: () => (isOver = true),
  });
  await wire.quiet();
  for (const piece of pieces) {
    if (wire.destroyed || isOver) break;
    wire.push(piece);
    await wire.quiet();
  }
  const kept = queue.commits.map((_, at) => queue.content(at));
  const { said } = wire;
  session.destroy();
  wire.destroy();
  await wire.quiet();
  assert.equal(queue.openWriters, 0, "a body that nobody ends");
  const events = new ReplyParser().push(Buffer.from(said, "latin1"));
  assert.ok(
    events.every((event) => event.kind === "reply"),
    said,
  );
  // The greeting, and at most one for each line: over SMTP nothing is answered twice.
  assert.ok(events.length <= lines + 2, `${events.length} replies to ${lines} lines`);
  assert.equal(said.match(/queued as/g)?.length ?? 0, kept.length);
  for (const content of kept) assert.match(content, /^Received: from /);
  return { said, kept };
}

function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < bytes.length;) {
    const lf = bytes.indexOf(10, from);
    const end = lf < 0 ? bytes.length : lf + 1;
    lines.push(bytes.subarray(from, end));
    from = end;
  }
  return lines;
}

/** The server's end of a connection. */
class Wire extends Duplex {
  #said: Buffer[] = [];

  get said(): string {
    return Buffer.concat(this.#said).toString("latin1");
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#said.push(Buffer.from(chunk));
    done();
  }

  /** Resolves when a few turns of the event loop have brought nothing new. */
  async quiet(): Promise<void> {
    let before = -1;
    for (let turn = 0; turn < MOST_TURNS && (before !== this.#said.length || this.readableLength > 0); turn++) {
      before = this.#said.length;
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
