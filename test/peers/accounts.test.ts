/** Password backends against the programs that people have: Dovecot, saslauthd, PAM, shadow, OpenLDAP, an OAuth issuer. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { systemRandom } from "../../src/foundation/random.io.ts";
import type { PasswordVerdict } from "../../src/service/account/authenticator.ts";
import type { OauthSettings } from "../../src/service/account/backend-settings.ts";
import { dovecotAuthenticator } from "../../src/service/account/dovecot-auth.io.ts";
import { hashPassword } from "../../src/service/account/hash-password.io.ts";
import { ldapAuthenticator } from "../../src/service/account/ldap-authenticator.io.ts";
import { oauthAuthenticator } from "../../src/service/account/oauth.io.ts";
import { isPassword } from "../../src/service/account/password-check.io.ts";
import { parsePasswordHash } from "../../src/service/account/password.ts";
import { saslauthdAuthenticator } from "../../src/service/account/saslauthd.io.ts";
import type { SystemQuestion } from "../../src/service/account/system-passwords.ts";
import { Turns } from "../../src/foundation/turns.ts";
import { ldapSettings } from "../../src/service/table/ldap/settings.ts";
import { startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";
import { startSlapd } from "./database.ts";
import { startDovecotAuth } from "./dovecot.ts";
import { hasPeer, inPeer } from "./running.ts";
import { startSaslauthd } from "./saslauthd.ts";
import { trustIn } from "../../src/testing/trust.ts";

const work = new Turns({ most: 4, mostWaiting: 100 });

function hasProgram(program: string, t: TestContext): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`]);
    if (process.getuid?.() === 0) return true;
  } catch {
    // Told below.
  }
  const text = `${program} is not there, or we are not root (test/peers/install.sh, as root, installs it)`;
  if (process.env["POSTHORN_REQUIRE_PEERS"] === "1") throw new Error(text);
  t.skip(text);
  return false;
}

test("each scheme that Debian's mkpasswd writes is understood", { timeout: 180_000 }, async (t) => {
  if (!hasProgram("mkpasswd", t)) return;
  for (const method of ["yescrypt", "gost-yescrypt", "scrypt", "bcrypt", "bcrypt-a", "sha512crypt", "sha256crypt"]) {
    const written = execFileSync("mkpasswd", ["-m", method, "-s"], { input: "correct hörse\n" }).toString().trim();
    const hash = parsePasswordHash(written);
    assert.ok(hash, `${method}: ${written}`);
    assert.equal(await isPassword("correct hörse", hash), true, written);
    assert.equal(await isPassword("correct horse", hash), false, written);
  }
});

const DOVECOT_SCHEMES = ["PLAIN", "CRYPT", "BLF-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "ARGON2I", "ARGON2ID"].concat(
  ["SCRAM-SHA-1", "SCRAM-SHA-256", "PBKDF2", "SSHA", "SSHA256", "SSHA512", "SHA", "SHA1", "SHA256", "SHA512"],
  ["SSHA.hex", "SHA512.hex", "SHA256.b64", "PLAIN.b64", "MD5-CRYPT", "PLAIN-MD5", "LDAP-MD5", "SMD5"],
);

test("each scheme that Dovecot's doveadm writes is understood", { timeout: 120_000 }, async (t) => {
  if (!hasPeer("dovecot", t)) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-doveadm-"));
  try {
    const file = join(folder, "dovecot.conf");
    writeFileSync(file, "default_internal_user = dovecot\ndefault_login_user = dovenull\n");
    for (const scheme of DOVECOT_SCHEMES) {
      const [program, argv] = inPeer("dovecot", ["doveadm", "-c", file, "pw", "-s", scheme, "-p", "correct horse"]);
      const written = execFileSync(program, argv).toString().trim();
      const hash = parsePasswordHash(written);
      assert.ok(hash, `${scheme}: ${written}`);
      assert.equal(await isPassword("correct horse", hash), true, written);
      assert.equal(await isPassword("correct h0rse", hash), false, written);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("Dovecot accepts what we hash for it", { timeout: 180_000 }, async (t) => {
  if (!hasPeer("dovecot", t)) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-doveadm-"));
  try {
    const file = join(folder, "dovecot.conf");
    writeFileSync(file, "default_internal_user = dovecot\ndefault_login_user = dovenull\n");
    for (const [scheme, mark] of [
      ["scram-sha-256", ""],
      ["scram-sha-1", ""],
      ["argon2id", "{ARGON2ID}"],
      ["sha512-crypt", "{SHA512-CRYPT}"],
      ["bcrypt", "{BLF-CRYPT}"],
    ] as const) {
      const hash = `${mark}${await hashPassword("correct horse", scheme)}`;
      const [program, argv] = inPeer("dovecot", ["doveadm", "-c", file, "pw", "-p", "correct horse", "-t", hash]);
      assert.match(execFileSync(program, argv).toString(), /verified/, scheme);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test(
  "Dovecot's auth service answers many questions over one connection, and its absence is a failure",
  { timeout: 180_000 },
  async (t) => {
    if (!hasPeer("dovecot", t)) return;
    const peer = await startDovecotAuth(
      { user: "ada@example.org", password: "sésame" },
      { user: "bob@example.org", password: "sésame", fields: "nologin reason=suspended" },
      { user: "eve@example.org", password: "sésame", fields: "allow_nets=192.0.2.0/24" },
    );
    const accounts = dovecotAuthenticator(
      { kind: "dovecot", socket: { path: String(peer.at) }, service: "smtp", timeout: 5000 },
      systemClock,
    );
    try {
      const right = { kind: "right", account: "ada@example.org" };
      const wrong = { kind: "wrong" };
      assert.deepEqual(await accounts.checkPassword("Ada@example.org", "sésame"), right, peer.log());
      assert.deepEqual(await accounts.checkPassword("ada@example.org", "sesame"), wrong);
      assert.deepEqual(await accounts.checkPassword("nobody", "sésame"), wrong);
      const bob = await accounts.checkPassword("bob@example.org", "sésame");
      assert.deepEqual(bob, { kind: "wrong", because: "Dovecot: suspended" });
      const eve = (address?: string): Promise<PasswordVerdict> =>
        accounts.checkPassword("eve@example.org", "sésame", undefined, { address });
      assert.equal((await eve("192.0.2.7")).kind, "right", peer.log());
      assert.equal((await eve("198.51.100.7")).kind, "wrong");
      assert.equal((await eve()).kind, "wrong");
      const many = await Promise.all(
        Array.from({ length: 40 }, (_, at) => accounts.checkPassword("ada@example.org", at % 2 === 0 ? "sésame" : "x")),
      );
      assert.deepEqual(
        many.map(({ kind }) => kind),
        many.map((_, at) => (at % 2 === 0 ? "right" : "wrong")),
      );
      await peer[Symbol.asyncDispose]();
      assert.equal((await accounts.checkPassword("ada@example.org", "sésame")).kind, "failed");
    } finally {
      accounts.close();
      await peer[Symbol.asyncDispose]();
    }
  },
);

test("saslauthd is asked, and a socket that nobody serves is a failure", { timeout: 180_000 }, async (t) => {
  if (!hasPeer("saslauthd", t) || !hasProgram("mkpasswd", t)) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-saslauthd-"));
  try {
    writeFileSync(join(folder, "passwords"), `ada:${await hashPassword("sesame", "sha512-crypt")}\n`);
    const peer = await startSaslauthd(
      `auth required pam_pwdfile.so pwdfile=${join(folder, "passwords")}\naccount required pam_permit.so`,
    );
    const settings = { kind: "saslauthd", service: "smtp", realm: "none", timeout: 10_000 } as const;
    const accounts = saslauthdAuthenticator({ ...settings, socket: String(peer.at) }, systemClock, work);
    try {
      assert.deepEqual(
        await accounts.checkPassword("Ada".toLowerCase(), "sesame"),
        { kind: "right", account: "ada" },
        peer.log(),
      );
      assert.equal((await accounts.checkPassword("ada", "open")).kind, "wrong");
      assert.equal((await accounts.checkPassword("eve", "sesame")).kind, "wrong");
    } finally {
      await peer[Symbol.asyncDispose]();
    }
    assert.equal((await accounts.checkPassword("ada", "sesame")).kind, "failed");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

interface SystemAnswers {
  readonly verdicts: readonly { readonly verdict: PasswordVerdict; readonly tookMs: number }[];
  readonly longestPauseMs: number;
}

/** Asks the system in a mount namespace whose users and PAM services are these. */
function askSystem(
  files: { readonly passwd: string; readonly shadow: string; readonly pam: Readonly<Record<string, string>> },
  questions: readonly SystemQuestion[],
): SystemAnswers {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-system-"));
  try {
    mkdirSync(join(folder, "pam.d"));
    for (const [name, content] of Object.entries(files.pam)) writeFileSync(join(folder, "pam.d", name), content);
    writeFileSync(join(folder, "passwd"), files.passwd);
    writeFileSync(join(folder, "shadow"), files.shadow, { mode: 0o600 });
    const script = `for file in passwd shadow pam.d; do mount --bind "$1/$file" "/etc/$file"; done; shift; exec "$@"`;
    const told = execFileSync(
      "unshare",
      ["--mount", "--propagation", "private", "sh", "-ec", script, "sh", folder, process.execPath].concat([
        "--disable-warning=ExperimentalWarning",
        join(import.meta.dirname, "ask-system.ts"),
        JSON.stringify(questions),
      ]),
      { timeout: 180_000 },
    );
    // Our own program wrote it.
    return JSON.parse(told.toString()) as SystemAnswers;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const PASSWD = [
  "root:x:0:0::/root:/bin/sh",
  "ada:x:2001:2001::/home/ada:/bin/sh",
  "eve:x:2002:2002::/home/eve:/bin/sh",
  "due:x:2003:2003::/home/due:/bin/sh",
  "",
].join("\n");

test("system users log in by shadow: right, wrong, locked, expired, unknown", { timeout: 180_000 }, async (t) => {
  if (!hasProgram("unshare", t)) return;
  const today = Math.floor(Date.now() / 86_400_000);
  const hash = await hashPassword("sesame", "yescrypt");
  const shadow = [
    `root:*:${today}:0:99999:7:::`,
    `ada:${hash}:${today}:0:99999:7:::`,
    `lee:!${hash}:${today}:0:99999:7:::`,
    `old:${hash}:${today}:0:99999:7::${today - 1}:`,
    `due:${hash}:${today - 100}:0:90:7:5::`,
    "",
  ].join("\n");
  const ask = (user: string, password: string): SystemQuestion => ({ by: "shadow", service: "", user, password });
  const { verdicts } = askSystem({ passwd: PASSWD, shadow, pam: {} }, [
    ask("ada", "sesame"),
    ask("ada", "open"),
    ask("lee", "sesame"),
    ask("old", "sesame"),
    ask("due", "sesame"),
    ask("nobody-like-that", "sesame"),
    ask("root", ""),
  ]);
  assert.deepEqual(
    verdicts.map(({ verdict }) => verdict),
    [
      { kind: "right", account: "ada" },
      { kind: "wrong" },
      { kind: "wrong", because: "the account is locked" },
      { kind: "wrong", because: "the account has expired" },
      { kind: "wrong", because: "the password has expired" },
      { kind: "wrong" },
      { kind: "wrong" },
    ],
  );
});

test(
  "PAM decides as its services say: pam_unix, pam_pwdfile, pam_permit, pam_deny, a broken one",
  { timeout: 180_000 },
  async (t) => {
    if (!hasProgram("unshare", t) || !hasProgram("mkpasswd", t)) return;
    const folder = mkdtempSync(join(tmpdir(), "posthorn-pwdfile-"));
    try {
      const today = Math.floor(Date.now() / 86_400_000);
      const hash = await hashPassword("sesame", "sha512-crypt");
      writeFileSync(join(folder, "passwords"), `vera:${hash}\n`);
      const pam = {
        unix: "auth required pam_unix.so\naccount required pam_unix.so\n",
        pwdfile: `auth required pam_pwdfile.so pwdfile=${join(folder, "passwords")}\naccount required pam_permit.so\n`,
        permit: "auth required pam_permit.so\naccount required pam_permit.so\n",
        deny: "auth required pam_deny.so\naccount required pam_deny.so\n",
        closed: "auth required pam_permit.so\naccount required pam_deny.so\n",
        slow: "auth optional pam_faildelay.so delay=20000000\nauth required pam_deny.so\naccount required pam_deny.so\n",
        broken: "auth required pam_no_such_module.so\naccount required pam_permit.so\n",
      };
      const shadow = [
        `ada:${hash}:${today}:0:99999:7:::`,
        `eve:${hash}:${today}:0:99999:7::${today - 1}:`,
        `due:${hash}:${today - 100}:0:90:7:5::`,
        "",
      ].join("\n");
      const ask = (service: string, user: string, password = "sesame"): SystemQuestion => ({
        by: "pam",
        service,
        user,
        password,
      });
      const { verdicts, longestPauseMs } = askSystem({ passwd: PASSWD, shadow, pam }, [
        ask("unix", "ada"),
        ask("unix", "ada", "open"),
        ask("unix", "eve"),
        ask("unix", "nobody-like-that"),
        ask("pwdfile", "vera"),
        ask("pwdfile", "vera", "open"),
        ask("permit", "ada", "whatever"),
        ask("deny", "ada"),
        ask("closed", "ada"),
        ask("slow", "ada", "open"),
        ask("broken", "ada"),
        ask("unix", "due"),
      ]);
      assert.deepEqual(
        verdicts.map(({ verdict }) => verdict.kind),
        ["right", "wrong", "wrong", "wrong", "right", "wrong", "right", "wrong", "wrong", "wrong", "failed", "wrong"],
        JSON.stringify(verdicts),
      );
      assert.ok(
        verdicts.every(({ tookMs }) => tookMs < 10_000),
        "a module's delay after a failure is not waited for",
      );
      assert.ok(longestPauseMs < 1500, `the event loop stood still for ${longestPauseMs} ms`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test("a split server has the system's users checked by PAM in the keeper", { timeout: 180_000 }, async (t) => {
  if (!hasProgram("unshare", t)) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-pam-"));
  try {
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, "pam.d"));
    writeFileSync(join(folder, "pam.d", "mail"), "auth required pam_unix.so\naccount required pam_unix.so\n");
    writeFileSync(join(folder, "passwd"), `${readFileSync("/etc/passwd", "utf8")}ada:x:2001:2001::/home/ada:/bin/sh\n`);
    const hash = await hashPassword("sesame", "sha512-crypt");
    writeFileSync(join(folder, "shadow"), `ada:${hash}:20000:0:99999:7:::\n`, { mode: 0o600 });
    const script = `for file in passwd shadow pam.d; do mount --bind "$0/$file" "/etc/$file"; done; exec "$@"`;
    await using server = await startServer({
      layout: "split",
      wrapper: ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, folder],
      wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: split, ingress: 1, egress: 1 }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, auth: offer, auth-without-tls: loopback }
accounts: [ { system: pam, service: mail } ]
`,
    });
    const login = async (password: string): Promise<string> => {
      const client = await smtpConnect(server.ports.smtp);
      await client.reply();
      await client.say("EHLO me.example");
      const reply = await client.say(`AUTH PLAIN ${Buffer.from(`\0ada\0${password}`).toString("base64")}`);
      client.close();
      return reply.slice(0, 9);
    };
    assert.equal(await login("sesame"), "235 2.7.0", server.output());
    assert.equal(await login("open"), "535 5.7.8", server.output());
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("OpenLDAP's users log in by a bind as their own entry", { timeout: 180_000 }, async (t) => {
  if (!hasPeer("slapd", t)) return;
  const entries = `dn: dc=posthorn,dc=test
objectClass: dcObject
objectClass: organization
o: test
dc: posthorn

dn: uid=ada,dc=posthorn,dc=test
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: L
mail: ada@example.org
userPassword: sesame
`;
  await using slapd = await startSlapd(entries);
  const settings = ldapSettings.parse({
    hosts: [`ldap://127.0.0.1:${slapd.port}`],
    tls: "off",
    bindDn: "cn=admin,dc=posthorn,dc=test",
    password: "secret",
    base: "dc=posthorn,dc=test",
    searches: { credentials: { filter: "(mail=%{key})" } },
  });
  const accounts = await ldapAuthenticator(settings, "secret", {
    clock: systemClock,
    random: systemRandom,
    trust: trustIn(),
    turns: work,
  });
  try {
    assert.deepEqual(await accounts.checkPassword("Ada@Example.org", "sesame"), {
      kind: "right",
      account: "ada@example.org",
    });
    assert.equal((await accounts.checkPassword("ada@example.org", "open")).kind, "wrong");
    assert.equal((await accounts.checkPassword("*", "sesame")).kind, "wrong", "a star is no user");
    assert.equal((await accounts.checkPassword("ada@example.org", "")).kind, "wrong", "no password is no login");
  } finally {
    accounts.close();
  }
});

const OAUTH = {
  audience: ["mail"],
  scope: ["smtp"],
  userClaim: "email",
  timeout: 2000,
  remember: 60_000,
} as const;

test("a token is asked of its issuer, once for a while, and never beyond its time", async () => {
  const now = Math.floor(Date.now() / 1000);
  const answers: Record<string, object> = {
    good: {
      active: true,
      iss: "https://id",
      aud: "mail",
      scope: "smtp openid",
      email: "Ada@example.org",
      exp: now + 60,
    },
    stale: { active: true, iss: "https://id", aud: "mail", scope: "smtp", email: "ada@example.org", exp: now - 60 },
    narrow: { active: true, iss: "https://id", aud: "mail", scope: "openid", email: "ada@example.org", exp: now + 60 },
    gone: { active: false },
  };
  let asked = 0;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => {
      asked++;
      const token = new URLSearchParams(body).get("token") ?? "";
      if (request.headers.authorization !== `Basic ${Buffer.from("posthorn:s%26cret").toString("base64")}`) {
        response.writeHead(401).end();
        return;
      }
      if (token === "hang") return;
      if (token === "broken") response.writeHead(500).end();
      else
        response
          .writeHead(200, { "content-type": "application/json" })
          .end(JSON.stringify(answers[token] ?? { active: false }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP
  const check = {
    by: "introspection",
    url: `http://127.0.0.1:${port}/`,
    clientId: "posthorn",
    clientSecretFile: "-",
  } as const;
  const settings: OauthSettings = { ...OAUTH, check, issuer: "https://id", timeout: 500 };
  try {
    const accounts = await oauthAuthenticator(settings, "s&cret", {
      clock: systemClock,
      trust: trustIn(),
      turns: work,
    });
    const ask = (token: string, user = ""): Promise<PasswordVerdict> | undefined => accounts.checkToken?.(user, token);
    assert.deepEqual(await ask("good", "ada@example.org"), { kind: "right", account: "ada@example.org" });
    assert.deepEqual(await ask("good"), { kind: "right", account: "ada@example.org" });
    assert.equal(asked, 1);
    assert.equal((await ask("good", "eve@example.org"))?.kind, "wrong");
    for (const token of ["stale", "narrow", "gone", "unknown"]) assert.equal((await ask(token))?.kind, "wrong", token);
    for (const token of ["hang", "broken"]) assert.equal((await ask(token))?.kind, "failed", token);
    const stranger = await oauthAuthenticator(settings, "wrong", { clock: systemClock, trust: trustIn(), turns: work });
    assert.equal((await stranger.checkToken?.("", "good"))?.kind, "failed", "who may not ask knows nothing");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("a token is checked with its issuer's keys: signature, issuer, audience, time", async () => {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const other = await generateKeyPair("ES256");
  const set = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "1", alg: "ES256" }] });
  const server = createServer((request, response) => {
    response.writeHead(request.url === "/keys" ? 200 : 404, { "content-type": "application/json" }).end(set);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP
  const token = (claims: object, key = privateKey, expires = "1m"): Promise<string> =>
    new SignJWT({ iss: "https://id", aud: "mail", scope: "smtp", email: "ada@example.org", ...claims })
      .setProtectedHeader({ alg: "ES256", kid: "1" })
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(key);
  const settings = (path: string): OauthSettings => ({
    ...OAUTH,
    check: { by: "keys", url: `http://127.0.0.1:${port}${path}`, file: undefined },
    issuer: "https://id",
  });
  try {
    const accounts = await oauthAuthenticator(settings("/keys"), undefined, {
      clock: systemClock,
      trust: trustIn(),
      turns: work,
    });
    const ask = async (text: string): Promise<string | undefined> => (await accounts.checkToken?.("", text))?.kind;
    assert.equal(await ask(await token({})), "right");
    assert.equal(await ask(await token({}, other.privateKey)), "wrong", "signed by somebody else");
    assert.equal(await ask(await token({ iss: "https://evil" })), "wrong");
    assert.equal(await ask(await token({ aud: "web" })), "wrong");
    assert.equal(await ask(await token({}, privateKey, "-2m")), "wrong");
    assert.equal(await ask("eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lkIn0."), "wrong", "not signed at all");
    assert.equal(await ask("no-token"), "wrong");
    const keyless = await oauthAuthenticator(settings("/nothing"), undefined, {
      clock: systemClock,
      trust: trustIn(),
      turns: work,
    });
    assert.equal((await keyless.checkToken?.("", await token({})))?.kind, "failed");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
