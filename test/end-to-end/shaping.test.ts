import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** So many at once; the next one when ten minutes have passed, which nobody waits for here. */
const FIRST = 9;

for (const layout of LAYOUTS) {
  test(`${layout}: mail leaves from several addresses at the rate of its next host, until a reload says otherwise`, async () => {
    const cameAt: number[] = [];
    await using host = await startScriptedHost({
      answer: (line, { socket }) => {
        if (line.startsWith("EHLO") && socket.remoteAddress === "127.0.0.3") return "554 5.7.1 your address is blocked";
        if (line === ".") cameAt.push(Date.now());
        return undefined;
      },
    });
    const settings = (rate: string): string => `actions:
  out: { relay: { to: "smtp://127.0.0.1:${host.port}" } }
rules:
  - { match: { from: local }, action: out }
route:
  sources:
    - { address: 127.0.0.2, weight: 3, helo: heavy.example }
    - 127.0.0.3
    - 192.0.2.77
  shaping:
    "mx:127.0.0.1": { mails-per-connection: 2, connections: 2${rate} }
`;
    await using server = await startServer({ layout, settings: settings(`, rate: ${FIRST}/10m`) });
    assert.match(server.output(), /posthorn\.yaml:\d+:7: warning: .*192\.0\.2\.77 is no address of this machine/);
    for (let n = 0; n < 24; n++)
      await sendMail(server.ports.smtp, { from: "joe@client.test", to: [`u${n}@far.test`], content: "hello" });
    await host.waitForMails(FIRST);
    const waiting = await server.posthorn("queue", "list", "--json");
    const envelopes = [...waiting.stdout.matchAll(/"envelope":"([^"]+)"/g)].map(([, id = ""]) => id);
    const why = await server.posthorn("why", envelopes.at(-1) ?? "");
    assert.match(why.stdout, /the rate of mails to .*127\.0\.0\.1.* is spent \(9\/10m\)/);
    assert.match(why.stdout, /posthorn\.yaml:\d+:\d+/);

    server.rewrite({ settings: settings("") });
    const reloadedAt = Date.now();
    assert.equal((await server.posthorn("reload")).status, 0);
    // What waited for the rate goes at once.
    await host.waitForMails(24);
    const before = cameAt.filter((at) => at < reloadedAt);
    assert.ok(before.length >= FIRST && before.length < 24 - 5, `${before.length} came before the reload`);

    const from = new Set(host.sessions.map(({ socket }) => socket.remoteAddress));
    assert.equal(from.has("127.0.0.2"), true);
    // One that has just been opened may not have spoken yet.
    const spoken = host.sessions.filter(({ lines }) => lines.length > 0);
    for (const { lines } of spoken.filter(({ socket }) => socket.remoteAddress === "127.0.0.2"))
      assert.equal(lines[0], "EHLO heavy.example");
    for (const { lines } of host.sessions)
      assert.ok(lines.filter((line) => line.startsWith("MAIL")).length <= 2, "two mails in a connection");
    await wait(50);
    assert.doesNotMatch(server.output(), /status=deferred/);
  });
}
