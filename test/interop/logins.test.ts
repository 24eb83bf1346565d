import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls, createSecureContext, TLSSocket } from "node:tls";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { SASL_MECHANISMS, type SaslMechanism } from "../../src/protocol/sasl/question.ts";
import { throttledLogins } from "../../src/service/account/throttled-logins.ts";
import { throttleSettings } from "../../src/service/account/throttle-settings.ts";
import { ownClientCertificate } from "../../src/testing/client-certificates.ts";
import { onePerson } from "../../src/testing/one-person.ts";
import { testCertificate, testListener, type TestListener } from "../../src/testing/test-listener.ts";
import { makeCertificate } from "../peers/certificate.ts";
import { requirePeer } from "../peers/peer.ts";
import { sendWithPython } from "../peers/python.ts";
import { run } from "../peers/running.ts";
import { swaks } from "../peers/swaks.ts";

/** Programs that people send mail with, at our listener with every mechanism: who knows the password gets in, others are told. */
const PASSWORD = "pa ss=word,1";
/** As long as those of the big providers. */
const TOKEN = `eyJhbGciOi.${"J9-_~".repeat(500)}.x~y==`;

async function listener(mechanisms: readonly SaslMechanism[] = SASL_MECHANISMS): Promise<TestListener> {
  const tls = await testCertificate();
  const logins = throttledLogins({
    clock: systemClock,
    authenticator: onePerson(PASSWORD, TOKEN),
    // Wrong passwords are tried on purpose here.
    throttle: throttleSettings.parse({ delay: "0s", accountFailures: 0, addressFailures: 0 }),
    secret: Buffer.alloc(32),
  });
  return testListener(
    { protocol: "submission", authMechanisms: mechanisms, limits: { authenticationFailureRate: 0 } },
    { world: { tls: () => tls, logins } },
  );
}

interface Tried {
  readonly status: number;
  readonly output: string;
}

/** Right gets in and is logged so, wrong is told 535 (or as the mechanism says it), and nothing hangs. */
async function assertKnows(
  server: TestListener,
  name: string,
  mechanism: string,
  login: (secret: "right" | "wrong") => Promise<Tried>,
): Promise<void> {
  const before = server.log.events.length;
  const right = await login("right");
  assert.equal(right.status, 0, `${name}: ${right.output}`);
  const proved = server.log.events.slice(before).find((event) => event.name === "session.authenticated");
  assert.deepEqual([proved?.fields["mechanism"], proved?.fields["account"]], [mechanism, "ann"], right.output);
  const wrong = await login("wrong");
  assert.notEqual(wrong.status, 0, `${name}: ${wrong.output}`);
  const failed = server.log.events.slice(before).find((event) => event.name === "session.authentication-failed");
  assert.equal(failed?.fields["mechanism"], mechanism, wrong.output);
}

test("swaks logs in with PLAIN, LOGIN and CRAM-MD5", async (t) => {
  const program = requirePeer("swaks", t);
  if (program === undefined) return;
  await using server = await listener();
  for (const mechanism of ["PLAIN", "LOGIN", "CRAM-MD5"])
    await assertKnows(server, "swaks", mechanism, (secret) =>
      swaks(program, {
        at: server.port,
        from: "ann@posthorn.test",
        to: ["box@posthorn.test"],
        options: [
          "--tls",
          "--auth",
          mechanism,
          "--auth-user",
          "ann",
          "--auth-password",
          secret === "right" ? PASSWORD : "x",
        ],
      }),
    );
});

test("curl logs in with every mechanism it has", async (t) => {
  const program = requirePeer("curl", t);
  if (program === undefined) return;
  const version = (await run(program, ["--version"])).output;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-curl-"));
  try {
    writeFileSync(join(folder, "mail"), "Subject: curl\r\n\r\nx\r\n");
    const hasScram = /gsasl/i.test(version);
    for (const mechanism of [
      "PLAIN",
      "LOGIN",
      "CRAM-MD5",
      "OAUTHBEARER",
      "XOAUTH2",
      ...(hasScram ? ["SCRAM-SHA-256"] : []),
    ]) {
      // curl takes the other OAuth mechanism when both are offered, whatever it is asked for.
      await using server = await listener([mechanism as SaslMechanism]);
      await assertKnows(server, "curl", mechanism, (secret) => {
        const isToken = mechanism.includes("OAUTH");
        const given = secret === "right" ? (isToken ? TOKEN : PASSWORD) : "x";
        return run(program, [
          "--silent",
          "--show-error",
          "--insecure",
          "--ssl-reqd",
          "--max-time",
          "20",
          "--url",
          `smtp://127.0.0.1:${server.port}/curl.test`,
          "--login-options",
          `AUTH=${mechanism}`,
          ...(isToken ? ["--user", "ann", "--oauth2-bearer", given] : ["--user", `ann:${given}`]),
          "--mail-from",
          "ann@posthorn.test",
          "--mail-rcpt",
          "box@posthorn.test",
          "--upload-file",
          join(folder, "mail"),
        ]);
      });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("msmtp logs in with every mechanism it has", async (t) => {
  const program = requirePeer("msmtp", t);
  if (program === undefined) return;
  await using server = await listener();
  for (const mechanism of ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"])
    await assertKnows(server, "msmtp", mechanism, (secret) => {
      const given = secret === "right" ? (mechanism.includes("OAUTH") ? TOKEN : PASSWORD) : "x";
      return run(
        program,
        [
          "--host=127.0.0.1",
          `--port=${server.port}`,
          "--tls=on",
          "--tls-certcheck=off",
          "--timeout=20",
          `--auth=${mechanism.toLowerCase()}`,
          "--user=ann",
          `--passwordeval=printf %s '${given}'`,
          "--file=/dev/null",
          "--from=ann@posthorn.test",
          "box@posthorn.test",
        ],
        "Subject: msmtp\n\nx\n",
      );
    });
});

test("python's smtplib logs in with PLAIN, LOGIN and CRAM-MD5", async (t) => {
  const python = requirePeer("python3", t);
  if (python === undefined) return;
  for (const mechanism of ["PLAIN", "LOGIN", "CRAM-MD5"] as const) {
    // It takes the one it likes best of those offered.
    await using server = await listener([mechanism]);
    await assertKnows(server, "smtplib", mechanism, async (secret) => {
      const told = await sendWithPython(python, {
        from: "ann@posthorn.test",
        to: ["box@posthorn.test"],
        protocol: "smtp",
        port: server.port,
        startsTls: true,
        login: { user: "ann", password: secret === "right" ? PASSWORD : "x" },
        content: Buffer.from("Subject: smtplib\r\n\r\nx\r\n"),
      });
      if ("error" in told) assert.deepEqual(told, { error: "SMTPAuthenticationError", code: 535 });
      return { status: "error" in told ? 1 : 0, output: JSON.stringify(told) };
    });
  }
});

test("curl and msmtp log in by their certificate, as the one it says and as nobody else", async (t) => {
  const tls = await testCertificate();
  const made = await ownClientCertificate("ann");
  await using server = await testListener(
    { protocol: "submission", clientIdentities: "table:certificates" },
    {
      world: {
        tls: () => ({ ...tls, clientCertificate: "ask" }),
        certificates: { identify: async () => ({ kind: "known", accounts: ["ann"], mayRelay: false }) },
      },
    },
  );
  const folder = mkdtempSync(join(tmpdir(), "posthorn-external-"));
  try {
    const mail = "Subject: external\r\n\r\nx\r\n";
    const [certificate, key, content] = ["certificate", "key", "mail"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(certificate, made.certificate);
    writeFileSync(key, made.key);
    writeFileSync(content, mail);
    chmodSync(key, 0o600);
    const curl = requirePeer("curl", t);
    if (curl !== undefined)
      await assertKnows(server, "curl", "EXTERNAL", (who) =>
        run(curl, [
          "--silent",
          "--show-error",
          "--insecure",
          "--ssl-reqd",
          "--max-time",
          "20",
          "--cert",
          certificate,
          "--key",
          key,
          "--url",
          `smtp://127.0.0.1:${server.port}/curl.test`,
          "--login-options",
          "AUTH=EXTERNAL",
          "--user",
          who === "right" ? "ann:" : "bob:",
          "--mail-from",
          "ann@posthorn.test",
          "--mail-rcpt",
          "box@posthorn.test",
          "--upload-file",
          content,
        ]),
      );
    const msmtp = requirePeer("msmtp", t);
    if (msmtp !== undefined)
      await assertKnows(server, "msmtp", "EXTERNAL", (who) =>
        run(
          msmtp,
          [
            "--host=127.0.0.1",
            `--port=${server.port}`,
            "--tls=on",
            "--tls-certcheck=off",
            `--tls-cert-file=${certificate}`,
            `--tls-key-file=${key}`,
            "--auth=external",
            `--user=${who === "right" ? "ann" : "bob"}`,
            "--file=/dev/null",
            "--from=ann@posthorn.test",
            "box@posthorn.test",
          ],
          mail,
        ),
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** GNU SASL's own client; it ends after the login, and says whether it worked. */
async function gsasl(
  program: string,
  port: number,
  mechanism: string,
  password: string,
  more: readonly string[] = [],
): Promise<Tried> {
  return run(program, [
    "--smtp",
    `--connect=127.0.0.1:${port}`,
    "--x509-ca-file=",
    `--mechanism=${mechanism}`,
    "--authentication-id=ann",
    `--password=${password}`,
    "--no-client-first",
    ...more,
  ]);
}

test("gsasl ties its login to TLS 1.3 and to TLS 1.2, and checks that we know the password too", async (t) => {
  const program = requirePeer("gsasl", t);
  if (program === undefined) return;
  await using server = await listener();
  for (const priority of ["NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"])
    for (const mechanism of ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
      await assertKnows(server, `gsasl ${priority}`, mechanism, (secret) =>
        gsasl(program, server.port, mechanism, secret === "right" ? PASSWORD : "x", [`--priority=${priority}`]),
      );
});

test("a login with -PLUS does not work through somebody who ends the TLS in between", async (t) => {
  const program = requirePeer("gsasl", t);
  if (program === undefined) return;
  await using server = await listener();
  await using between = await eavesdropper(server.port);
  const plain = await gsasl(program, between.port, "SCRAM-SHA-256", PASSWORD, ["--no-cb"]);
  assert.equal(plain.status, 0, plain.output);
  const tied = await gsasl(program, between.port, "SCRAM-SHA-256-PLUS", PASSWORD);
  assert.notEqual(tied.status, 0, tied.output);
  assert.equal(between.handshakes(), 2);
  const failed = server.log.events.find((event) => event.name === "session.authentication-failed");
  assert.match(String(failed?.fields["reason"]), /channel-bindings-dont-match/);
});

/** Passes everything on and reads it all: plaintext until STARTTLS, and then TLS of its own on both sides. */
async function eavesdropper(port: number): Promise<AsyncDisposable & { readonly port: number; handshakes(): number }> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-between-"));
  const { certificate, key } = await makeCertificate(folder);
  const secureContext = createSecureContext({ cert: readFileSync(certificate), key: readFileSync(key) });
  rmSync(folder, { recursive: true });
  const sockets = new Set<Socket>();
  let handshakes = 0;
  const server = createServer((client) => {
    const host = connect(port, "127.0.0.1");
    for (const socket of [client, host]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    let said = "";
    client.on("data", (bytes: Buffer) => {
      said += bytes.toString("latin1");
      host.write(bytes);
    });
    host.on("data", (bytes: Buffer) => {
      client.write(bytes);
      if (!/^STARTTLS\r\n$/im.test(said)) return;
      handshakes++;
      for (const socket of [client, host]) socket.removeAllListeners("data");
      const inside = new TLSSocket(client, { isServer: true, secureContext });
      const outside = connectTls({ socket: host, rejectUnauthorized: false });
      for (const socket of [inside, outside]) socket.on("error", () => {});
      inside.pipe(outside).pipe(inside);
    });
    client.on("close", () => host.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    // A TCP server that listens has such an address.
    port: (server.address() as AddressInfo).port,
    handshakes: () => handshakes,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
