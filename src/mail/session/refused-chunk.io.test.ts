import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import { test } from "node:test";
import { testListener } from "../../testing/test-listener.ts";

test("a refused chunk that comes fast enough is heard to its end, and answered with its refusal", async () => {
  await using server = await testListener({}, { session: { slowGrace: "1s", slowestRate: "100" } });
  const client = await server.hello();
  await client.say("MAIL FROM:<a@b.example>\r\n", /^250 .*\r\n/);
  await client.say("RCPT TO:<nobody@here.example>\r\n", /^550 .*\r\n/);
  client.send("BDAT 5000 LAST\r\n");
  for (let piece = 0; piece < 5; piece++) {
    await wait(300);
    client.send("x".repeat(1000));
  }
  assert.match(await client.expect(/^\d{3} .*\r\n/), /^554 5\.5\.1 No valid recipients/);
  await client.say("RSET\r\n", /^250 .*\r\n/);
  client.socket.destroy();
});

test("a refused chunk that comes too slowly is not waited for", async () => {
  await using server = await testListener({}, { session: { slowGrace: "1s", slowestRate: "1MiB" } });
  const client = await server.hello();
  client.send("BDAT 5000 LAST\r\n");
  for (let piece = 0; piece < 4; piece++) {
    await wait(300);
    client.send("x".repeat(1000));
  }
  assert.match(await client.expect(/^\d{3} .*\r\n/), /^421 4\.4\.2 .*timeout/);
  assert.ok(server.log.events.some(({ fields }) => fields["reason"] === "content: too slow"));
  client.socket.destroy();
});
