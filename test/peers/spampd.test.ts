import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort, LAYOUTS, ROOT, startServer, type Layout, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";
import { hasPeer, type RunningPeer } from "./running.ts";
import { GTUBE } from "./spamd.ts";
import { startSpampd } from "./spampd.ts";

const MAIL = "Subject: a question\nMessage-ID: <1@stranger.example>\n\nWhen do we meet?";
const SPAM = `Subject: an offer\nMessage-ID: <2@stranger.example>\n\n${GTUBE}`;

/** The settings that the manual shows for spampd, after the queue or before it, at free ports of loopback. */
function manualSettings(when: "after" | "before", filterPort: number, returnPort: number): string {
  const page = readFileSync(join(ROOT, "docs", "manual", "content-filter.md"), "utf8");
  const blocks = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = ""]) => text);
  const whole = blocks.filter((text) => text.includes("restrictions:"));
  const block = whole.find((text) => text.includes("smtp-proxy:") === (when === "before")) ?? "";
  return block
    .replace("port: 25\n", "address: 127.0.0.1\n    port: {smtp}\n")
    .replace("smtp://127.0.0.1:10025", `smtp://127.0.0.1:${filterPort}`)
    .replace("port: 10026", `port: ${returnPort}`);
}

interface Both extends AsyncDisposable {
  readonly server: TestServer;
  readonly spampd: RunningPeer;
}

async function start(
  layout: Layout,
  when: "after" | "before",
  change: (settings: string) => string = (same) => same,
  preferences: readonly string[] = [],
): Promise<Both> {
  const filterPort = await freePort();
  const returnPort = await freePort();
  const settings = change(manualSettings(when, filterPort, returnPort));
  const server = await startServer({
    layout,
    readyWithinMs: 90_000,
    wholeSettings: `hostname: mx.posthorn.test\nstate: ./data\nuser: nobody\nprocesses: { layout: ${layout}, ingress: 2, egress: 2 }\n${settings}`,
  });
  const spampd = await startSpampd({ port: filterPort, relayPort: returnPort, preferences }).catch(async (thrown) => {
    await server[Symbol.asyncDispose]();
    throw thrown;
  });
  return {
    server,
    spampd,
    async [Symbol.asyncDispose]() {
      await spampd[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

function give(server: TestServer, content: string, to: string | string[] = "jane@example.org"): Promise<string> {
  return sendMail(server.ports.smtp, { from: "joe@stranger.example", to, content });
}

for (const layout of LAYOUTS) {
  test(`${layout}: mail goes through spampd after the queue and comes back marked, and the log tells both passes as one`, async (t) => {
    if (!hasPeer("spampd", t)) return;
    await using both = await start(layout, "after");
    const { server } = both;
    assert.match(await give(server, MAIL, ["jane@example.org", "jim@example.org"]), /^250 /);
    assert.match(await give(server, SPAM, "jack@example.org"), /^250 /);
    const [good = ""] = await server.waitForMails("jane", 1, 60_000);
    assert.match(good, /X-Spam-Status: No/);
    assert.equal((await server.waitForMails("jim", 1, 60_000)).length, 1);
    const [spam = ""] = await server.waitForMails("jack", 1, 60_000);
    assert.match(spam, /X-Spam-Flag: YES/);
    // Two passes, each with its own field, and the first says for which filter.
    assert.match(
      good,
      /Received: from .*\r?\n(?:\t.*\r?\n)*?(?:.*\r?\n)*?Received: (?:.*\r?\n\t)*\(content-filter:smtp\)/,
    );

    const [, copy = "", original = ""] = await server.waitForOutput(/(\w{11}): filtered copy of (\w{11})/);
    await server.waitForOutput(/orig_client=\S*\[127\.0\.0\.1\]/);
    for (const id of [copy, original]) {
      const { stdout } = await server.posthorn("log", id);
      assert.match(stdout, new RegExp(`${original}: client=`), stdout);
      assert.match(stdout, new RegExp(`${copy}: client=`), stdout);
      assert.match(stdout, /status=sent/);
    }
  });

  test(`${layout}: spampd before the queue: its listener's answer is the client's, and spam can be refused there`, async (t) => {
    if (!hasPeer("spampd", t)) return;
    await using both = await start(layout, "before");
    const { server } = both;
    assert.match(await give(server, MAIL), /^250 2\.0\.0 Ok: queued as /);
    const [good = ""] = await server.waitForMails("jane", 1, 60_000);
    assert.match(good, /X-Spam-Status: No/);
    assert.match(good, /\(proxy-filter:spampd\)/);
    await server.waitForOutput(/handed over by filter spampd: 250/);
    assert.match(await give(server, SPAM, "jack@example.org"), /^250 /);
    const [spam = ""] = await server.waitForMails("jack", 1, 60_000);
    assert.match(spam, /X-Spam-Flag: YES/);
    const [, id = ""] = /queued as (\w{11})/.exec(await give(server, MAIL, "jim@example.org")) ?? [];
    await server.waitForMails("jim", 1, 60_000);
    // Nothing is left of the pass before the filter, which was never queued.
    assert.match((await server.posthorn("log", id)).stdout, /filtered copy of/);
    assert.match((await server.posthorn("queue", "count")).stdout, /^TOTAL +0 /m);
  });
}

test("spampd that offers a STARTTLS it cannot do gets the mail in plaintext, and the log says so", async (t) => {
  if (!hasPeer("spampd", t)) return;
  // The listener behind it offers STARTTLS, spampd hands the offer and the command through, and cannot follow.
  await using both = await start("single", "after", (settings) => {
    const changed = settings.replace("content-filter: smtp://", "content-filter: smtp+tls://");
    return `${changed.replace("tls: off", "tls: offer")}delivery: { tls-timeout: 3s }\n`;
  });
  const { server } = both;
  assert.match(await give(server, MAIL), /^250 /);
  const [good = ""] = await server.waitForMails("jane", 1, 90_000);
  assert.match(good, /X-Spam-Status: No/);
  await server.waitForOutput(/smtp\[\d+\]: SSL_connect error to 127\.0\.0\.1/);
  await server.waitForOutput(/going on in plaintext/);
  await server.waitForOutput(/filtered copy of/);
  // It is known by now: what comes next tries no handshake.
  assert.match(await give(server, MAIL, "jim@example.org"), /^250 /);
  await server.waitForMails("jim", 1, 60_000);
  assert.equal(server.output().match(/SSL_connect error/g)?.length, 1);
});

test("mail for spampd that is not there waits, says why, and goes when it is; taken out of the settings, it goes without", async (t) => {
  if (!hasPeer("spampd", t)) return;
  const both = await start("single", "after");
  const { server, spampd } = both;
  try {
    await spampd[Symbol.asyncDispose]();
    assert.match(await give(server, MAIL), /^250 /);
    await server.waitForOutput(/status=deferred .*[Cc]onnection refused/);
    const { stdout } = await server.posthorn("queue", "list");
    assert.match(stdout, /[Cc]onnection refused/, stdout);
    const written = manualSettings("after", 1, await freePort()).replace(
      /content-filter: smtp:.*\n/,
      "content-filter: none\n",
    );
    server.rewrite({
      wholeSettings: `hostname: mx.posthorn.test\nstate: ./data\nuser: nobody\nprocesses: { layout: single }\n${written}`,
    });
    const reloaded = await server.posthorn("reload");
    assert.equal(reloaded.status, 0, reloaded.stderr);
    await server.waitForMails("jane", 1, 60_000);
    await server.waitForOutput(/its content filter is not in the settings any more/);
  } finally {
    await server[Symbol.asyncDispose]();
  }
});
