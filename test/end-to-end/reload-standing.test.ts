import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hangUp } from "../hang-up.ts";
import { LAYOUTS, startServer, type Layout } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

interface Standing {
  readonly state?: string;
  readonly more?: string;
}

const settings = (layout: Layout, { state = "./data", more = "" }: Standing): string => `hostname: mx.posthorn.test
state: ${state}
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
listeners: [ { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp } ]
rules: [ { match: { for: local }, action: deliver } ]
${more}`;

const CHANGED: readonly (readonly [name: string, standing: Standing])[] = [
  // Its own secret lies in the state directory.
  ["state", { state: "./other", more: "srs: {}\n" }],
  ["queue.store", { more: 'queue: { store: { process: { command: ["/bin/cat"] } } }\n' }],
];

for (const layout of LAYOUTS)
  for (const [name, standing] of CHANGED)
    test(`${layout}: a reload with another ${name} goes on with that of the start, whoever is started anew after it`, async () => {
      await using server = await startServer({ layout, verbose: true, wholeSettings: settings(layout, {}) });
      const mail = { from: "a@b.test", to: "ada@localhost", content: "x" };
      assert.match(await sendMail(server.ports.smtp, mail), /^250 /);
      await server.waitForMails("ada", 1);

      server.rewrite({ wholeSettings: settings(layout, standing) });
      assert.match(await hangUp(server), new RegExp(`^reload -- .*; only after a restart: ${name}`));
      assert.match(await sendMail(server.ports.smtp, mail), /^250 /);
      await server.waitForMails("ada", 2);

      for (const role of ["scheduler", "delivery", "log"]) {
        const pid = server.workers().get(role);
        if (layout === "single") break;
        assert.ok(pid !== undefined, role);
        process.kill(pid, "SIGKILL");
        await server.waitForOutput(new RegExp(`process ${role} pid ${pid} ended[^]*\\b${role}: ready`));
      }
      assert.match(await sendMail(server.ports.smtp, mail), /^250 /);
      await server.waitForMails("ada", 3);
      assert.equal(existsSync(join(server.folder, "other")), false);

      // It is told against the start, as long as it differs.
      assert.match(await hangUp(server), new RegExp(`; only after a restart: ${name}`));
      server.rewrite({ wholeSettings: settings(layout, {}) });
      assert.doesNotMatch(await hangUp(server), /restart/);
      assert.equal(await server.stop(), 0);
    });
