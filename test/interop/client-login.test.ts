import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { startDovecotAuth } from "../peers/dovecot.ts";
import { startExim } from "../peers/exim.ts";
import { startPostfix } from "../peers/postfix.ts";
import { hasPeer, type RunningPeer } from "../peers/running.ts";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

const USER = "ann";
// What must survive each mechanism's coding.
const PASSWORD = 'pa ss="wörd,1';

/** Sends one mail through `peer`, logged in, and gives the server's log once the attempt has ended. */
async function sendLoggedIn(
  peer: RunningPeer,
  how: { url?: string; password?: string; verify?: boolean },
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-login-"));
  try {
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, "password"), `${how.password ?? PASSWORD}\n`);
    chmodSync(join(folder, "password"), 0o600);
    await using server = await startServer({
      verbose: true,
      settings: `credentials: { peer: { user: ${USER}, password-file: ${join(folder, "password")} } }
delivery: { ca-file: ${join(peer.folder, "certificate.pem")} }
actions:
  out:
    relay: { to: "${how.url ?? `tls://localhost:${peer.at}`}", credentials: peer${how.verify === false ? ", verify: no" : ""} }
rules: [ { match: { from: local }, action: out } ]
`,
    });
    const domain = `${peer.name === "exim4" ? "exim" : peer.name}.test`;
    await sendMail(server.ports.smtp, { from: "ann@here.test", to: `box@${domain}`, content: "Subject: in\n\nx\n" });
    await server.waitForOutput(/status=(?:sent|deferred|bounced)/);
    return server.output();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function assertTakenBy(t: TestContext, peer: RunningPeer, mechanism: string): Promise<void> {
  const output = await sendLoggedIn(peer, {});
  assert.match(output, new RegExp(`logged in at \\S+ as ${USER} by ${mechanism}`), `${output}\n${peer.log()}`);
  assert.match(output, /status=sent/);
  await peer.waitForMails(1);
  t.diagnostic(mechanism);
}

const EXIM_AUTHENTICATORS = {
  PLAIN: `  driver = plaintext
  server_set_id = $auth2
  server_prompts = :
  server_condition = \${if and {{eq{$auth2}{${USER}}}{eq{$auth3}{\${readfile{PASSWORD}}}}}}`,
  LOGIN: `  driver = plaintext
  server_set_id = $auth1
  server_prompts = User Name : Password
  server_condition = \${if and {{eq{$auth1}{${USER}}}{eq{$auth2}{\${readfile{PASSWORD}}}}}}`,
  "CRAM-MD5": `  driver = cram_md5
  server_set_id = $auth1
  server_secret = \${if eq{$auth1}{${USER}}{\${readfile{PASSWORD}}}fail}`,
};

for (const [mechanism, lines] of Object.entries(EXIM_AUTHENTICATORS))
  test(`exim4 takes our login by ${mechanism}, over verified TLS`, async (t) => {
    if (!hasPeer("exim4", t)) return;
    const folder = mkdtempSync(join(tmpdir(), "posthorn-exim-secret-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, "password"), PASSWORD);
    chmodSync(join(folder, "password"), 0o644);
    await using exim = await startExim({
      hasTls: true,
      authenticators: `${mechanism.toLowerCase().replace("-", "_")}:\n${lines
        .replaceAll("PASSWORD", join(folder, "password"))
        .replace("driver = ", `public_name = ${mechanism}\n  driver = `)}\n`,
    });
    await assertTakenBy(t, exim, mechanism);
  });

test("postfix with dovecot's accounts takes our login by SCRAM-SHA-256, and each side proves itself", async (t) => {
  if (!hasPeer("postfix", t) || !hasPeer("dovecot", t)) return;
  await using dovecot = await startDovecotAuth({ user: USER, password: PASSWORD });
  await using postfix = await startPostfix({ hasTls: true, settings: loginsBy(dovecot) });
  await assertTakenBy(t, postfix, "SCRAM-SHA-256");
});

test("a wrong password, and a login that would travel in plaintext, leave the mail waiting and say why", async (t) => {
  if (!hasPeer("postfix", t) || !hasPeer("dovecot", t)) return;
  await using dovecot = await startDovecotAuth({ user: USER, password: PASSWORD });
  await using postfix = await startPostfix({ hasTls: true, settings: loginsBy(dovecot) });
  const wrong = await sendLoggedIn(postfix, { password: "another" });
  assert.match(wrong, /dsn=4\.7\.8, status=deferred \(authentication with \S+: refused: 535 5\.7\.8/);
  const plain = await sendLoggedIn(postfix, { url: `smtp://localhost:${postfix.at}` });
  assert.match(plain, /status=deferred \(authentication with \S+: credentials are not sent in plaintext/);
  assert.equal(postfix.mails().length, 0);
});

function loginsBy(dovecot: RunningPeer): readonly string[] {
  return [
    "smtpd_sasl_auth_enable = yes",
    "smtpd_sasl_type = dovecot",
    `smtpd_sasl_path = ${dovecot.at}`,
    "smtpd_sasl_security_options = noanonymous",
    "smtpd_relay_restrictions = permit_sasl_authenticated, reject",
    "smtpd_recipient_restrictions = permit_sasl_authenticated, reject",
  ];
}
