/** Whom the server believes, beyond mail: what the environment names, in every process and from one moment to the next. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync, mkdtempSync, rmSync, chmodSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { testAuthority } from "../../src/testing/test-authority.ts";
import { LAYOUTS, startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

for (const layout of LAYOUTS)
  test(
    `${layout}: databases, filters and issuers of tokens are verified with the authorities that SSL_CERT_FILE names`,
    { timeout: 300_000 },
    async () => {
      const ours = await testAuthority("Ours");
      const others = await testAuthority("Others");
      const shown = await ours.issue(["localhost"]);
      const own = { cert: shown.certificatePem, key: shown.keyPem };
      const web = createServer(own, (request, response) => {
        request.resume();
        const answer = request.url === "/token" ? { active: true, email: "ada@example.test" } : {};
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
      }).listen(0, "127.0.0.1");
      const redis = createTlsServer(own, (socket) => {
        socket.on("error", () => {});
        socket.on("data", (bytes) => {
          for (const [, verb] of bytes.toString().matchAll(/\*\d+\r\n\$\d+\r\n([A-Z]+)/g))
            socket.write(verb === "GET" ? "$3\r\nada\r\n" : "+OK\r\n");
        });
      }).listen(0, "127.0.0.1");
      for (const server of [web, redis]) {
        server.on("tlsClientError", () => {});
        if (!server.listening) await once(server, "listening");
      }
      const portOf = (server: typeof redis): number => (server.address() as AddressInfo).port; // TCP
      const folder = mkdtempSync(join(tmpdir(), "posthorn-authorities-"));
      const file = join(folder, "ca.pem");
      writeFileSync(file, ours.certificatePem);
      // Nobody but who started the server may read it.
      chmodSync(folder, 0o700);
      try {
        await using server = await startServer({
          layout,
          env: { SSL_CERT_FILE: file },
          wholeSettings: `hostname: mx.posthorn.test
state: ./data
processes: { layout: ${layout} }
${layout === "split" && process.getuid?.() === 0 ? "user: nobody" : ""}
listeners:
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission, auth-without-tls: loopback }
  - { name: smtp, address: 127.0.0.1, port: {smtp}, filtered-by: [hook] }
accounts:
  backends: [ { oauth: { introspection: "https://localhost:${portOf(web)}/token", remember: 0s } } ]
local: { domains: [posthorn.test], aliases: "table:names" }
filters:
  hook: { http: { servers: "https://localhost:${portOf(web)}/hook", stages: [mail] } }
tables:
  names:
    redis: { hosts: "localhost:${portOf(redis)}", tls: verify, idle: 1s, commands: { alias: "GET %{key}" } }
`,
        });
        const login = async (): Promise<string> => {
          const client = await smtpConnect(server.ports.submission);
          await client.reply();
          await client.say("EHLO x");
          const told = Buffer.from("n,a=ada@example.test,\x01auth=Bearer good\x01\x01").toString("base64");
          const reply = await client.say(`AUTH OAUTHBEARER ${told}`);
          client.close();
          return reply.slice(0, 3);
        };
        const recipient = async (port: number): Promise<readonly string[]> => {
          const client = await smtpConnect(port);
          await client.reply();
          await client.say("EHLO x");
          const replies = [await client.say("MAIL FROM:<a@b.test>"), await client.say("RCPT TO:<bob@posthorn.test>")];
          client.close();
          return replies.map((reply) => reply.slice(0, 3));
        };
        assert.equal(await login(), "235");
        assert.deepEqual(await recipient(server.ports.smtp), ["250", "250"]);

        writeFileSync(file, others.certificatePem);
        const until = async (what: () => Promise<unknown>, expected: unknown): Promise<void> => {
          for (const untilAt = Date.now() + 60_000; ;) {
            const found = await what();
            if (JSON.stringify(found) === JSON.stringify(expected)) return;
            if (Date.now() > untilAt) assert.deepEqual(found, expected);
            await new Promise((resolve) => setTimeout(resolve, 250));
          }
        };
        await until(login, "454");
        await until(async () => (await recipient(server.ports.smtp))[0], "451");
        await server.waitForOutput(/certificate/);

        writeFileSync(file, ours.certificatePem);
        await until(login, "235");
        await until(() => recipient(server.ports.smtp), ["250", "250"]);
      } finally {
        web.closeAllConnections();
        web.close();
        redis.close();
        rmSync(folder, { recursive: true });
      }
    },
  );
