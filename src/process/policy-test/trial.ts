import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { PosthornError } from "../../foundation/error.ts";
import { clientName, nameOfThisHost } from "../../mail/connection/client-name.ts";
import { rulesOf, termsOf } from "../../mail/connection/connection.ts";
import type { ListenerSettings } from "../../mail/connection/settings.ts";
import { runSession } from "../../mail/session/session.io.ts";
import type { Terms } from "../../mail/session/state.ts";
import { parseHeaderSection } from "../../protocol/message/header-fields.ts";
import type { TlsFacts } from "../../service/tls/facts.ts";
import type { TlsConnection } from "../../service/tls/tls.ts";
import { madeUpResolver } from "./answers.ts";
import type { Trial, TrialVerdict } from "./case.ts";
import { TrialClient, type TrialReply } from "./trial-client.ts";
import { trialContent } from "./trial-content.ts";
import type { TrialRecord, TrialRoom } from "./trial-room.ts";

/** What came of a trial. */
export interface Found {
  readonly verdict: TrialVerdict;
  /** Where that was decided. */
  readonly stage: "connect" | "helo" | "auth" | "mail" | "rcpt" | "data" | "message";
  readonly code: number;
  /** The reply that decided, code and all. */
  readonly text: string;
  readonly recipients: readonly FoundRecipient[];
  /** What is kept of it, one for each target. */
  readonly envelopes: readonly { readonly recipient: string; readonly action: string; readonly sender: string }[];
  readonly rule?: string | undefined;
  readonly restriction?: string | undefined;
  readonly because?: string | undefined;
  readonly header: readonly { readonly name: string; readonly value: string }[];
  readonly body: string;
  readonly tags: readonly string[];
  /** What the network would have been asked. */
  readonly unexpected: readonly string[];
  /** What the log would have said. */
  readonly log: readonly string[];
}

export interface FoundRecipient {
  readonly recipient: string;
  readonly isAccepted: boolean;
  readonly reply: string;
}

type Stage = Found["stage"];

/** Holds a whole session with the real session machine. `until`: how far it goes; a mail is only sent to the end of it. */
export async function holdTrial(room: TrialRoom, trial: Trial, until: "rcpt" | "message" = "message"): Promise<Found> {
  prepare(room, trial);
  const listener = listenerOf(room, trial.listener);
  const [ours, theirs] = duplexPair();
  const isLocal = trial.client === "local";
  const name = await nameOf(room, trial, listener);
  const peer = isLocal ? { name } : { address: trial.client, port: 40_000, name };
  const ended = Promise.withResolvers<void>();
  const client = new TrialClient(ours, room.clock);
  runSession({
    // The session needs a stream, and asks it nothing that only a socket has.
    socket: theirs as unknown as Socket,
    terms: termsFor(room, listener, peer),
    peer,
    tls: isEncrypted(trial, listener) ? fakeTls(theirs, trial) : undefined,
    allowance: { take: () => true, isSpent: () => false },
    services: room.services,
    onEnd: () => ended.resolve(),
  });
  const { stage, decided, recipients } = await dialogue(room, client, trial, listener, until);
  const found = foundOf(room, { stage, decided, recipients });
  await client.leave();
  await ended.promise;
  theirs.destroy();
  return found;
}

function prepare({ answers, queue, clock, record }: TrialRoom, trial: Trial): void {
  answers.trial = trial;
  answers.unexpected.length = 0;
  queue.forget();
  record.judged.length = 0;
  record.events.length = 0;
  record.tags.clear();
  const at = trial.at === undefined ? undefined : Date.parse(trial.at);
  if (Number.isNaN(at))
    throw new PosthornError("USAGE", {
      message: `${trial.at ?? ""} is no time`,
      advice: "write it as 2026-11-21T12:00:00Z",
    });
  clock.set(at);
}

function listenerOf({ loaded }: TrialRoom, name: string | undefined): ListenerSettings {
  const listeners = loaded.settings.listeners.filter(({ protocol }) => protocol !== "http");
  const found = name === undefined ? listeners[0] : listeners.find((listener) => listener.name === name);
  if (found !== undefined) return found;
  throw new PosthornError("USAGE", {
    message: name === undefined ? "there is no listener" : `there is no listener ${name}`,
    advice: `name one of: ${listeners.map((listener) => listener.name).join(", ")}`,
  });
}

/** As reception would know it. Nobody has to make up what no settings ask for: a client that the zone does not know has no name. */
async function nameOf(room: TrialRoom, trial: Trial, listener: ListenerSettings): Promise<string | undefined> {
  if (trial.clientName !== undefined) return trial.clientName;
  const own = nameOfThisHost(trial.client === "local" ? undefined : trial.client);
  if (own !== undefined) return own;
  if (!listener.reverseDns || !Object.hasOwn(trial.dns, trial.client)) return undefined;
  return await clientName(madeUpResolver(room.answers), room.clock, trial.client, listener.reverseDnsTimeout);
}

function termsFor({ loaded }: TrialRoom, listener: ListenerSettings, peer: object): Terms {
  const { settings } = loaded;
  const rules = rulesOf({
    settings: listener,
    session: settings.session,
    hostname: settings.hostname,
    mechanisms: ["PLAIN"],
    rewriting: settings,
    ownNames: settings.listeners.flatMap(({ hostname }) => hostname ?? []),
  });
  return {
    ...termsOf(rules, "trial", peer, true),
    // Whether the password is right, and travels well, is not what is tried.
    mechanisms: ["PLAIN"],
    mayAuthenticateInPlain: true,
  };
}

function isEncrypted(trial: Trial, listener: ListenerSettings): boolean {
  return trial.tls === undefined
    ? listener.tls === "implicit" || (trial.auth !== undefined && listener.tls !== "off")
    : trial.tls !== false;
}

/** A connection that is encrypted as far as anybody asks. */
function fakeTls(stream: Duplex, { tls }: Trial): TlsConnection {
  const about = typeof tls === "object" ? tls : undefined;
  const shown = about?.certificate;
  const fingerprint =
    shown?.fingerprint?.replaceAll(":", "").toLowerCase() ??
    createHash("sha256")
      .update(shown?.subject ?? "")
      .digest("hex");
  const facts: TlsFacts = {
    role: "server",
    version: about?.version ?? "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
    bits: 256,
    isResumed: false,
    handshakeMs: 0,
    verdict: shown === undefined ? { result: "NONE" } : { result: shown.verified ? "OK" : "FAIL", by: "authorities" },
    ...(shown === undefined
      ? {}
      : {
          peerCertificate: {
            fingerprint,
            keyFingerprint: fingerprint,
            subject: shown.subject,
            issuer: "CN=Trial",
            commonName: /CN=([^,]+)/.exec(shown.subject)?.[1],
            names: shown.names,
            notBeforeAt: 0,
            notAfterAt: Number.MAX_SAFE_INTEGER,
            chain: [fingerprint],
          },
        }),
  };
  const closing = { peer: "unknown", we: "close_notify" } as const;
  return {
    // As with the socket.
    socket: stream as unknown as TLSSocket,
    facts,
    closing: () => closing,
    close() {
      stream.end();
      return Promise.resolve(closing);
    },
    destroy: () => void stream.destroy(),
    flight: () => {
      throw new Error("a trial has no flight");
    },
    onFinding() {},
    onClosed() {},
  };
}

interface Dialogue {
  readonly stage: Stage;
  readonly decided: TrialReply;
  readonly recipients: readonly FoundRecipient[];
}

async function dialogue(
  room: TrialRoom,
  client: TrialClient,
  trial: Trial,
  { protocol }: ListenerSettings,
  until: "rcpt" | "message",
): Promise<Dialogue> {
  const recipients: FoundRecipient[] = [];
  const end = (stage: Stage, decided: TrialReply | undefined): Dialogue => ({
    stage,
    decided: decided ?? { code: 421, text: "the session ended without a word" },
    recipients,
  });
  const isFine = (reply: TrialReply | undefined): reply is TrialReply => reply !== undefined && reply.code < 400;
  const greeting = await client.reply();
  if (!isFine(greeting)) return end("connect", greeting);
  const hello = await client.say(`${protocol === "lmtp" ? "LHLO" : "EHLO"} ${trial.helo}`);
  if (!isFine(hello)) return end("helo", hello);
  if (trial.auth !== undefined) {
    const token = Buffer.from(`\0${trial.auth}\0a trial`).toString("base64");
    const login = await client.say(`AUTH PLAIN ${token}`);
    if (!isFine(login)) return end("auth", login);
  }
  const sender = trial.from.replace(/^<(.*)>$/, "$1");
  const mail = await client.say(["MAIL", `FROM:<${sender}>`, ...trial.parameters].join(" "));
  if (!isFine(mail)) return end("mail", mail);
  let refusal: TrialReply | undefined;
  let acceptance: TrialReply | undefined;
  for (const recipient of trial.to) {
    const answer = await client.say(`RCPT TO:<${recipient.replace(/^<(.*)>$/, "$1")}>`);
    recipients.push({ recipient, isAccepted: isFine(answer), reply: answer?.text ?? "" });
    if (isFine(answer)) acceptance ??= answer;
    else refusal ??= answer;
    if (answer === undefined || answer.code === 421) return end("rcpt", answer);
  }
  if (acceptance === undefined) return end("rcpt", refusal);
  if (until === "rcpt") return end("rcpt", acceptance);
  const data = await client.say("DATA");
  if (!isFine(data)) return end("data", data);
  client.send(await trialContent(trial, room.clock.now()));
  const last = await client.reply();
  // LMTP answers for each recipient; they share the fate.
  return end("message", last);
}

function foundOf({ queue, record, answers }: TrialRoom, { stage, decided, recipients }: Dialogue): Found {
  const { committed } = queue;
  const judged = record.judged.map(({ judgement }) => judgement);
  const refusal = judged.findLast((judgement) => judgement.kind === "reject");
  const acceptance = judged.find((judgement) => judgement.kind === "accept");
  const isRefused = decided.code >= 400;
  const content = committed?.body.kind === "inline" ? Buffer.from(committed.body.bytes) : Buffer.alloc(0);
  const header = parseHeaderSection(content);
  const by = decidedBy(record);
  const { quarantine } = committed ?? {};
  const verdict = isRefused
    ? decided.code === 421
      ? "disconnect"
      : decided.code < 500
        ? "defer"
        : "reject"
    : stage !== "message"
      ? "accept"
      : committed === undefined
        ? "discard"
        : quarantine === undefined
          ? "accept"
          : "quarantine";
  const isKept = verdict === "accept";
  const because = isKept
    ? undefined
    : isRefused && stage === "rcpt"
      ? (refusal?.because ?? by)
      : (quarantine?.because ?? by);
  return {
    verdict,
    stage,
    code: decided.code,
    text: decided.text,
    recipients,
    envelopes: (committed?.envelopes ?? []).map((envelope) => ({
      recipient: envelope.recipient,
      action: envelope.action,
      sender: envelope.sender ?? committed?.message.sender ?? "",
    })),
    rule: isRefused ? refusedBy(record, "rule") : (keptBy(record) ?? acceptance?.rule),
    restriction: refusedBy(record, "restriction"),
    because: because === "" ? undefined : because,
    header: header.fields.map(({ name, value }) => ({ name, value })),
    body: content.subarray(header.bodyAt).toString("utf8"),
    tags: [...record.tags],
    unexpected: [...answers.unexpected],
    log: record.events.flatMap(({ line }) => line ?? []),
  };
}

/** Why the last one that decided did so: a filter, or what refused the mail. */
function decidedBy(record: TrialRecord): string | undefined {
  const told = record.events.findLast(({ name, fields }) => name === "filter.verdict" && fields["verdict"] !== "keep");
  const because = told?.fields["because"];
  return refusedBy(record, "because") ?? (typeof because === "string" ? because : undefined);
}

/** What the log says of the last refusal, at whatever stage. */
function refusedBy({ events }: TrialRecord, field: "rule" | "restriction" | "because"): string | undefined {
  const said = events.findLast(({ name }) => name === "session.rejected")?.fields[field];
  return typeof said === "string" ? said : undefined;
}

/** The rule that had the last word on mail that is kept: its tags may have let them choose once more. */
function keptBy({ events }: TrialRecord): string | undefined {
  const rules = events.findLast(({ name }) => name === "session.kept")?.fields["rules"];
  const rule: unknown = Array.isArray(rules) ? rules[0] : undefined;
  return typeof rule === "string" ? rule : undefined;
}
