import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { Injected } from "../../admin/cli/sendmail/inject.ts";
import { submitInside } from "./inner-submission.ts";

const REPLIES: Readonly<Record<string, string>> = { EHLO: "250 here", MAIL: "250 ok", DATA: "354 go on" };

/** A mail for many, to a server that does what a test says at a command. */
function submit(on: (verb: string, socket: Socket) => string | undefined, bytes = 100_000): Promise<Injected> {
  const accept = (socket: Socket): void => {
    socket.on("error", () => {});
    socket.write("220 here\r\n");
    socket.on("data", (bytes: Buffer) => {
      const verb = String(bytes).slice(0, 4);
      const said = on(verb, socket) ?? REPLIES[verb];
      if (said !== undefined && !socket.destroyed) socket.write(`${said}\r\n`);
    });
  };
  const recipients = Array.from({ length: 30 }, (_, index) => `u${index}@x.example`);
  return submitInside(
    accept,
    { account: "joe", mechanism: "drop" },
    { sender: "joe@x.example", recipients, content: Buffer.alloc(bytes, "x") },
    "here.example",
  );
}

test("reception that goes while nobody reads from it holds up nobody who writes, and its refusals count", async () => {
  let refused = 0;
  const many = await submit((verb, socket) => {
    if (verb !== "RCPT") return undefined;
    if (++refused === 20) {
      socket.write("550 no\r\n421 4.7.0 Too many errors; closing\r\n");
      socket.destroy();
    }
    return "550 no";
  });
  assert.ok(many.kind === "refused" && many.isLasting && many.lines.length >= 20, JSON.stringify(many));

  const cut = await submit((verb, socket) => {
    if (verb === "RCPT") return "250 ok";
    // In the middle of the content.
    if (verb.startsWith("xx")) socket.destroy();
    return undefined;
  });
  assert.equal(cut.kind, "broken");
});

test("reception that takes nothing any more is not waited for without an end", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const over = new AbortController();
  const injected = submit((verb, socket) => {
    if (verb.startsWith("xx")) socket.pause();
    return verb === "RCPT" ? "250 ok" : undefined;
  }, 1_000_000).finally(() => over.abort());
  for (let turn = 0; !over.signal.aborted && turn < 2000; turn++) {
    await new Promise<void>((resolve) => void setImmediate(resolve));
    t.mock.timers.tick(1000);
  }
  assert.ok(over.signal.aborted);
  assert.deepEqual(await injected, { kind: "broken", text: "the server took nothing for 180 seconds" });
});
