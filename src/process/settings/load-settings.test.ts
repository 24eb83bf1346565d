import { test } from "node:test";
import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { problemLine, locate } from "../../service/config/config.ts";
import { ownCertificate } from "../../service/tls/keeper/own-certificate.io.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { loadSettings, type LoadedSettings } from "./load-settings.ts";

const clock = virtualClock(Date.now());

async function inDirectory(
  files: Readonly<Record<string, string>>,
  work: (path: string) => Promise<void>,
): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), "posthorn-settings-"));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text, { mode: 0o600 });
    await work(path);
  } finally {
    await rm(path, { recursive: true });
  }
}

/** What `-n` would print, with the directory left out. */
async function problemsOf(files: Readonly<Record<string, string>>, file = "posthorn.yaml"): Promise<readonly string[]> {
  let lines: readonly string[] = [];
  await inDirectory(files, async (directory) => {
    const loaded = await loadSettings({ file: join(directory, file), directory, clock });
    const problems = loaded.ok ? loaded.value.warnings : loaded.problem;
    lines = problems.map((problem) => problemLine(problem).replaceAll(`${directory}/`, ""));
  });
  return lines;
}

async function loaded(directory: string, file?: string): Promise<LoadedSettings> {
  const result = await loadSettings({ file: file === undefined ? undefined : join(directory, file), directory, clock });
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

test("without a file the server listens on loopback only and keeps its state in ./data", async () => {
  await inDirectory({}, async (directory) => {
    const { settings, origins } = await loaded(directory);
    assert.deepEqual(
      settings.listeners.map(({ address, port, protocol, tls }) => `${address}:${port} ${protocol} ${tls}`),
      ["127.0.0.1:2525 smtp offer", "127.0.0.1:2587 submission offer", "127.0.0.1:2465 submission implicit"],
    );
    assert.equal(settings.state, join(directory, "data"));
    assert.ok(settings.hostname.length > 0);
    assert.equal(locate(origins, ["hostname"]), "default");
  });
});

test("the settings are plain data: they survive the way to another process", async () => {
  await inDirectory({}, async (directory) => {
    const all = await loaded(directory);
    assert.deepEqual(structuredClone(all), all);
  });
});

test("relative paths begin at the settings file, not where the server was started", async () => {
  const yaml =
    "state: var\nlog: { to: 'file:./mail.log' }\nlisteners: [{ name: l, path: lmtp.sock, protocol: lmtp }]\nactions: { box: { deliver: mbox, path: 'box/{user}' } }\n";
  await inDirectory({ "posthorn.yaml": yaml }, async (directory) => {
    const { settings } = await loaded(directory, "posthorn.yaml");
    assert.equal(settings.state, join(directory, "var"));
    assert.deepEqual(settings.log.to, { kind: "file", path: join(directory, "mail.log") });
    assert.equal(settings.listeners[0]?.path, join(directory, "lmtp.sock"));
    assert.deepEqual(settings.actions["box"], { kind: "deliver", as: "mbox", path: join(directory, "box/{user}") });
  });
});

test("passwords leave the settings for the secrets", async () => {
  const yaml = "credentials:\n  a: { user: joe, password: sesame }\n  b: { user: jane, password-file: jane.txt }\n";
  await inDirectory({ "posthorn.yaml": yaml, "jane.txt": "open it\nnot this\n" }, async (directory) => {
    const { settings, secrets } = await loaded(directory, "posthorn.yaml");
    assert.deepEqual(settings.credentials, { a: { user: "joe" }, b: { user: "jane" } });
    assert.deepEqual(secrets.credentials, {
      a: { user: "joe", password: "sesame" },
      b: { user: "jane", password: "open it" },
    });
    assert.doesNotMatch(JSON.stringify(settings), /sesame|open it/);
  });
});

test("credentials are a password, a file with one, or a certificate, and exactly one of these", async () => {
  const yaml = "credentials:\n  a: { external: yes }\n  b: { user: ann, external: yes }\n";
  await inDirectory({ "posthorn.yaml": yaml }, async (directory) => {
    const { secrets } = await loaded(directory, "posthorn.yaml");
    assert.deepEqual(secrets.credentials, {
      a: { user: "", password: "", isExternal: true },
      b: { user: "ann", password: "", isExternal: true },
    });
  });
  for (const wrong of ["{ user: ann }", "{ user: ann, password: x, external: yes }", "{ password: x }"]) {
    const problems = await problemsOf({ "posthorn.yaml": `credentials: { a: ${wrong} }\n` });
    assert.match(
      problems.join(),
      /credentials\.a(?:\.user)?: expected (?:exactly one of password, password-file and external|a user)/,
    );
  }
});

test("settings in code give the same as the same settings in YAML", async () => {
  const yaml = "hostname: mail.example.org\nlocal: { domains: [example.org] }\nscheduler: { warn-after: 1h }\n";
  const code = `import { defineConfig } from "posthorn";
import { domain } from "./names.ts";
export default defineConfig({ hostname: \`mail.\${domain}\`, local: { domains: [domain] }, scheduler: { warnAfter: "1h" } });
`;
  const names = 'export const domain: string = "example.org";\n';
  await inDirectory({ "posthorn.yaml": yaml, "posthorn.config.ts": code, "names.ts": names }, async (directory) => {
    const [one, other] = [await loaded(directory, "posthorn.yaml"), await loaded(directory, "posthorn.config.ts")];
    assert.deepEqual(one.settings, other.settings);
    assert.match(locate(other.origins, ["scheduler", "warnAfter"]), /posthorn\.config\.ts:3:\d+$/);
  });
});

test("code is read afresh each time, and so is what it imports beside it", async () => {
  const code = 'import { host } from "./host.ts";\nexport default { hostname: host };\n';
  await inDirectory({ "a.config.ts": code, "host.ts": 'export const host = "one.example";\n' }, async (directory) => {
    assert.equal((await loaded(directory, "a.config.ts")).settings.hostname, "one.example");
    await writeFile(join(directory, "host.ts"), 'export const host = "two.example";\n');
    assert.equal((await loaded(directory, "a.config.ts")).settings.hostname, "two.example");
  });
});

const CODE_MISTAKES: readonly (readonly [what: string, code: string, ...expected: RegExp[]])[] = [
  ["a syntax error", "export default {\n  a: 1,,\n};\n", /^s\.config\.ts:2:8: Unexpected token/],
  [
    "an exception",
    "const o: any = undefined;\nexport default {\n  hostname: o.x.y,\n};\n",
    /^s\.config\.ts:3:15: Cannot read properties of undefined/,
  ],
  ["no export", "const a = 1;\n", /^s\.config\.ts: has no default export/],
  ["a wrong export", "export default 5;\n", /^s\.config\.ts: exports a number; expected/],
  [
    "a function as a value",
    "export default {\n  hostname: () => 1,\n};\n",
    /^s\.config\.ts:2:3: hostname: is a function/,
  ],
  [
    "an unknown name",
    "export default {\n  local: { domain: [] },\n};\n",
    /^s\.config\.ts:2:12: local\.domain: unknown name; did you mean domains\?/,
  ],
  ["a module that is not there", 'import "./missing.ts";\nexport default {};\n', /^s\.config\.ts.*missing\.ts/],
];
for (const [what, code, ...expected] of CODE_MISTAKES) {
  test(`a mistake in code is told with its place: ${what}`, async () => {
    const lines = await problemsOf({ "s.config.ts": code }, "s.config.ts");
    assert.equal(lines.length, expected.length, lines.join("\n"));
    for (const [at, line] of lines.entries()) assert.match(line, expected[at] ?? /never/);
  });
}

const MISTAKES: readonly (readonly [what: string, files: Readonly<Record<string, string>>, ...expected: string[]])[] = [
  [
    "names that nobody defined",
    {
      "posthorn.yaml": `local:
  users: table:usrs
tables:
  users: { list: [joe] }
accounts: table:accounts
credentials: { isp: { user: a, password: b } }
actions:
  out: { relay: { to: smtps://relay.example, credentials: ips } }
  also: { relay: { to: [tls://isp@a.example, tls://nobody@b.example] } }
rules:
  - match: { for: local, not: { mail-from: table:spammers } }
    action: delivr
autoconfig: { domains: table:hostd }
`,
    },
    "posthorn.yaml:2:3: local.users: there is no table usrs; did you mean users?",
    "posthorn.yaml:5:1: accounts: there is no table accounts; there are: users",
    "posthorn.yaml:8:46: actions.out.relay.credentials: there is no credentials entry ips; did you mean isp?",
    "posthorn.yaml:9:46: actions.also.relay.to[1]: there is no credentials entry nobody; there are: isp",
    "posthorn.yaml:11:33: rules[0].match.not.mail-from: there is no table spammers; there are: users",
    "posthorn.yaml:12:5: rules[0].action: there is no action delivr; did you mean deliver?",
    "posthorn.yaml:13:15: autoconfig.domains: there is no table hostd; there are: users",
  ],
  [
    "a rule that makes the server an open relay",
    { "posthorn.yaml": "rules:\n  - action: relay\n" },
    "posthorn.yaml:2:5: rules[0]: relays for everybody to everywhere: an open relay. Say who may use it (from, auth, tag or listener), or for which domains; from: any if that is what you want",
  ],
  [
    "client certificates that nothing can verify, or that nobody is asked for",
    {
      "posthorn.yaml":
        "listeners:\n  - { name: a, port: 25, client-certificate: verify }\n  - { name: b, port: 26, client-account: email }\n  - { name: c, port: 27, client-identities: table:no, client-certificate: none }\n",
    },
    "posthorn.yaml:2:26: listeners[0].client-certificate: nothing can be verified: set `client-authorities`",
    "posthorn.yaml:3:26: listeners[1].client-account: only verified certificates name accounts: set `client-authorities`",
    "posthorn.yaml:4:26: listeners[2].client-identities: there is no table no",
    "posthorn.yaml:4:55: warning: listeners[2].client-certificate: no client is asked for a certificate, so the rest has no effect",
  ],
  [
    "a rule that hides the others",
    { "posthorn.yaml": "rules:\n  - action: deliver\n  - action: deliver\n" },
    "posthorn.yaml:2:5: warning: rules[0]: matches everything: the rules behind it are never reached",
  ],
  [
    "a relay that is no URL",
    { "posthorn.yaml": "actions:\n  out:\n    relay: { to: http://relay.example }\n" },
    'posthorn.yaml:3:14: actions.out.relay.to: expected one of the schemes smtp+tls, smtp, tls, smtps, ssl, lmtp, lmtp+unix or backup, got "http://relay.example"',
  ],
  [
    "listeners that are in each other's way",
    {
      "posthorn.yaml":
        "listeners:\n  - { name: a, address: 127.0.0.1, port: 25 }\n  - { name: b, address: 127.0.0.1, port: 25 }\n",
    },
    "posthorn.yaml:3:5: listeners[1]: there is a listener on 127.0.0.1:25 already: listeners[0]",
  ],
  [
    "a listener with the name of the socket for users of this host",
    { "posthorn.yaml": "listeners:\n  - { name: local, address: 127.0.0.1, port: 25 }\n" },
    "posthorn.yaml:2:7: listeners[0].name: local is the name of the socket for users of this host; take another",
  ],
  [
    "files that are not there",
    {
      "posthorn.yaml":
        "certificates:\n  - certificate: c.pem\n    key: k.pem\ntables: { t: { file: t.txt } }\ncredentials: { c: { user: u, password-file: p.txt } }\ndelivery: { ca-file: ca.pem }\n",
    },
    "posthorn.yaml:2:5: certificates[0].certificate: c.pem does not exist",
    "posthorn.yaml:4:16: tables.t.file: t.txt does not exist",
    "posthorn.yaml:5:30: credentials.c.password-file: p.txt does not exist",
    "posthorn.yaml:6:13: delivery.ca-file: ca.pem does not exist",
  ],
  [
    "mistakes in a table's file, with the file's own lines",
    {
      "posthorn.yaml": "accounts: table:people\ntables: { people: { file: people } }\n",
      people: "joe {PLAIN}x\njane secret\n\nlou\n",
    },
    "people:2:1: expected a password hash as `posthorn account hash` makes it, or {PLAIN} and the password",
    "people:4:1: expected a password hash as `posthorn account hash` makes it, or {PLAIN} and the password",
  ],
  [
    "a network that is none, in a table",
    { "posthorn.yaml": "tables: { t: { list: [10.0.0.1/8] } }\n" },
    'posthorn.yaml:1:23: tables.t.list[0]: expected the network\'s first address before /8, got "10.0.0.1/8"',
  ],
  [
    "YAML that is none",
    { "posthorn.yaml": "listeners:\n\t- x\n" },
    "posthorn.yaml:2:1: a tab at the beginning of the line: YAML takes spaces only",
  ],
];
for (const [what, files, ...expected] of MISTAKES) {
  test(`the check finds ${what}`, async () => assert.deepEqual(await problemsOf(files), expected));
}

test("a certificate that expired or belongs to another key is told where it was set", async () => {
  await inDirectory({}, async (directory) => {
    for (const name of ["one", "two"]) {
      await mkdir(join(directory, name));
      await ownCertificate(join(directory, name), [hostname().toLowerCase()], clock);
      await copyFile(join(directory, name, "self-signed.pem"), join(directory, `${name}.pem`));
      await copyFile(join(directory, name, "self-signed.key"), join(directory, `${name}.key`));
    }
    const file = join(directory, "posthorn.yaml");
    await writeFile(file, "certificates:\n  - certificate: one.pem\n    key: two.key\n");
    const mixed = await loadSettings({ file, directory, clock });
    assert.deepEqual(!mixed.ok && mixed.problem.map(problemLine), [
      `${file}:3:5: certificates[0].key: ${directory}/two.key does not belong to the certificate`,
    ]);
    await writeFile(file, "certificates:\n  - certificate: one.pem\n    key: one.key\n");
    const later = virtualClock(Date.now() + 400 * 86_400_000);
    await chmod(join(directory, "one.key"), 0o604);
    const expired = await loadSettings({ file, directory, clock: later });
    assert.deepEqual(expired.ok && expired.value.warnings.map(problemLine), [
      `${file}:2:5: warning: certificates[0].certificate: ${directory}/one.pem expired 35 days ago`,
      `${file}:3:5: warning: certificates[0].key: ${directory}/one.key may be read by every user of this machine`,
    ]);
  });
});

test("a file that is not there is an error, not a server without settings", async () => {
  assert.deepEqual(await problemsOf({}, "posthorn.yaml"), ["posthorn.yaml: does not exist"]);
});

test("a settings file that is no UTF-8 is told with the place, and what to do", async () => {
  await inDirectory({}, async (directory) => {
    const told = async (bytes: Buffer, name = "posthorn.yaml"): Promise<string> => {
      await writeFile(join(directory, name), bytes, { mode: 0o600 });
      const result = await loadSettings({ file: join(directory, name), directory, clock });
      assert.ok(!result.ok);
      return result.problem.map((problem) => problemLine(problem).replaceAll(`${directory}/`, "")).join("\n");
    };
    const latin = Buffer.from("# \ufffd\u00fc\nlocal:\n  postmaster: \ufffd j\u0001rgen\n").map((byte) =>
      byte === 1 ? 0xfc : byte,
    );
    const words = "is no UTF-8 from here on (byte 0xfc): save it as UTF-8";
    assert.equal(await told(Buffer.from(latin)), `posthorn.yaml:3:18: ${words}`);
    assert.equal(await told(Buffer.from(latin), "p.config.ts"), `p.config.ts:3:18: ${words}`);
    const wide = Buffer.from("\ufeffhostname: a.example\n", "utf16le");
    assert.equal(await told(wide), "posthorn.yaml: is UTF-16: save it as UTF-8");
  });
});
