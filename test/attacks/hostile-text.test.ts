/**
 * Log injection: text that acts on terminals and lines goes into every input that there is — of clients, next hosts, DNS,
 * certificates, filters, policy servers, commands, tables, dropped files — and afterwards no log and no command of ours acts.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect, createServer as createTlsServer } from "node:tls";
import { generate } from "selfsigned";
import { runPosthorn } from "../../src/admin/cli/posthorn.ts";
import { systemWorld } from "../../src/admin/cli/world.io.ts";
import type { Output } from "../../src/admin/cli/world.ts";
import { cliParts } from "../../src/process/cli-world.ts";
import { a, ptr, startDnsServer, txt } from "../dns-server.ts";
import { startPolicyServer } from "../policy-server.ts";
import { startScriptedHost } from "../scripted-host.ts";
import { freePort, LAYOUTS, startServer, type Layout, type TestServer } from "../server.ts";
import { smtpConnect, type TestClient } from "../smtp-client.ts";
import { ACTING, asXtext, hostileIn, MULTI_LINE } from "./hostile-text.ts";

const HOOKS = `
const text = ${JSON.stringify(MULTI_LINE)};
export default {
  onMessage(mail) {
    const subject = mail.header("Subject") ?? "";
    if (subject.startsWith("throw")) throw new Error(text);
    if (subject.startsWith("aside")) return { effect: "quarantine", because: text };
    if (subject.startsWith("no")) return { effect: "refuse", reply: { code: 550, status: "5.7.1", lines: [text, text] } };
    if (subject.startsWith("field")) return [{ effect: "add-header", name: "X-Note", value: text }];
    if (subject.startsWith("name")) return [{ effect: "add-header", name: "X-Note: a\\r\\nInjected", value: "yes" }];
    return undefined;
  },
};
`;

/** What stands at the places where a next host can say something. */
const HOSTS: Readonly<Record<string, (line: string) => string | undefined>> = {
  mail: (line) => (line.startsWith("MAIL") ? `451-4.7.1 ${ACTING}\r\n451 4.7.1 ${ACTING} later` : undefined),
  rcpt: (line) => (line.startsWith("RCPT") ? `550-5.1.1 ${ACTING}\r\n550 5.1.1 Injected: yes${ACTING}` : undefined),
  dot: (line) => (line === "." ? `250 2.0.0 taken as ${ACTING}` : undefined),
  bare: (line) => (line.startsWith("RCPT") ? `550 5.1.1 one\nInjected: yes\n${ACTING}` : undefined),
  greeting: () => undefined,
  hello: (line) =>
    line.startsWith("EHLO") ? `250-${ACTING}\r\n250-${ACTING} ${ACTING}\r\n250 AUTH ${ACTING}` : undefined,
};

async function hostileCertificate(): Promise<{ cert: string; key: string }> {
  const made = await generate(
    [
      { name: "commonName", value: `cn${ACTING}\r\nInjected: yes` },
      { name: "organizationName", value: `o${MULTI_LINE}` },
    ],
    {
      keyType: "ec",
      curve: "P-256",
      algorithm: "sha256",
      extensions: [
        {
          name: "subjectAltName",
          altNames: [
            { type: 6, value: `urn:x\x1b]0;x\x07\r\nInjected: yes` },
            { type: 2, value: `san\x1b]0;x\x07\r\nInjected: yes` },
          ],
        },
      ],
    },
  );
  return { cert: made.cert, key: made.private };
}

/** What `posthorn` writes, without the half second that a process of its own would take to start. */
async function inThisProcess(
  argv: readonly string[],
  file: string,
  interrupted: AbortSignal = AbortSignal.timeout(20_000),
): Promise<{ status: number; stdout: string; stderr: string }> {
  const written = { stdout: "", stderr: "" };
  const output = (name: "stdout" | "stderr"): Output => ({
    isTerminal: argv.includes("--body"),
    columns: undefined,
    rows: undefined,
    write: (text) => void (written[name] += typeof text === "string" ? text : Buffer.from(text).toString("utf8")),
    room: () => Promise.resolve(),
    flushed: () => Promise.resolve(),
    lost: new AbortController().signal,
  });
  const world = {
    ...systemWorld(cliParts),
    stdout: output("stdout"),
    stderr: output("stderr"),
    interrupted,
  };
  const status = await runPosthorn([...argv, "--file", file], world);
  return { status, ...written };
}

async function greeted(port: number, hello = "EHLO client.test"): Promise<TestClient> {
  const client = await smtpConnect(port, 30_000);
  await client.reply();
  await client.say(hello);
  return client;
}

/** Says all of it, whatever is answered; the end of the connection ends it. */
async function sayAll(client: TestClient, lines: readonly string[]): Promise<readonly string[]> {
  const heard: string[] = [];
  try {
    for (const line of lines) {
      heard.push(await client.say(line));
      // Content without a 354 would be commands.
      if (line === "DATA" && heard.at(-1)?.startsWith("354") !== true) break;
    }
  } catch {
    // Who is cut off has been heard.
  }
  client.close();
  return heard;
}

async function mail(port: number, to: string, subject: string, header = ""): Promise<string> {
  const client = await greeted(port);
  const heard = await sayAll(client, [
    "MAIL FROM:<ann@posthorn.test>",
    `RCPT TO:<${to}>`,
    "DATA",
    `Subject: ${subject} ${ACTING}\r\n${header}\r\nHello.\r\n.`,
  ]);
  return heard.at(-1) ?? "";
}

async function startAll(
  t: TestContext,
  layout: Layout,
  format: "line" | "json",
): Promise<{ server: TestServer; lax: number; secure: number; hosts: readonly string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-hostile-text-"));
  chmodSync(folder, 0o755);
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const hosts: [string, number][] = [];
  for (const [name, answer] of Object.entries(HOSTS)) {
    const host = await startScriptedHost({ answer, ...(name === "greeting" ? { greeting: `554 ${ACTING}` } : {}) });
    t.after(() => host[Symbol.asyncDispose]());
    hosts.push([name, host.port]);
  }
  const made = await hostileCertificate();
  const secureHost = createTlsServer(made, (socket) => {
    socket.on("error", () => {});
    socket.end(`554 ${ACTING}\r\n`);
  });
  secureHost.on("tlsClientError", () => {});
  secureHost.listen(0, "127.0.0.1");
  await once(secureHost, "listening");
  t.after(() => secureHost.close());
  const address = secureHost.address();
  const secureAt = typeof address === "object" && address !== null ? address.port : 0;
  const policy = await startPolicyServer((asked) => {
    const words = asked.get("sender")?.split("@")[0] ?? "";
    return words === "policy"
      ? `REJECT ${ACTING}`
      : words === "warn"
        ? `WARN ${ACTING}`
        : words === "prepend"
          ? `PREPEND X-Policy: ${ACTING}`
          : "DUNNO";
  });
  t.after(() => policy[Symbol.asyncDispose]());
  const dns = await startDnsServer({
    "9.113.0.203.in-addr.arpa": [ptr("evil\x1b]0;x\x07\x9b\u202e.far.test")],
    "evil\x1b]0;x\x07\x9b\u202e.far.test": [a("203.0.113.9")],
    "9.113.0.203.list.test": [a("127.0.0.2"), txt(MULTI_LINE)],
  });
  t.after(() => dns[Symbol.asyncDispose]());
  const command = join(folder, "command");
  writeFileSync(
    command,
    `#!/bin/sh\ncat >/dev/null\nprintf '%b' '${Buffer.from(MULTI_LINE)
      .toString("latin1")
      .replace(/[^a-zA-Z0-9:; ]/g, (c) => `\\0${c.charCodeAt(0).toString(8).padStart(3, "0")}`)}'\nexit 75\n`,
  );
  chmodSync(command, 0o755);
  const table = join(folder, "table");
  writeFileSync(
    table,
    `#!/bin/sh\nprintf '%b' '\\033]0;x\\007 Injected: yes\\n' >&2\nprintf '%b' '\\033]0;x\\007\\rInjected: yes\\n'\nexit 1\n`,
  );
  chmodSync(table, 0o755);
  const hooks = join(folder, "hooks.ts");
  writeFileSync(hooks, HOOKS);
  const [lax, secure] = [await freePort(), await freePort()];
  const server = await startServer({
    layout,
    readyWithinMs: 120_000,
    readyWhen: /daemon started|"event":"server\.started"/,
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
log: { level: debug, format: ${format} }
dns: { servers: ["${dns.at}"] }
local: { domains: [posthorn.test], users: [ann, bob, command] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, xclient-from: [loopback], xforward-from: [loopback], filtered-by: [mine] }
  - { name: proxied, address: 127.0.0.1, port: {submission}, proxy-from: [loopback] }
  - { name: lax, address: 127.0.0.1, port: ${lax}, auth: offer, auth-without-tls: loopback, vrfy: answer, expn: answer, bare-line-ends: normalise }
  - { name: secure, address: 127.0.0.1, port: ${secure}, tls: implicit, client-certificate: ask }
  - { name: web, address: 127.0.0.1, port: {smtps}, protocol: http, tls: off }
accounts: table:people
tables:
  people: { map: { ann: "{PLAIN}secret" } }
  odd: { process: { command: [${table}] } }
filters: { mine: { module: "${hooks}" } }
actions:
  command: { deliver: command, command: "${command}", user: server }
  secure: { relay: { to: "smtps://127.0.0.1:${secureAt}" } }
${hosts.map(([name, port]) => `  ${name}: { relay: { to: "smtp://127.0.0.1:${port}" } }`).join("\n")}
restrictions:
  - { dns-lists: { lists: [{ zone: list.test }] } }
  - { policy: { at: "${policy.at}" } }
rules:
  - { match: { rcpt-to: "command@posthorn.test" }, action: command }
  - { match: { rcpt-to: "table@odd.test", sender: "table:odd" }, action: command }
  - { match: { for: secure.test }, action: secure }
${hosts.map(([name]) => `  - { match: { for: ${name}.test }, action: ${name} }`).join("\n")}
  - { match: { for: local }, action: deliver }
`.replace('  - { match: { rcpt-to: "table@odd.test", sender: "table:odd" }, action: command }\n', ""),
  });
  t.after(() => server[Symbol.asyncDispose]());
  return {
    server,
    lax,
    secure,
    hosts: [
      ...hosts.filter(([name]) => name === "greeting" || name === "hello").map(([, port]) => `127.0.0.1:${port}`),
      `127.0.0.1:${secureAt}`,
    ],
  };
}

/** All commands that show something, with what they need behind them. */
function commandsThatShow(
  messages: readonly string[],
  quarantined: readonly string[],
  peer: string,
  hosts: readonly string[],
  folder: string,
): readonly (readonly string[])[] {
  const plain = [
    "status",
    "queue list",
    "queue count",
    "show routes",
    "show relays",
    "show hosts",
    "show sources",
    "show domains",
    "show stats",
    "show status",
    "show tables",
    "show filters",
    "show logins",
    "show senders",
    "show rates",
    "quarantine list",
    "greylist list",
    "routes",
    "log --to bob@rcpt.test",
    "log --from ann@posthorn.test",
    "log --from a@b.test",
    "tls failures",
    "tls closes",
    "tls plaintext",
    "tls hosts",
    "tls certificates",
    "holds",
    "mailq",
    "trace",
    "dmarc reports list",
  ].map((line) => line.split(" "));
  const each = messages.flatMap((id) => [
    ["queue", "show", id],
    ["queue", "show", id, "--headers"],
    ["queue", "show", id, "--body"],
    ["why", id],
    ["log", id],
    ["replay", id],
  ]);
  const aside = quarantined.flatMap((id) => [["quarantine", "show", id, "--headers"]]);
  const more = [
    ["log", "--sql", "select * from events"],
    ...hosts.flatMap((host) => [
      ["tls", "probe", host],
      ["tls", "policy", host],
    ]),
    ["tls", "show", "127.0.0.1"],
    ["tls", "policy", peer],
    ["tls", "diff", "127.0.0.1"],
    ["tls", "probe", "--implicit", peer],
    ["explain", `x${ACTING}@posthorn.test`],
    ["explain", "bob@posthorn.test", "--from", `a${ACTING}@b.test`],
    ["table", "lookup", "people", "credentials", `ann${ACTING}`],
    ["queue", "show", `x${ACTING}`],
    ["why", `x${ACTING}`],
    [`x${ACTING}`],
    ["tls", "probe", `127.0.0.1:1${ACTING}`],
    ["tls", "show", `x${ACTING}`],
    ["tls", "show", "127.0.0.1", "--pcapng", join(folder, `pcapng${ACTING}`)],
    ["log", `x${ACTING}`],
    ["suspend", "domain", `x${ACTING}.test`],
    ["suspend", "domain", "held.test", "--because", MULTI_LINE],
    ["holds"],
    ["queue", "list", "--to", `x${ACTING}`],
    ["resume", "route", `x${ACTING}`],
    ["autoconfig", "thunderbird", `x${ACTING}@posthorn.test`],
    ["queue", "hold", ...messages, "--because", MULTI_LINE],
    ["queue", "release", ...messages],
    ["queue", "retry", `x${ACTING}`, "--sender", `x${ACTING}@b.test`],
    ["queue", "remove", `x${ACTING}`],
    ["queue", "bounce", "--route", `x${ACTING}`, "--because", MULTI_LINE],
    ["schedule", `x${ACTING}.test`, "--at", `23${ACTING}`],
    ["schedule", `x${ACTING}.test`, "--in", "1h"],
    ["quarantine", "release", `x${ACTING}`],
    ["quarantine", "remove", ...quarantined, "--because", MULTI_LINE],
    ["greylist", "allow", `x${ACTING}`],
    ["greylist", "remove", `x${ACTING}`],
    ["logins", "clear", `x${ACTING}`],
    ["senders", "clear", `x${ACTING}`],
    ["rates", "clear", `x${ACTING}`],
    ["dkim", "check", `x${ACTING}.test`],
    ["dns", `x${ACTING}.test`],
    ["dmarc", "reports", "show", `x${ACTING}`],
    ["tls", "renew", `x${ACTING}`],
    ["trace", "on", "smtp", "--peer", `x${ACTING}`, "--detach", "--for", "1s"],
    ["unsuspend", "domain", `x${ACTING}.test`],
    ["routes", `x${ACTING}`],
    ["replay", `x${ACTING}`],
    ["profile", "queue", `1${ACTING}`],
    ["makemap", `x${ACTING}`],
    ["newaliases", `x${ACTING}`],
    ["restore", `x${ACTING}`],
    ["backup", join(folder, `x${ACTING}`)],
    ["test", `x${ACTING}`],
    ["send", `x${ACTING}@posthorn.test`, "--from", `x${ACTING}@b.test`],
  ];
  return [...plain, ...each, ...aside, ...more].flatMap((argv) =>
    argv.includes("mailq") || argv.includes("--body") ? [argv] : [argv, [...argv, "--json"]],
  );
}

for (const layout of LAYOUTS)
  test(
    `${layout}: nothing that anybody says acts on the log, on a terminal, or becomes a line of its own`,
    { timeout: 240_000 },
    async (t) => {
      const format = layout === "single" ? "json" : "line";
      const { server, hosts, lax, secure } = await startAll(t, layout, format);
      const { smtp, submission: proxied, smtps: web } = server.ports;
      for (const topic of ["smtp", "mta", "scheduler", "dns"])
        await server.posthorn("trace", "on", topic, "--detach", "--for", "10m");
      await server.posthorn("trace", "tls", "4", "--for", "10m");
      const file = join(server.folder, "posthorn.yaml");
      const seenEnough = new AbortController();
      const followed = [[], ["--json"]].map((more) =>
        inThisProcess(["tail", "--level", "debug", ...more], file, seenEnough.signal),
      );

      const x = asXtext(MULTI_LINE);
      const bad = ACTING.replaceAll(/[\r\n]/g, "");
      const hellos = [
        `EHLO ${bad}`,
        `HELO x${bad}.test`,
        `${bad} x`,
        `NOOP ${bad}`,
        `HELP ${bad}`,
        `VRFY ${bad}`,
        `EXPN ${bad}`,
        `ETRN ${bad}`,
        `AUTH ${bad}`,
        `STARTTLS ${bad}`,
        `BDAT ${bad}`,
      ];
      await Promise.all(
        hellos.flatMap((hello) => [smtp, lax].map(async (port) => sayAll(await greeted(port, hello), [hello, "QUIT"]))),
      );
      for (const lines of [
        [
          `XCLIENT NAME=${x} ADDR=203.0.113.9 HELO=${x} LOGIN=${x}`,
          "EHLO again.test",
          "MAIL FROM:<a@b.test>",
          "RCPT TO:<bob@posthorn.test>",
        ],
        ["XCLIENT ADDR=203.0.113.9", "EHLO again.test", "MAIL FROM:<a@b.test>", "RCPT TO:<bob@posthorn.test>"],
        [`XCLIENT ADDR=${x}`],
        [`XCLIENT ${x}=1`],
        [
          `XFORWARD NAME=${x} HELO=${x} IDENT=${x} SOURCE=REMOTE PROTO=${x} ADDR=${x}`,
          "MAIL FROM:<a@b.test>",
          "RCPT TO:<bob@posthorn.test>",
          "DATA",
          "Subject: forwarded\r\n\r\n.\r\n.",
        ],
        [
          `MAIL FROM:<"a${bad}"@b.test>`,
          `MAIL FROM:<a${bad}@b.test> SMTPUTF8`,
          `MAIL FROM:<"a\u202e\u2028\u0085"@b.test> SMTPUTF8`,
          "RCPT TO:<bob@posthorn.test>",
          "DATA",
          "Subject: international\r\n\r\n.\r\n.",
        ],
        [`MAIL FROM:<a@b.test> RET=HDRS ENVID=${x} AUTH=${x}`, `RCPT TO:<bob@posthorn.test> ORCPT=rfc822;${x}`],
        [
          `MAIL FROM:<a@b.test> ENVID=${x}`,
          "RSET",
          `MAIL FROM:<a@b.test> ENVID=${asXtext("id\x1b[2J")}`,
          "RSET",
          "MAIL FROM:<a@b.test>",
          `RCPT TO:<ann@mail.test> ORCPT=utf-8;\\x{1B}\\x{202E}`,
          `RCPT TO:<"b\u202e${bad}"@posthorn.test>`,
        ],
        [
          `MAIL FROM:<policy@b.test>`,
          "RCPT TO:<bob@posthorn.test>",
          "RSET",
          "MAIL FROM:<warn@b.test>",
          "RCPT TO:<bob@posthorn.test>",
          "RSET",
          "MAIL FROM:<prepend@b.test>",
          "RCPT TO:<bob@posthorn.test>",
          "DATA",
          "Subject: x\r\n\r\n.\r\n.",
        ],
      ])
        await sayAll(await greeted(smtp), lines);
      const secret = Buffer.from(`\0ann${MULTI_LINE}\0wrong`).toString("base64");
      const login = [
        `AUTH PLAIN ${secret}`,
        "AUTH LOGIN",
        Buffer.from(MULTI_LINE).toString("base64"),
        "eA==",
        `AUTH PLAIN ${bad}`,
      ];
      await sayAll(await greeted(lax), login);
      await sayAll(await greeted(lax), [
        "VRFY <bob@posthorn.test>",
        `MAIL FROM:<a@b.test>`,
        "RCPT TO:<bob@posthorn.test>",
        "DATA",
        `Subject: bare\rInjected: yes\nInjected: yes\r\n\r\n.\r\n.`,
      ]);

      // Before any word of SMTP: a PROXY header, HTTP, TLS with names that act.
      for (const [port, first] of [
        [proxied, `PROXY TCP4 ${bad} 1.2.3.4 1 2\r\n`],
        [proxied, `PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\nEHLO ${bad}\r\nQUIT\r\n`],
        [web, `GET /${bad} HTTP/1.1\r\nHost: ${bad}\r\nUser-Agent: ${bad}\r\n\r\n`],
        [secure, `EHLO ${bad}\r\n`],
        [smtp, `GET / HTTP/1.1\r\nHost: ${bad}\r\n\r\n`],
      ] as const) {
        const socket = connect(port, "127.0.0.1");
        socket.on("error", () => {});
        socket.write(first);
        socket.resume();
        await Promise.race([once(socket, "close"), wait(500)]);
        socket.destroy();
      }
      const identity = await hostileCertificate();
      for (const options of [
        { servername: `x\x1b]0;x\x07\nInjected: yes` },
        { servername: "x.test", ALPNProtocols: ["\x1b]0;x\x07\nInjected: yes"] },
        identity,
      ]) {
        const socket = tlsConnect({ host: "127.0.0.1", port: secure, rejectUnauthorized: false, ...options });
        socket.on("error", () => {});
        socket.on("secureConnect", () => socket.end(`EHLO ${bad}\r\nMAIL FROM:<a@b.test>\r\nQUIT\r\n`));
        socket.resume();
        await Promise.race([once(socket, "close"), wait(5000)]);
      }

      // Filters, commands and next hosts.
      for (const subject of ["throw", "no", "aside", "field", "name", "plain"])
        await mail(
          smtp,
          "bob@posthorn.test",
          subject,
          `Message-ID: <${bad}@x>\r\nFrom: ${bad} <ann@posthorn.test>\r\nX-${bad}: y\r\n`,
        );
      for (const name of [...Object.keys(HOSTS), "secure"])
        assert.match(await mail(smtp, `bob@${name}.test`, `to ${name}`), /^250/, name);
      assert.match(await mail(smtp, "command@posthorn.test", "to a command"), /^250/);
      const drop = join(server.folder, "data", "drop");
      mkdirSync(drop, { recursive: true });
      for (const [name, content] of [
        [`x${ACTING}`, MULTI_LINE],
        ["plain", `${MULTI_LINE}\n`],
        ["f\nInjected: yes", "x"],
      ] as const)
        writeFileSync(join(drop, name), content);

      await server.waitForOutput(
        format === "line" ? /to=<command@posthorn\.test>.*status=deferred/ : /command@posthorn\.test.*deferred/,
        60_000,
      );
      await server.waitForOutput(/bob@secure\.test/, 60_000);
      await server.waitForOutput(/bob@bare\.test/, 60_000);
      const [bounce = ""] = await server.waitForMails("ann", 1, 60_000);
      // The mail that comes back is as its sender wrote it; all in front of it is ours.
      const ours =
        bounce
          .replaceAll("\r\n", "\n")
          .split(/^Content-Type: (?:message\/(?:rfc822|global)|text\/rfc822-headers)/m)[0] ?? "";
      assert.ok(ours.length < bounce.length - 100, "the mail came back");
      assert.equal(hostileIn(ours, { tabs: true }), undefined);
      for (const delivered of server.mailsOf("bob")) {
        const header = delivered.replaceAll("\r\n", "\n").split("\n\n")[0] ?? "";
        // What the sender itself wrote as its header is its own.
        if (!delivered.includes("bare")) assert.doesNotMatch(header, /^Injected:/m, header);
        assert.doesNotMatch(
          header.replace(/^(?:Subject|From|Message-ID|X-.*):.*$/gim, ""),
          /[\x00-\x08\x0b-\x1f\x7f]/,
          header,
        );
      }

      const ids = async (...argv: string[]): Promise<string[]> => {
        const { stdout } = await server.posthorn(...argv, "--json");
        return stdout
          .split("\n")
          .filter(Boolean)
          .map((line) => (JSON.parse(line) as { message: string }).message);
      };
      const [queued, aside] = [await ids("queue", "list"), await ids("quarantine", "list")];
      assert.ok(queued.length >= 4, `queued: ${queued.join()}`);
      assert.equal(aside.length, 1);
      const bads: string[] = [];
      const shown = new Map<string, number>();
      for (const argv of commandsThatShow(queued.slice(0, 3), aside, `127.0.0.1:${secure}`, hosts, server.folder)) {
        const { status, stdout, stderr } = await inThisProcess(argv, file);
        const name = JSON.stringify(argv.join(" "));
        shown.set(name, status);
        const found =
          hostileIn(stdout, { tabs: argv.includes("--headers") || argv.includes("--body") }) ?? hostileIn(stderr);
        if (found !== undefined) bads.push(`${name}: ${found}`);
      }
      seenEnough.abort();
      for (const { stdout, stderr } of await Promise.all(followed)) {
        assert.match(stdout, /owned/);
        const found = hostileIn(stdout) ?? hostileIn(stderr);
        if (found !== undefined) bads.push(`tail: ${found}`);
      }
      const logged = hostileIn(server.output());
      if (logged !== undefined) bads.push(`the log: ${logged}`);
      t.diagnostic([...shown].map(([name, status]) => `${name}=${status}`).join(" "));
      assert.deepEqual(bads, []);
      assert.match(server.output(), /owned/);
    },
  );
