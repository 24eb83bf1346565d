import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "../../foundation/clock.io.ts";
import { writeDropped } from "../../mail/connection/dropped-mail.ts";
import { dropIntake } from "./drop-intake.ts";

/** Takes mail to nobody of gone.example, and all other. What was said to it is in `heard`. */
function hostOn(socket: Socket, heard: string[]): void {
  let isContent = false;
  let rest = "";
  socket.write("220 mx.example ESMTP\r\n");
  socket.on("data", (bytes: Buffer) => {
    const lines = `${rest}${bytes.toString()}`.split("\r\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      heard.push(line);
      if (isContent && line !== ".") continue;
      isContent = line === "DATA";
      if (line.startsWith("EHLO")) socket.write("250-mx.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
      else if (isContent) socket.write("354 go on\r\n");
      else socket.write(/^RCPT.*@gone\.example/.test(line) ? "550 5.1.1 unknown\r\n" : "250 2.0.0 Ok\r\n");
    }
  });
}

test("who left a mail that is refused is told at his address in ASCII, where it has such a form", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-intake-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "taken"));
  const mail = { sender: "bob@b\u00fccher.example", recipients: ["x@gone.example"] };
  writeFileSync(join(folder, `${"a".repeat(32)}.mail`), writeDropped(mail, Buffer.from("Subject: x\r\n\r\nhi\r\n")));
  const heard: string[] = [];
  const drop = dropIntake({
    folder,
    claimer: "one",
    clock: systemClock,
    emit: () => {},
    mostBytes: () => 10_000,
    hostname: () => "mx.example",
    mailName: () => Promise.resolve("mx.example"),
    accountOf: () => Promise.resolve("bob"),
    accept: (socket) => hostOn(socket, heard),
  });
  drop.start();
  for (const untilAt = Date.now() + 8000; !heard.includes(".") && Date.now() < untilAt;) await wait(10);
  await drop.close();
  const notice = heard.slice(heard.findIndex((line) => line.startsWith("MAIL FROM:<>")));
  assert.doesNotMatch(notice[0] ?? "", /SMTPUTF8/);
  assert.ok(notice.includes("RCPT TO:<bob@xn--bcher-kva.example>"), notice.join("\n"));
  assert.ok(notice.includes("To: <bob@xn--bcher-kva.example>"), notice.join("\n"));
});
