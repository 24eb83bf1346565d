import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { requirePeer } from "../peers/peer.ts";
import { run } from "../peers/running.ts";
import { freePort, LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** The numbers in pflogsumm's first table, by the words behind them. */
function totalsOf(report: string): Readonly<Record<string, number>> {
  const totals: Record<string, number> = {};
  for (const [, number, what = ""] of report.matchAll(/^ {1,}(\d+) {2,3}([a-z][a-z/ ]*?)(?: +\(.*\))?$/gm))
    totals[what] ??= Number(number);
  return totals;
}

for (const layout of LAYOUTS)
  test(`${layout}: pflogsumm, unchanged, counts what a server did right`, async (t) => {
    const pflogsumm = requirePeer("pflogsumm", t);
    if (pflogsumm === undefined) return;
    await using receiver = await startServer({ settings: "local: { domains: [next.test], users: [ann, ben] }\n" });
    const downPort = await freePort();
    await using server = await startServer({
      layout,
      settings: `local: { domains: [posthorn.test], users: [ada, bob, writer] }
actions:
  next: { relay: { to: "smtp://127.0.0.1:${receiver.ports.smtp}" } }
  down: { relay: { to: "smtp://127.0.0.1:${downPort}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { for: next.test }, action: next }
  - { match: { for: down.test }, action: down }
`,
    });
    const send = async (from: string, to: readonly string[]): Promise<string> =>
      await sendMail(server.ports.smtp, { from, to, content: "Subject: counted\n\nx" });

    // Received 5; delivered 2 + 2 + 1, and the bounce to its sender.
    assert.match(await send("writer@posthorn.test", ["ada@posthorn.test", "bob@posthorn.test"]), /^250 /);
    assert.match(await send("writer@posthorn.test", ["ann@next.test", "ben@next.test"]), /^250 /);
    assert.match(await send("writer@posthorn.test", ["gone@next.test"]), /^250 /);
    assert.match(await send("writer@posthorn.test", ["ada@posthorn.test"]), /^250 /);
    assert.match(await send("writer@posthorn.test", ["ann@down.test", "ben@down.test"]), /^250 /);
    // Refused: a user that is not there, and a domain that is not ours.
    assert.match(await send("writer@posthorn.test", ["nobody@posthorn.test"]), /^550 5\.1\.1 /);
    assert.match(await send("writer@posthorn.test", ["x@elsewhere.test"]), /^550 5\.7\.1 /);
    await server.waitForMails("writer", 1);
    await server.waitForOutput(/to=<ann@down\.test>, .*status=deferred/);
    await server.waitForOutput(/to=<ben@down\.test>, .*status=deferred/);
    await server.waitForOutput(/to=<writer@posthorn\.test>, .*status=sent/);
    assert.equal(await server.stop(), 0);
    const file = join(server.folder, "mail.log");
    writeFileSync(file, server.output());

    const { status, output } = await run(pflogsumm, ["--syslog-name=posthorn", file]);
    assert.equal(status, 0, output);
    const { received, delivered, deferred, bounced, rejected, senders, recipients } = totalsOf(output);
    assert.deepEqual(
      { received, delivered, deferred, bounced, rejected, senders, recipients },
      // As with Postfix: deferred mails are counted, not attempts, and our own bounce is delivered but was not received.
      { received: 5, delivered: 6, deferred: 1, bounced: 1, rejected: 2, senders: 1, recipients: 5 },
      output,
    );
    assert.match(output, /Connection refused/);
    assert.match(output, /no such user here/);
    assert.doesNotMatch(output, /unprocessed|^ *Warnings\n-+\n(?! *none)/m);
  });
