import assert from "node:assert/strict";
import { serialize } from "node:v8";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { PosthornError } from "../../foundation/error.ts";
import { frameReader, openChannel, remote } from "./channel.ts";

interface Sums {
  add(a: number, b: number): Promise<number>;
  fail(): Promise<void>;
  echo(bytes: Uint8Array): Promise<Uint8Array>;
  never(): Promise<void>;
}

function pair() {
  const [here, there] = duplexPair();
  const server = openChannel({
    stream: there,
    peer: "client",
    handlers: {
      add: (a: number, b: number) => a + b,
      fail: () => {
        throw new PosthornError("SPOOL_FULL", { message: "no room", advice: "free space" });
      },
      echo: (bytes: Uint8Array) => bytes,
      never: () => new Promise(() => {}),
    },
  });
  const client = openChannel({ stream: here, peer: "server", handlers: {} });
  return { server, client, sums: remote<Sums>(() => client, ["add", "fail", "echo", "never"], "server") };
}

test("calls are answered, each with its own answer", async () => {
  const { sums } = pair();
  assert.deepEqual(await Promise.all([sums.add(1, 2), sums.add(3, 4)]), [3, 7]);
});

test("bytes arrive as they were", async () => {
  const { sums } = pair();
  const bytes = new Uint8Array(100_000).map((_, index) => index % 251);
  assert.deepEqual(Buffer.from(await sums.echo(bytes)), Buffer.from(bytes));
});

test("an error keeps its code and advice on the way", async () => {
  const { sums } = pair();
  await assert.rejects(sums.fail(), (error: unknown) => {
    assert(error instanceof PosthornError);
    assert.equal(error.code, "SPOOL_FULL");
    assert.equal(error.advice, "free space");
    return true;
  });
});

test("a call that waits is refused when the other end goes away", async () => {
  const { server, sums } = pair();
  const waiting = sums.never();
  setImmediate(() => server.close());
  await assert.rejects(waiting, { code: "ROLE_UNAVAILABLE" });
  await assert.rejects(sums.add(1, 1), { code: "ROLE_UNAVAILABLE" });
});

test("frames are found however the bytes are cut", () => {
  const payloads = [serialize(["a"]), serialize(["b".repeat(300)]), serialize([])];
  const wire = Buffer.concat(
    payloads.flatMap((payload) => {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(payload.length);
      return [head, payload];
    }),
  );
  for (let cut = 1; cut < 12; cut++) {
    const got: Buffer[] = [];
    const feed = frameReader((payload) => got.push(Buffer.from(payload)));
    for (let at = 0; at < wire.length; at += cut) feed(wire.subarray(at, at + cut));
    assert.deepEqual(got, payloads);
  }
});

test("a frame longer than any of ours is refused before it is collected", () => {
  const feed = frameReader(() => {});
  assert.throws(() => feed(Buffer.from([0xff, 0xff, 0xff, 0xff])));
});
