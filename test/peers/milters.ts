import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/** Debian's milters, at a port of loopback or at a socket's path. */
export interface RunningMilter extends RunningPeer {
  /** As our settings have it. */
  readonly address: string;
}

type Listens = "port" | "path";

async function startMilter(
  listens: Listens,
  prepare: (socket: string, folder: string, file: (name: string, text: string) => string) => readonly string[],
): Promise<RunningMilter> {
  const peer = await startPeer({
    name: "milters",
    async prepare(folder) {
      const at = listens === "path" ? join(folder, "milter.sock") : await freePort();
      const socket = typeof at === "number" ? `inet:${at}@127.0.0.1` : `unix:${at}`;
      const file = (name: string, text: string): string => {
        const path = join(folder, name);
        writeFileSync(path, text);
        chmodSync(path, 0o644);
        return path;
      };
      return { command: prepare(socket, folder, file), at, mails: "mail/*", log: "log" };
    },
  });
  const address = typeof peer.at === "number" ? `inet:127.0.0.1:${peer.at}` : `unix:${peer.at}`;
  return Object.assign(peer, { address });
}

/**
 * opendkim: signs what comes from listeners whose {daemon_name} is ORIGINATING, verifies the rest with the given public keys
 * instead of the DNS's, and refuses bad signatures.
 */
export function startOpendkim(options: {
  readonly listens?: Listens;
  readonly domain: string;
  readonly selector: string;
  /** PEM. */
  readonly privateKey: string;
  /** `selector._domainkey.domain` and the record's text. */
  readonly publicKeys: Readonly<Record<string, string>>;
}): Promise<RunningMilter> {
  const { domain, selector, privateKey, publicKeys, listens = "port" } = options;
  return startMilter(listens, (socket, _, file) => {
    const key = file("key.pem", privateKey);
    const records = Object.entries(publicKeys).map(([name, text]) => `${name} ${text}\n`);
    const conf = file(
      "opendkim.conf",
      [
        `Socket ${socket}`,
        "Mode sv",
        "Syslog no",
        "UMask 000",
        // It would refuse a key below a folder that others may write to, as the temporary one.
        "RequireSafeKeys no",
        `Domain ${domain}`,
        `Selector ${selector}`,
        `KeyFile ${key}`,
        "Canonicalization relaxed/simple",
        "MTA ORIGINATING",
        // Otherwise everything on loopback counts as our own.
        `InternalHosts ${file("internal", "192.0.2.250\n")}`,
        "AuthservID mx.example.org",
        "AlwaysAddARHeader yes",
        "On-BadSignature reject",
        `TestPublicKeys ${file("keys", records.join(""))}`,
        "",
      ].join("\n"),
    );
    return ["opendkim", "-f", "-x", conf];
  });
}

/** opendmarc, which asks the name server at `nameServer`, port 53, and refuses what a domain wants refused. */
export function startOpendmarc(options: {
  readonly listens?: Listens;
  readonly nameServer: string;
}): Promise<RunningMilter> {
  return startMilter(options.listens ?? "port", (socket, folder, file) => {
    const conf = file(
      "opendmarc.conf",
      [
        `Socket ${socket}`,
        "Syslog no",
        "UMask 000",
        "AuthservID mx.example.org",
        "TrustedAuthservIDs mx.example.org",
        "RejectFailures true",
        "SPFIgnoreResults true",
        "SPFSelfValidate false",
        `PidFile ${join(folder, "pid")}`,
        `IgnoreHosts ${file("ignore", "192.0.2.250\n")}`,
        "",
      ].join("\n"),
    );
    // The namespace's own /etc: nothing outside changes.
    return ["sh", "-c", `echo nameserver ${options.nameServer} >/etc/resolv.conf; exec opendmarc -f -c ${conf}`];
  });
}

/** clamav-milter in front of a clamd at a port of loopback. */
export function startClamavMilter(options: {
  readonly listens?: Listens;
  readonly clamd: number;
  readonly onInfected?: "Reject" | "Quarantine" | "Blackhole" | "Accept";
}): Promise<RunningMilter> {
  return startMilter(options.listens ?? "port", (socket, folder, file) => {
    const conf = file(
      "clamav-milter.conf",
      [
        `MilterSocket ${socket}`,
        "MilterSocketMode 666",
        `ClamdSocket tcp:127.0.0.1:${options.clamd}`,
        "Foreground yes",
        "User root",
        `OnInfected ${options.onInfected ?? "Reject"}`,
        'RejectMsg "Virus found: %v"',
        "AddHeader Replace",
        `LogFile ${join(folder, "log")}`,
        "LogInfected Full",
        `TemporaryDirectory ${folder}`,
        "",
      ].join("\n"),
    );
    return ["clamav-milter", "--config-file", conf];
  });
}

/** spamass-milter in front of a spamd at a port of loopback; refuses from `refusesAt` points on. */
export function startSpamassMilter(options: {
  readonly listens?: Listens;
  readonly spamd: number;
  readonly refusesAt: number;
}): Promise<RunningMilter> {
  return startMilter(options.listens ?? "port", (socket) => [
    "spamass-milter",
    "-p",
    socket.replace(/^unix:/, ""),
    "-r",
    `${options.refusesAt}`,
    "--",
    "-d",
    "127.0.0.1",
    "-p",
    `${options.spamd}`,
  ]);
}

/**
 * A milter in Python on libmilter (python3-milter), which does what a mail's field `X-Do` asks for: `reply`, `discard`,
 * `quarantine`, `body`, `header`, `sender`, `recipients`, `progress`, or that it dies in the middle of the mail: `die`.
 */
export function startPythonMilter(options: { readonly listens?: Listens } = {}): Promise<RunningMilter> {
  return startMilter(options.listens ?? "port", (socket, _, file) => [
    "/usr/bin/python3",
    file("doing.py", PYTHON),
    socket,
  ]);
}

const PYTHON = `
import os, sys, time, Milter

class Doing(Milter.Base):
    def __init__(self):
        self.id = Milter.uniqueID()
    @Milter.noreply
    def connect(self, name, family, address):
        self.client = (name, address)
        return Milter.CONTINUE
    def hello(self, name):
        self.helo = name
        return Milter.CONTINUE
    def envfrom(self, sender, *parameters):
        self.told = [("from", sender) + parameters]
        self.wants = ""
        self.size = 0
        return Milter.CONTINUE
    def envrcpt(self, recipient, *parameters):
        if recipient.startswith("<refused"):
            self.setreply("550", "5.1.1", "Not this one")
            return Milter.REJECT
        self.told.append(("to", recipient) + parameters)
        return Milter.CONTINUE
    @Milter.noreply
    def header(self, name, value):
        if name == "X-Do":
            self.wants = value
        return Milter.CONTINUE
    @Milter.noreply
    def body(self, chunk):
        self.size += len(chunk)
        if self.wants == "die":
            os._exit(1)
        return Milter.CONTINUE
    def eom(self):
        wants = self.wants
        if wants == "reply":
            self.setreply("554", "5.7.1", "First line", "100%% second")
            return Milter.REJECT
        if wants == "tempfail":
            return Milter.TEMPFAIL
        if wants == "discard":
            return Milter.DISCARD
        if wants == "quarantine":
            self.quarantine("asked for")
        if wants == "progress":
            for _ in range(4):
                time.sleep(1)
                self.progress()
        if wants == "body":
            self.replacebody("a new\\nbody\\r\\n")
            self.replacebody("x" * 200000 + "\\n")
        if wants == "header":
            self.addheader("X-Last", "one\\n\\ttwo")
            self.addheader("X-First", "at the top", 1)
            self.chgheader("Subject", 1, "changed")
            self.chgheader("X-Do", 1, "")
        if wants == "sender":
            self.chgfrom("<changed@example.net>")
        if wants == "recipients":
            self.addrcpt("<added@example.org>")
            self.delrcpt("<bob@example.org>")
        macros = [(name, self.getsymval(name)) for name in ("j", "_", "i", "{client_addr}", "{daemon_name}", "{mail_addr}")]
        self.addheader("X-Told", repr((self.client, self.helo, self.told, self.size, macros)).replace("\\n", " "))
        return Milter.CONTINUE

Milter.factory = Doing
Milter.set_flags(Milter.CHGBODY + Milter.CHGHDRS + Milter.ADDHDRS + Milter.ADDRCPT + Milter.DELRCPT + Milter.QUARANTINE + Milter.CHGFROM)
os.umask(0)
Milter.runmilter("posthorn", sys.argv[1], 30)
`;
