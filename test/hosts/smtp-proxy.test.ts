import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { freePort, startServer, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** How the filter treats the next connection: hands it through, keeps silent, or closes when content comes. */
type Manner = "pass" | "hang" | "die";

async function startFilter(port: number, to: number): Promise<{ manner: Manner } & AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    open.add(near);
    near.on("error", () => {});
    if (filter.manner === "hang") return;
    const isDying = filter.manner === "die";
    const far = connect(to, "127.0.0.1");
    open.add(far);
    far.on("error", () => near.destroy());
    near.on("close", () => far.destroy());
    far.pipe(near);
    near.on("data", (bytes: Buffer) => {
      if (isDying && bytes.includes("Subject:")) near.destroy();
      else far.write(bytes);
    });
    near.on("end", () => far.end());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const filter = {
    manner: "pass" as Manner,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
  return filter;
}

interface Proxied extends AsyncDisposable {
  readonly server: TestServer;
  readonly filter: { manner: Manner };
  give(to: string | string[], port?: number): Promise<string>;
}

async function start(onFailure: "defer" | "accept" = "defer"): Promise<Proxied> {
  const filterPort = await freePort();
  const returnPort = await freePort();
  const server = await startServer({
    readyWithinMs: 90_000,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: single }
filters:
  scan:
    smtp-proxy: { to: smtp://127.0.0.1:${filterPort}, return: back, answer-timeout: 8s }
    on-failure: ${onFailure}
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, filtered-by: [scan] }
  - { name: other, address: 127.0.0.1, port: {submission} }
  - name: back
    address: 127.0.0.1
    port: ${returnPort}
    xforward-from: [loopback]
    restrictions: [{ recipient: ["picky@example.org"], code: 550, text: not from a filter }]
local: { domains: [example.org] }
`,
  });
  const filter = await startFilter(filterPort, returnPort);
  return {
    server,
    filter,
    give: (to, port = server.ports.smtp) =>
      sendMail(port, { from: "them@stranger.example", to, content: "Subject: hello\n\nHello." }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await filter[Symbol.asyncDispose]();
    },
  };
}

test("the answer of the listener behind the filter is the client's, and the mail is kept once", async () => {
  await using proxied = await start();
  const { server } = proxied;
  const [, id = ""] = /^250 2\.0\.0 Ok: queued as (\w{11})/.exec(await proxied.give("joe@example.org")) ?? [];
  await server.waitForMails("joe", 1, 60_000);
  await server.waitForOutput(new RegExp(`${id}: filtered copy of \\w{11}`));
  assert.match(await proxied.give(["joe@example.org", "picky@example.org"]), /^550 .*not from a filter/);
  await server.waitForOutput(/reject: END-OF-MESSAGE from .*not from a filter/);
  assert.equal(server.mailsOf("joe").length, 1, "a mail that one recipient's refusal ends goes to nobody");
});

test("a filter that hangs or dies in the middle defers the mail it has, and holds up no other", async () => {
  await using proxied = await start();
  const { server, filter } = proxied;
  filter.manner = "hang";
  let isHeld = true;
  const held = proxied.give("joe@example.org").finally(() => (isHeld = false));
  assert.match(await proxied.give("jane@example.org", server.ports.submission), /^250/);
  assert.ok(isHeld, "what no filter sees does not wait");
  assert.match(await held, /^451 /);
  filter.manner = "die";
  assert.match(await proxied.give("joe@example.org"), /^451 /);
  filter.manner = "pass";
  assert.match(await proxied.give("joe@example.org"), /^250 /);
  await server.waitForMails("joe", 1, 60_000);
  await server.waitForMails("jane", 1, 60_000);
  assert.equal(server.mailsOf("joe").length, 1);
});

test("where its failure is to be no obstacle, the mail goes on without the filter", async () => {
  await using proxied = await start("accept");
  proxied.filter.manner = "die";
  assert.match(await proxied.give("joe@example.org"), /^250 /);
  const [mail = ""] = await proxied.server.waitForMails("joe", 1, 60_000);
  assert.doesNotMatch(mail, /proxy-filter/);
});
