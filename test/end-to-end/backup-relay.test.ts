import assert from "node:assert/strict";
import { test } from "node:test";
import { a, mx, startDnsServer } from "../dns-server.ts";
import { inOwnNetwork } from "../own-network.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

const BETTER = "198.51.100.11";
const WORSE = "198.51.100.12";
const OURSELVES = "198.51.100.200";

inOwnNetwork(import.meta.filename, () => {
  for (const layout of LAYOUTS)
    test(`${layout}: a backup delivers to better exchangers only, after a retry, a reload and a restart as before`, async () => {
      await using dns = await startDnsServer({
        "backed.test": [mx(5, "better.test"), mx(10, "backup.us.test"), mx(20, "worse.test")],
        "stranger.test": [mx(5, "worse.test")],
        "better.test": [a(BETTER)],
        "worse.test": [a(WORSE)],
        "backup.us.test": [a(OURSELVES)],
      });
      const settings = (more: string): string => `dns: { servers: ["${dns.at}"] }
delivery: { connect-timeout: 2s }
route: { keep-open: 0s, penalty-step: 1s, longest-rest: 1s }
actions: { backup: { relay: { to: "backup://backup.us.test" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: backup } ]
${more}`;
      // The one behind us in the list would take everything, and must get nothing.
      await using worse = await startScriptedHost({ address: WORSE, port: 25 });
      const first = await startServer({ layout, settings: settings("") });
      let server = first;
      const count = (pattern: RegExp): number => server.output().match(pattern)?.length ?? 0;
      const deferredAgain = async (change: () => Promise<unknown>): Promise<void> => {
        const before = count(DEFERRED);
        await change();
        for (let tries = 0; tries < 100 && count(DEFERRED) <= before; tries++) {
          await server.posthorn("queue", "retry", "--all");
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        assert.ok(count(DEFERRED) > before, server.output());
        assert.equal(worse.sessions.length, 0);
      };
      try {
        for (const domain of ["backed.test", "stranger.test"])
          await sendMail(server.ports.smtp, {
            from: "writer@localhost",
            to: `rcpt@${domain}`,
            content: "Subject: x\n\nx",
          });
        await server.waitForOutput(DEFERRED);
        await server.waitForOutput(
          /to=<rcpt@stranger\.test>, .*dsn=4\.3\.5, .*this host is no mail exchanger of stranger\.test/,
        );
        await deferredAgain(() => Promise.resolve());
        await deferredAgain(async () => {
          server.rewrite({ settings: settings("bounce: {}\n") });
          assert.equal((await server.posthorn("reload")).status, 0);
        });
        await first.stop();
        server = await startServer({ layout, folder: first.folder, ports: first.ports, settings: settings("") });
        await deferredAgain(() => Promise.resolve());
        await using better = await startScriptedHost({ address: BETTER, port: 25 });
        for (let tries = 0; tries < 100 && better.mails.length === 0; tries++) {
          await server.posthorn("queue", "retry", "--all");
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        const [mail] = await better.waitForMails(1);
        assert.deepEqual(mail?.recipients, ["rcpt@backed.test"]);
        assert.equal(worse.sessions.length, 0);
      } finally {
        if (server !== first) await server[Symbol.asyncDispose]();
        await first[Symbol.asyncDispose]();
      }
    });
});

const DEFERRED = /to=<rcpt@backed\.test>, .*status=deferred \(connect to better\.test/g;
