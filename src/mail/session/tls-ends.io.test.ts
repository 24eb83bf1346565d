import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { testCertificate, testListener, type TestListener } from "../../testing/test-listener.ts";

const tls = await testCertificate();

interface Client {
  readonly raw: Socket;
  readonly socket: TLSSocket;
  say(text: string, pattern: RegExp): Promise<void>;
}

/** TLS over a socket that the test still holds, so that it can end TCP without TLS's knowledge. */
async function client(server: TestListener, version: "TLSv1.2" | "TLSv1.3"): Promise<Client> {
  const raw = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
  const socket = connectTls({ socket: raw, rejectUnauthorized: false, minVersion: version, maxVersion: version });
  socket.on("error", () => {});
  raw.on("error", () => {});
  let heard = "";
  let wake = (): void => {};
  socket.on("data", (bytes: Buffer) => {
    heard += bytes.toString("latin1");
    wake();
  });
  const say = async (text: string, pattern: RegExp): Promise<void> => {
    heard = "";
    if (text !== "") socket.write(text);
    while (!pattern.test(heard)) await new Promise<void>((resolve) => (wake = resolve));
  };
  await once(socket, "secureConnect");
  socket.write("EHLO me.example\r\n");
  await say("", /^250 .*\r\n/m);
  return { raw, socket, say };
}

/** The ways to go: in good order, by TCP alone, in the middle of a record, by a reset. */
const ENDS = {
  "ended with close_notify": ({ socket }: Client) => void socket.end(),
  "ended without close_notify": ({ raw }: Client) => void raw.end(),
  reset: ({ raw }: Client) => void raw.resetAndDestroy(),
} as const;

const ENVELOPE = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

for (const version of ["TLSv1.2", "TLSv1.3"] as const)
  for (const [how, end] of Object.entries(ENDS))
    test(`${version}, ${how} inside DATA or BDAT makes no message, and the line says how`, async () => {
      await using server = await testListener({ tls: "implicit" }, { world: { tls: () => tls } });
      for (const [begin, after] of [
        ["DATA\r\n", "DATA"],
        // The octets announced never come whole, though a dot stands where a message could end.
        ["BDAT 100 LAST\r\nSubject: x\r\n\r\nhalf\r\n.\r\n", "BDAT"],
      ] as const) {
        const one = await client(server, version);
        await one.say(ENVELOPE, /^250 [^\r]*\r\n250 /m);
        if (after === "DATA") await one.say(begin, /^354/m);
        one.socket.write(after === "DATA" ? "Subject: x\r\n\r\nhalf\r\n." : begin);
        await new Promise((resolve) => setTimeout(resolve, 30));
        end(one);
        await server.logged(
          new RegExp(`^lost connection after ${after} from localhost\\[127\\.0\\.0\\.1\\] \\(TLS: ${how}\\)$`),
        );
        one.raw.destroy();
      }
      assert.equal(server.queue.commits.length, 0);
      assert.equal(server.queue.openWriters, 0);
    });

test("a FIN in the middle of a record inside DATA is told as that, and makes no message", async () => {
  await using server = await testListener({ tls: "implicit" }, { world: { tls: () => tls } });
  const one = await client(server, "TLSv1.3");
  await one.say(ENVELOPE, /^250 [^\r]*\r\n250 /m);
  await one.say("DATA\r\n", /^354/m);
  // The header of a record of application data, and a tenth of what it announces.
  one.raw.write(Buffer.concat([Buffer.from("1703030064", "hex"), Buffer.alloc(10)]));
  one.raw.end();
  await server.logged(/^lost connection after DATA from \S+ \(TLS: cut off inside a record\)$/);
  assert.equal(server.queue.commits.length, 0);
  one.raw.destroy();
});

test("a message whose end came before the connection's is kept, however that ended", async () => {
  for (const end of Object.values(ENDS)) {
    await using server = await testListener({ tls: "implicit" }, { world: { tls: () => tls } });
    const one = await client(server, "TLSv1.3");
    await one.say(ENVELOPE, /^250 [^\r]*\r\n250 /m);
    await one.say("DATA\r\n", /^354/m);
    await one.say("Subject: x\r\n\r\nwhole\r\n.\r\n", /^250 2\.0\.0 Ok: queued/);
    end(one);
    await server.logged(/^disconnect from/);
    assert.equal(server.queue.commits.length, 1);
    one.raw.destroy();
  }
});
