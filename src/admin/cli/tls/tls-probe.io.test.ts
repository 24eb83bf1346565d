import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createSecureContext, TLSSocket } from "node:tls";
import { generate } from "selfsigned";
import { probeTls } from "./tls-probe.io.ts";
import { parseProbeTarget, probeSummary, type ProbeReport, type ProbeTrial } from "./tls-probe-plan.ts";

interface Host extends AsyncDisposable {
  readonly port: number;
  readonly caFile: string;
  readonly connections: () => number;
}

interface HostOptions {
  readonly isImplicit?: boolean;
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
  /** Ends TCP without a close_notify after QUIT. */
  readonly isRude?: boolean;
  readonly starttls?: string;
  readonly greeting?: string;
  /** Takes nobody without a certificate. */
  readonly isInsisting?: boolean;
}

/** A small SMTP host with a certificate for `localhost` that is its own authority. */
async function startHost(options: HostOptions = {}): Promise<Host> {
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] },
    ],
  });
  const folder = mkdtempSync(join(tmpdir(), "posthorn-probe-"));
  const caFile = join(folder, "ca.pem");
  writeFileSync(caFile, made.cert);
  const secureContext = createSecureContext({
    cert: made.cert,
    key: made.private,
    minVersion: "TLSv1.2",
    maxVersion: options.maxVersion ?? "TLSv1.3",
  });
  let count = 0;
  const talk = (stream: Socket, raw: Socket, isUnderTls: boolean, greets: boolean): void => {
    stream.on("error", () => {});
    if (greets) stream.write(`${options.greeting ?? "220 host.test ESMTP"}\r\n`);
    stream.on("data", (bytes: Buffer) => {
      for (const line of bytes.toString().split("\r\n").filter(Boolean)) {
        if (line.startsWith("EHLO"))
          stream.write(isUnderTls ? "250-host.test\r\n250 AUTH PLAIN\r\n" : "250-host.test\r\n250 STARTTLS\r\n");
        else if (line === "STARTTLS") {
          stream.removeAllListeners("data");
          stream.write(`${options.starttls ?? "220 go on"}\r\n`, () => encrypt(raw, false));
        } else if (line === "QUIT") {
          if (options.isRude === true) stream.write("221 bye\r\n", () => raw.end());
          else stream.end("221 bye\r\n");
        }
      }
    });
  };
  const encrypt = (raw: Socket, greets: boolean): void => {
    const secure = new TLSSocket(raw, {
      isServer: true,
      secureContext,
      ...(options.isInsisting === true ? { requestCert: true, rejectUnauthorized: true } : {}),
    });
    talk(secure, raw, true, greets);
  };
  const server: Server = createServer((raw) => {
    count += 1;
    raw.on("error", () => {});
    if (options.isImplicit === true) encrypt(raw, true);
    else talk(raw, raw, false, true);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    caFile,
    connections: () => count,
    async [Symbol.asyncDispose]() {
      server.close();
      rmSync(folder, { recursive: true });
      await Promise.resolve();
    },
  };
}

const never = new AbortController().signal;

function probe(
  host: Host,
  more: { isImplicit?: boolean; name?: string; caFile?: string | undefined } = {},
  planned?: readonly ProbeTrial[],
): Promise<ProbeReport> {
  const target = {
    host: "127.0.0.1",
    port: host.port,
    isImplicit: false,
    name: "localhost",
    caFile: host.caFile,
    helo: "me.test",
    ...more,
  };
  return probeTls(target, () => {}, never, planned);
}

function results(report: ProbeReport): Readonly<Record<string, boolean>> {
  return Object.fromEntries(report.trials.map(({ trial, ok }) => [trial.name, ok]));
}

test("a good host: what it offers, its chain, both versions, each group, resumption, a clean end; nothing is wrong", async () => {
  await using host = await startHost();
  const report = await probe(host);
  assert.deepEqual(report.offersBefore, ["STARTTLS"]);
  assert.deepEqual(report.offersUnderTls, ["AUTH PLAIN"]);
  assert.equal(report.greeting, "220 host.test ESMTP");
  assert.equal(report.chain[0]?.subject, "CN=localhost");
  assert.deepEqual(report.chain[0]?.names, ["localhost"]);
  assert.deepEqual(results(report), {
    "the usual handshake": true,
    "TLSv1.3": true,
    "TLSv1.2": true,
    "TLSv1.1": false,
    TLSv1: false,
    X25519MLKEM768: true,
    X25519: true,
    "P-256": true,
    "P-384": true,
    "P-521": true,
    "RSA certificate": false,
    "ECDSA certificate": true,
    resumption: true,
  });
  for (const outcome of report.trials) {
    if (!outcome.ok) continue;
    assert.equal(outcome.closing.peer, "close_notify", outcome.trial.name);
    assert.equal(outcome.facts.verdict.result, "OK", outcome.trial.name);
    if (outcome.trial.about === "version") assert.equal(outcome.facts.version, outcome.trial.name);
    assert.equal(outcome.facts.isResumed, outcome.trial.about === "resumption", outcome.trial.name);
  }
  assert.deepEqual(probeSummary(report), ["nothing is wrong with it"]);
  assert.equal(host.connections(), report.trials.length);
});

test("a certificate of an unknown authority, and one for another name, are told in the summary", async () => {
  await using host = await startHost({ isImplicit: true });
  const stranger = await probe(host, { isImplicit: true, caFile: undefined });
  assert.match(probeSummary(stranger)[0] ?? "", /^the certificate does not verify: /);
  const other = await probe(host, { isImplicit: true, name: "elsewhere.test" });
  assert.match(probeSummary(other)[0] ?? "", /not for elsewhere\.test/);
});

test("a host that knows only TLSv1.2 and cuts after QUIT is seen as it is", async () => {
  await using host = await startHost({ maxVersion: "TLSv1.2", isRude: true });
  const report = await probe(host);
  const summary = probeSummary(report);
  assert.ok(summary.includes("there is no TLSv1.3"), summary.join("; "));
  assert.match(summary.at(-1) ?? "", /^(\d+) of \1 connections ended without its close_notify/);
});

test("a host that refuses our part of a TLS 1.3 handshake behind its end has refused the handshake", async () => {
  await using host = await startHost({ isInsisting: true });
  const report = await probe(host);
  assert.ok(!Object.values(results(report)).includes(true), JSON.stringify(results(report)));
  assert.match(probeSummary(report)[0] ?? "", /^handshake: The server requires a client certificate, and we sent none/);
});

test("a handshake as a policy wants it has its versions, ciphers and name, or is not made", async () => {
  await using host = await startHost();
  const wanted = (terms: ProbeTrial["terms"]): ProbeTrial => ({
    name: "as the policy says",
    about: "policy",
    terms,
    serverName: "sni.test",
  });
  const [old] = (
    await probe(host, {}, [wanted({ minVersion: "TLSv1.2", maxVersion: "TLSv1.2", ciphers: "ECDHE+AES256" })])
  ).trials;
  assert.ok(old?.ok === true);
  assert.deepEqual(
    [old.facts.version, old.facts.cipher, old.facts.serverName, old.facts.verdict.result],
    ["TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "sni.test", "OK"],
  );
  const [none] = (await probe(host, {}, [wanted({ minVersion: "TLSv1", maxVersion: "TLSv1.1" })])).trials;
  assert.ok(none?.ok === false && none.stage === "handshake");
  const [refused] = (await probe(host, {}, [wanted({ minVersion: "TLSv1.2", ciphers: "nonsense" })])).trials;
  assert.ok(refused?.ok === false && refused.stage === "terms");
  assert.match(refused.text, /^not tried: these terms cannot be used/);
});

test("a host without STARTTLS, one that refuses it, one that does not want us and one that is not there are met once only", async () => {
  await using refusing = await startHost({ starttls: "454 not now" });
  const refused = await probe(refusing);
  assert.deepEqual(probeSummary(refused), ["STARTTLS: the host refused STARTTLS: 454 not now"]);
  assert.equal(refusing.connections(), 1);
  await using unfriendly = await startHost({ greeting: "554 no service" });
  assert.match(probeSummary(await probe(unfriendly))[0] ?? "", /^greeting: the host does not want us: 554/);
  const gone = await startHost();
  await gone[Symbol.asyncDispose]();
  assert.match(probeSummary(await probe(gone))[0] ?? "", /^connect: .*ECONNREFUSED/);
});

test("a target is a host, with a port or without; addresses of IPv6 stand in brackets when a port follows", () => {
  assert.deepEqual(parseProbeTarget("mx.example"), { host: "mx.example", port: undefined });
  assert.deepEqual(parseProbeTarget("mx.example:465"), { host: "mx.example", port: 465 });
  assert.deepEqual(parseProbeTarget("[2001:db8::1]:25"), { host: "2001:db8::1", port: 25 });
  assert.deepEqual(parseProbeTarget("2001:db8::1"), { host: "2001:db8::1", port: undefined });
  for (const text of ["", "a b", "mx:0", "mx:99999", "smtp://mx", "mx:x"])
    assert.equal(parseProbeTarget(text), undefined);
});
