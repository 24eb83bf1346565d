import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { freePort, startServer, type TestServer } from "../server.ts";
import { startExim } from "./exim.ts";
import { startOpensmtpd } from "./opensmtpd.ts";
import { startPostfix } from "./postfix.ts";
import { converse, inPeer, run, type RunningPeer } from "./running.ts";
import { swaks } from "./swaks.ts";
import type { TlsRun } from "./tls-closes.ts";
import { POSTFIX_COMPLAINS, watchLog } from "./tls-watch.ts";

type Way = TlsRun["way"];
type Version = NonNullable<TlsRun["version"]>;

const WAYS: readonly Way[] = ["STARTTLS", "implicit"];
const VERSIONS: readonly Version[] = ["TLSv1.2", "TLSv1.3"];

interface Task {
  readonly server: TestServer;
  readonly port: number;
  readonly way: Way;
  readonly version: Version;
  /** Local there; a box for each task, so that the mail found in it is this one's. */
  readonly recipient: string;
}

interface Client {
  readonly peer: string;
  readonly versions: readonly (Version | undefined)[];
  readonly ways?: readonly Way[];
  /** It makes the connection and goes, without mail. */
  readonly hasNoMail?: boolean;
  /** Hands a mail over and goes; gives what it said, and throws when it failed. */
  readonly send: (task: Task) => Promise<string>;
  /** How it says which version it speaks, where it does. */
  readonly tells?: (version: Version) => string;
  /** What it says when something about TLS is not to its liking. */
  readonly complains: RegExp;
}

const dialogue = (recipient: string, first: RegExp): readonly (readonly [RegExp, string])[] => [
  [first, "EHLO client.test"],
  [/^250 .*\r?\n/m, "MAIL FROM:<sender@client.test>"],
  [/^250 .*\r?\n/m, `RCPT TO:<${recipient}>`],
  [/^250 .*\r?\n/m, "DATA"],
  [/^354 .*\r?\n/m, "Subject: by hand\r\n\r\nx\r\n."],
  [/^250 .*\r?\n/m, "QUIT"],
];

/** Programs that are run once for each mail. */
const programs: readonly Client[] = [
  {
    peer: "openssl s_client",
    versions: VERSIONS,
    complains: /unexpected eof|:error:|alert|errno/i,
    send: async ({ server, port, way, version, recipient }) =>
      succeeded(
        await converse(
          "openssl",
          [
            "s_client",
            "-connect",
            `127.0.0.1:${port}`,
            "-servername",
            "mx.posthorn.test",
            "-quiet",
            "-verify_return_error",
            "-CAfile",
            join(server.folder, "data", "tls", "self-signed.pem"),
            version === "TLSv1.2" ? "-tls1_2" : "-tls1_3",
            ...(way === "STARTTLS" ? ["-starttls", "smtp"] : []),
          ],
          dialogue(recipient, /^2[25]0 .*\r?\n/m),
          30_000,
        ),
      ),
  },
  {
    peer: "gnutls-cli",
    versions: VERSIONS,
    complains: /\*\*\*|non-properly terminated|fatal error|alert/i,
    send: async ({ server, port, way, version, recipient }) =>
      succeeded(
        await converse(
          "gnutls-cli",
          [
            ...(way === "STARTTLS" ? ["--starttls-proto=smtp"] : []),
            "--port",
            String(port),
            "--x509cafile",
            join(server.folder, "data", "tls", "self-signed.pem"),
            "--verify-hostname",
            "mx.posthorn.test",
            "--sni-hostname",
            "mx.posthorn.test",
            "--priority",
            `NORMAL:-VERS-ALL:+VERS-${version.replace("TLSv", "TLS")}`,
            "127.0.0.1",
          ],
          dialogue(recipient, way === "STARTTLS" ? /Simple Client Mode/ : /^220 .*\r?\n/m),
          30_000,
        ),
      ),
  },
  {
    peer: "python smtplib",
    versions: VERSIONS,
    complains: /Traceback|Error/,
    send: async ({ port, way, version, recipient }) =>
      succeeded(await run("python3", ["-c", SMTPLIB, String(port), way, version, recipient])),
  },
  {
    peer: "swaks",
    versions: VERSIONS,
    tells: (version) => `TLS started with cipher ${version}:`,
    complains: /\*\*\*|error/i,
    send: async ({ port, way, version, recipient }) =>
      succeeded(
        await swaks("swaks", {
          at: port,
          from: "sender@client.test",
          to: [recipient],
          options: [
            way === "STARTTLS" ? "--tls" : "--tls-on-connect",
            "--tls-protocol",
            version.toLowerCase().replace(".", "_"),
          ],
        }),
      ),
  },
  {
    peer: "curl",
    versions: VERSIONS,
    tells: (version) => `SSL connection using ${version} `,
    complains: /curl: \(|error|alert/i,
    send: async ({ port, way, version, recipient }) =>
      succeeded(
        await run(
          "curl",
          [
            "--silent",
            "--show-error",
            "--verbose",
            "--insecure",
            "--max-time",
            "30",
            ...(way === "STARTTLS" ? ["--ssl-reqd"] : []),
            ...(version === "TLSv1.2" ? ["--tlsv1.2", "--tls-max", "1.2"] : ["--tlsv1.3"]),
            "--mail-from",
            "sender@client.test",
            "--mail-rcpt",
            recipient,
            "--upload-file",
            "-",
            `${way === "STARTTLS" ? "smtp" : "smtps"}://127.0.0.1:${port}/client.test`,
          ],
          "Subject: by curl\r\n\r\nx\r\n",
        ),
      ),
  },
  {
    peer: "posttls-finger",
    versions: VERSIONS,
    hasNoMail: true,
    tells: (version) => `: ${version} with cipher `,
    complains: /SSL_connect error|lost connection|fatal|warning/i,
    send: async ({ port, way, version }) => {
      const finger = `posttls-finger -c -l encrypt -p '>=${version}, <=${version}' -L summary`;
      // It wants settings to be there, whatever they say.
      const [program, argv] = inPeer("postfix", [
        "sh",
        "-c",
        `touch /etc/postfix/main.cf && exec ${finger} ${way === "implicit" ? "-w " : ""}'[127.0.0.1]:${port}'`,
      ]);
      return succeeded(await run(program, argv));
    },
  },
];

const SMTPLIB = String.raw`
import smtplib, ssl, sys
port, way, version, to = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
c.minimum_version = c.maximum_version = ssl.TLSVersion.TLSv1_2 if version == "TLSv1.2" else ssl.TLSVersion.TLSv1_3
s = smtplib.SMTP_SSL("127.0.0.1", port, timeout=30, context=c) if way == "implicit" else smtplib.SMTP("127.0.0.1", port, timeout=30)
if way == "STARTTLS": s.starttls(context=c)
s.sendmail("sender@client.test", [to], "Subject: by python\r\n\r\nx\r\n")
s.quit()
`;

function succeeded({ status, output }: { status: number; output: string }): string {
  if (status !== 0) throw new Error(`it ended with ${status}:\n${output}`);
  return output;
}

/** The mail servers as clients: one of each, with a domain for each way and version. */
async function mailServers(ports: Readonly<Record<Way, number>>): Promise<{
  readonly clients: readonly Client[];
  readonly running: readonly RunningPeer[];
}> {
  const domainOf = (way: Way, version: Version | undefined): string =>
    `${way}${version ?? ""}.posthorn.test`.toLowerCase().replace(/v1\./, "1");
  const all = WAYS.flatMap((way) => VERSIONS.map((version) => ({ way, version, domain: domainOf(way, version) })));
  const postfix = await startPostfix({
    hasTls: true,
    settings: [
      `transport_maps = inline:{${all.map(({ domain, way }, at) => `{${domain}=out${at}:[127.0.0.1]:${ports[way]}}`).join(", ")}}`,
    ],
    services: all.map(
      ({ way, version }, at) =>
        `out${at} unix - - n - - smtp -o smtp_tls_security_level=encrypt -o smtp_tls_mandatory_protocols=>=${version},<=${version}` +
        (way === "implicit" ? " -o smtp_tls_wrappermode=yes" : ""),
    ),
  });
  const exim = await startExim({
    ways: Object.fromEntries(
      all.map(({ domain, way, version }) => [
        domain,
        [
          `port = ${ports[way]}`,
          `tls_require_ciphers = NORMAL:-VERS-ALL:+VERS-${version.replace("TLSv", "TLS")}`,
          ...(way === "implicit" ? ["protocol = smtps"] : ["hosts_require_tls = *"]),
        ],
      ]),
    ),
  });
  const opensmtpd = await startOpensmtpd({
    ways: Object.fromEntries(
      WAYS.map((way) => [
        domainOf(way, undefined),
        `${way === "implicit" ? "smtps" : "smtp+tls"}://127.0.0.1:${ports[way]} tls no-verify`,
      ]),
    ),
  });
  const client = (peer: RunningPeer, versions: Client["versions"], complains: RegExp): Client => ({
    peer: peer.name,
    versions,
    complains,
    async send({ recipient, server }) {
      const before = peer.log().length;
      await swaks("swaks", { at: peer.at, from: "sender@client.test", to: [recipient] }).then(succeeded);
      await server.waitForMails(recipient.slice(0, recipient.indexOf("@")), 1, 40_000);
      return peer.log().slice(before);
    },
  });
  return {
    clients: [
      client(postfix, VERSIONS, POSTFIX_COMPLAINS),
      client(exim, VERSIONS, /TLS (?:error|session)|gnutls_|SSL_/),
      client(opensmtpd, [undefined], /tls.*(?:error|fail)|io-error|failed-command|TempFail/i),
    ],
    running: [postfix, exim, opensmtpd],
  };
}

export async function clientRuns(): Promise<readonly TlsRun[]> {
  const ports = { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  const at = { STARTTLS: ports.smtp, implicit: ports.smtps };
  const { clients, running } = await mailServers(at);
  const domains = [
    "posthorn.test",
    ...["starttls", "implicit"].flatMap((way) =>
      ["", "tls12", "tls13"].map((version) => `${way}${version}.posthorn.test`),
    ),
  ];
  try {
    await using server = await startServer({
      ports,
      readyWhen: /"server\.started"/,
      wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: split, ingress: 1, egress: 1 }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp, tls: require }
  - { name: smtps, address: 127.0.0.1, port: {smtps}, protocol: smtp, tls: implicit }
local: { domains: [${domains.join(", ")}] }
log: { format: json }
`,
    });
    const runs: TlsRun[] = [];
    for (const client of [...programs, ...clients])
      for (const way of client.ways ?? WAYS)
        for (const version of client.versions)
          runs.push(await clientRun(client, server, { way, version, port: at[way] }));
    await compareWithCommand(server, runs);
    return runs;
  } finally {
    for (const peer of running) await peer[Symbol.asyncDispose]();
  }
}

/** `posthorn tls closes` counts the same. The journal is written a moment after the log. */
async function compareWithCommand(server: TestServer, runs: readonly TlsRun[]): Promise<void> {
  const clean = runs.filter(({ seen }) => seen?.peerEnd === "close_notify").length;
  const untilAt = Date.now() + 60_000;
  for (;;) {
    const { stdout } = await server.posthorn("tls", "closes", "--json");
    if (stdout.includes(`"total":${runs.length},"clean":${clean},`)) return;
    if (Date.now() > untilAt)
      throw new Error(`posthorn tls closes does not count ${runs.length} ends, ${clean} of them clean:\n${stdout}`);
    await wait(200);
  }
}

async function clientRun(
  client: Client,
  server: TestServer,
  { way, version, port }: { way: Way; version: Version | undefined; port: number },
): Promise<TlsRun> {
  const box = `${client.peer} ${way} ${version ?? ""}`.toLowerCase().replace(/[^a-z0-9]/g, "");
  const domain = `${way}${version ?? ""}.posthorn.test`.toLowerCase().replace(/v1\./, "1");
  const log = watchLog(server);
  const said = await client.send({ server, port, way, version: version ?? "TLSv1.3", recipient: `${box}@${domain}` });
  const seen = await log.session("in");
  const mails = client.hasNoMail === true ? [] : await server.waitForMails(box, 1);
  const complaints = log.complaints().map((event) => `we: ${JSON.stringify(event)}`);
  const theirs = said.split("\n").filter((line) => client.complains.test(line));
  const told = version === undefined ? undefined : client.tells?.(version);
  if (told !== undefined && !said.includes(told)) theirs.push(`it does not say "${told}": ${said}`);
  return {
    peer: client.peer,
    role: "client",
    way,
    version,
    seen,
    hasMail: client.hasNoMail === true || mails.length === 1,
    complaints: [...complaints, ...theirs.map((line) => `${client.peer}: ${line}`)],
  };
}
