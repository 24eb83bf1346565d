import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startScriptedHost } from "../scripted-host.ts";
import { LAYOUTS, ROOT, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

function folderWith(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-test-"));
  writeFileSync(join(folder, name), text);
  return folder;
}

const relayTo = (url: string, more = ""): string => `
route: { keep-open: 0s }
actions: { out: { relay: { to: "${url}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
${more}`;

async function send(port: number, to = "rcpt@there.test"): Promise<void> {
  assert.match(await sendMail(port, { from: "writer@localhost", to, content: "Subject: x\n\nx" }), /^250 /);
}

for (const layout of LAYOUTS) {
  test(`${layout}: a content filter at [127.0.0.1] with the policy localhost:port NONE gets plaintext, and this is said`, async () => {
    await using filter = await startScriptedHost({ extensions: ["STARTTLS"] });
    await using server = await startServer({
      layout,
      settings: relayTo(
        `[127.0.0.1]:${filter.port}`,
        `delivery: { tls: { policy: { "*": secure, "localhost:${filter.port}": NONE } } }`,
      ),
    });
    await send(server.ports.smtp);
    await send(server.ports.smtp);
    await filter.waitForMails(2);
    assert.ok(!filter.sessions.some(({ lines }) => lines.includes("STARTTLS")));
    const place = String.raw`127\.0\.0\.1\[127\.0\.0\.1\]:${filter.port}`;
    await server.waitForOutput(
      new RegExp(`TLS policy for ${place}: none, by localhost:${filter.port} \\(\\S*posthorn\\.yaml:\\d+:\\d+\\)`),
    );
    await server.waitForOutput(new RegExp(`${place} offers STARTTLS, but mail goes there in plaintext: `));
    await server.waitForOutput(/(?:status=sent[^]*){2}/);
    const notes = server.output().match(/offers STARTTLS, but mail goes there in plaintext/g) ?? [];
    assert.equal(notes.length, 1, "once for each host, whichever process sends");
  });

  test(`${layout}: a policy from a table file holds, names its line, and changes with the file; plaintext is no way out of it`, async () => {
    await using host = await startScriptedHost({ extensions: [] });
    await using server = await startServer({
      layout,
      settings: relayTo(
        `127.0.0.1:${host.port}`,
        `tables: { tls-policy: { file: ./tls-policy.txt } }
delivery: { tls: { policy-table: "table:tls-policy" } }`,
      ).replace("route:", "scheduler: { retry: { relay: { by: list, waits: [1h] } } }\nroute:"),
      folder: folderWith("tls-policy.txt", `# destinations\n\n[127.0.0.1]:${host.port}  MUST_NOPEERMATCH\n`),
    });
    await send(server.ports.smtp);
    await server.waitForOutput(/TLS policy for \S+: encrypt, by \[?127\.0\.0\.1\]?:\d+ \(\/\S+\/tls-policy\.txt:3\)/);
    await server.waitForOutput(
      /dsn=4\.7\.5, status=deferred \(TLS with \S+: encryption is required, but was not offered/,
    );
    assert.ok(!host.sessions.some(({ lines }) => lines.some((line) => line.startsWith("MAIL"))));
    const policy = await server.posthorn("tls", "policy", `[127.0.0.1]:${host.port}`);
    assert.equal(policy.status, 0, policy.stderr);
    assert.match(policy.stdout, /encrypt/);
    assert.match(policy.stdout, /\/tls-policy\.txt:3/);
    writeFileSync(join(server.folder, "tls-policy.txt"), `127.0.0.1 none\n`);
    await new Promise((resolve) => setTimeout(resolve, 1200));
    await send(server.ports.smtp, "second@there.test");
    for (let tries = 0; tries < 50 && host.mails.length < 2; tries++) {
      await server.posthorn("queue", "retry", "--all");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.equal(host.mails.length, 2);
    await server.waitForOutput(/TLS policy for \S+: none, by \S+ \(\/\S+\/tls-policy\.txt:1\)/);
  });

  test(`${layout}: a host whose handshakes break gets plaintext at once and from then on, is shown, and is forgotten when told to`, async () => {
    await using host = await startScriptedHost({
      extensions: ["STARTTLS"],
      answer: (line, { socket }) => {
        if (line !== "STARTTLS") return undefined;
        setTimeout(() => socket.resetAndDestroy(), 20);
        return "220 go ahead";
      },
    });
    await using server = await startServer({ layout, settings: relayTo(`127.0.0.1:${host.port}`) });
    assert.equal((await server.posthorn("tls", "hosts")).status, 1);
    await send(server.ports.smtp);
    await host.waitForMails(1);
    await server.waitForOutput(/SSL_connect error to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: .* \(peer-reset\)/);
    await server.waitForOutput(/no kind of TLS handshake works \(5 tried\)/);
    const shown = await server.posthorn("tls", "hosts", "--json");
    assert.equal(shown.status, 0, shown.stderr);
    const known: unknown = JSON.parse(shown.stdout);
    assert.ok(typeof known === "object" && known !== null && "host" in known && "failures" in known);
    assert.equal(known.host, `127.0.0.1[127.0.0.1]:${host.port}`);
    const tried = (): number => host.sessions.filter(({ lines }) => lines.includes("STARTTLS")).length;
    assert.equal(tried(), 6);
    // The next mail knows, whichever process sends it.
    for (let mail = 2; mail <= 5; mail++) await send(server.ports.smtp, `rcpt${mail}@there.test`);
    await host.waitForMails(5);
    assert.equal(tried(), 6);
    const forgotten = await server.posthorn("tls", "hosts", "--forget", "127.0.0.1");
    assert.match(forgotten.stdout, /^1 host forgotten/);
    await send(server.ports.smtp, "last@there.test");
    await host.waitForMails(6);
    assert.ok(tried() > 6);
  });
}

test("what is wrong with a policy is told with its place, and nothing starts", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-policy-"));
  try {
    writeFileSync(
      join(folder, "policy.txt"),
      "good.test may\nbad.test dane\nworse.test verify certificate=nobody\nca.test verify ca-file=/etc/partner.pem\n",
    );
    writeFileSync(
      join(folder, "posthorn.yaml"),
      `state: ./data
tables: { policy: { file: ./policy.txt } }
delivery:
  tls:
    policy-table: "table:policy"
    policy:
      a.test: sts
      b.test: { level: fingerprint, fingerprints: "12:34" }
      "two words": may
`,
    );
    const check = (): string => {
      const { stdout, stderr, status } = spawnSync(
        process.execPath,
        [join(ROOT, "bin", "posthornd.js"), "-n", "-f", join(folder, "posthorn.yaml")],
        { encoding: "utf8", timeout: 30_000 },
      );
      assert.notEqual(status, 0);
      return stdout + stderr;
    };
    const first = check();
    assert.match(first, /posthorn\.yaml:7:\d+: delivery\.tls\.policy\.a\.test: the level sts is not yet supported/);
    assert.match(first, /posthorn\.yaml:8:\d+: .*64 hexadecimal digits/);
    writeFileSync(
      join(folder, "posthorn.yaml"),
      `state: ./data
tables: { policy: { file: ./policy.txt } }
actions: { out: { relay: { to: "smtp://127.0.0.1:10025" } } }
delivery:
  tls:
    policy-table: "table:policy"
    policy:
      a.test: { level: verify, certificate: partner }
      b.test: { level: verify, ciphers: nonsense }
      localhost: encrypt
`,
    );
    const second = check();
    assert.match(second, /policy\.txt:2:1: the level dane is not yet supported/);
    assert.match(second, /policy\.txt:3:1: there is no certificate labelled nobody/);
    assert.match(
      second,
      /policy\.txt:4:1: ca-file \/etc\/partner\.pem is not read unless the settings name it too: add it to delivery\.tls\.ca-files/,
    );
    assert.match(second, /posthorn\.yaml:8:\d+: .*there is no certificate labelled partner/);
    assert.match(second, /posthorn\.yaml:9:\d+: .*ciphers: /);
    assert.match(
      second,
      /posthorn\.yaml:3:\d+: warning: .*smtp:\/\/ is plaintext, but the TLS policy of localhost is encrypt/,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
