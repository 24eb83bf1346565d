import { X509Certificate } from "node:crypto";
import { lookup } from "node:dns/promises";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { systemClock } from "../../../foundation/clock.io.ts";
import { withDeadline } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import { parseExtensions, type Extensions } from "../../../protocol/smtp/extensions.ts";
import { ReplyParser } from "../../../protocol/smtp/reply-parser.ts";
import { replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import { readAnchors } from "../../../service/tls/keeper/anchors.io.ts";
import { ClientContexts } from "../../../service/tls/client-contexts.io.ts";
import { tlsClientEngine } from "../../../service/tls/client.io.ts";
import type { TlsFinding } from "../../../service/tls/finding/finding.ts";
import { fingerprintOf } from "../../../service/tls/fingerprint.ts";
import { SYSTEM_ANCHORS } from "../../../service/tls/keeper/keeper.ts";
import { dnsNamesOf } from "../../../service/tls/names.ts";
import type { ShownChain, TlsConnection } from "../../../service/tls/tls.ts";
import { verify } from "../../../service/tls/verify.ts";
import {
  probeTrials,
  type ProbeOutcome,
  type ProbeReport,
  type ProbeStage,
  type ProbeTarget,
  type ProbeTrial,
  type ShownCertificate,
} from "./tls-probe-plan.ts";

const CONNECT_MS = 10_000;
const STEP_MS = 15_000;
const CLOSE_MS = 3_000;
/** All connections together; one that hangs must not make the person wait for the rest. */
const TOTAL_MS = 120_000;
/** Hosts count connections; they are given some time between two. */
const PAUSE_MS = 100;

/**
 * Looks at a host's TLS: connects some dozen times, one after the other, encrypts, and leaves with QUIT and a close_notify.
 * No mail, no login. Tells of each trial as it ends; never rejects but when the person wants to leave.
 */
export async function probeTls(
  target: ProbeTarget,
  tell: (outcome: ProbeOutcome) => void,
  interrupted: AbortSignal,
  planned: readonly ProbeTrial[] = probeTrials(),
): Promise<ProbeReport> {
  const prober = new Prober(target);
  const until = systemClock.monotonicMs() + TOTAL_MS;
  let cutBecause: string | undefined;
  const trials: ProbeOutcome[] = [];
  for (const trial of planned) {
    if (interrupted.aborted) {
      cutBecause = "interrupted";
      break;
    }
    if (systemClock.monotonicMs() > until) {
      cutBecause = `it took longer than ${TOTAL_MS / 1000} s`;
      break;
    }
    const outcome = await prober.attempt(trial);
    trials.push(outcome);
    tell(outcome);
    if (!outcome.ok && outcome.stage !== "handshake") {
      cutBecause = outcome.text;
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return { target, ...prober.seen, trials, ...(cutBecause === undefined ? {} : { cutBecause }) };
}

type Seen = "address" | "greeting" | "offersBefore" | "offersUnderTls" | "chain" | "authorities";

type Result =
  | Omit<Extract<ProbeOutcome, { ok: true }>, "trial" | "tookMs">
  | Omit<Extract<ProbeOutcome, { ok: false }>, "trial" | "tookMs">;

class Stopped extends Error {
  readonly stage: ProbeStage;

  constructor(stage: ProbeStage, text: string) {
    super(text);
    this.stage = stage;
  }
}

class Prober {
  readonly #target: ProbeTarget;
  readonly #engine = tlsClientEngine({ clock: systemClock });
  readonly #contexts = new ClientContexts(
    {
      anchors: readAnchors,
      clientCertificate: () => Promise.resolve({ pairs: [], problem: "a probe has none" }),
      onChange: () => () => {},
    },
    systemClock,
  );
  /** What stays the same over the trials, as the first of them found it. */
  readonly seen: { -readonly [Key in Seen]: ProbeReport[Key] } = {
    address: undefined,
    greeting: undefined,
    offersBefore: undefined,
    offersUnderTls: undefined,
    chain: [],
    authorities: "not asked",
  };

  constructor(target: ProbeTarget) {
    this.#target = target;
  }

  async attempt(trial: ProbeTrial): Promise<ProbeOutcome> {
    const startedMs = systemClock.monotonicMs();
    const took = (): number => Math.round(systemClock.monotonicMs() - startedMs);
    let raw: Socket | undefined;
    try {
      raw = await this.#connect();
      const outcome = await this.#encrypt(raw, trial);
      return { trial, tookMs: took(), ...outcome };
    } catch (thrown) {
      const stage = thrown instanceof Stopped ? thrown.stage : "handshake";
      return { trial, tookMs: took(), ok: false, stage, text: messageOf(thrown) };
    } finally {
      raw?.destroy();
    }
  }

  async #connect(): Promise<Socket> {
    const { host, port } = this.#target;
    try {
      // All connections go to one address: hosts behind one name may differ.
      this.seen.address ??= (await lookup(host)).address;
    } catch {
      throw new Stopped("connect", `${host} has no address`);
    }
    const address = this.seen.address;
    const socket = connect({ host: address, port, allowHalfOpen: true });
    socket.on("error", () => {});
    await withDeadline(systemClock, CONNECT_MS, `connecting to ${address}:${port}`, () => connected(socket)).catch(
      (thrown: unknown) => {
        socket.destroy();
        throw new Stopped("connect", messageOf(thrown));
      },
    );
    return socket;
  }

  async #encrypt(raw: Socket, trial: ProbeTrial): Promise<Result> {
    const { isImplicit, name, helo } = this.#target;
    if (!isImplicit) {
      using dialogue = new Dialogue(raw);
      this.#greeted(await dialogue.reply("greeting"));
      const extensions = this.#extensions(await dialogue.say(`EHLO ${helo}`, "EHLO"));
      this.seen.offersBefore ??= keywordsOf(extensions);
      if (!extensions.keywords.has("STARTTLS")) throw new Stopped("STARTTLS", "the host does not offer STARTTLS");
      const answer = await dialogue.say("STARTTLS", "STARTTLS");
      if (answer.code !== 220) throw new Stopped("STARTTLS", `the host refused STARTTLS: ${replyText(answer)}`);
      if (!dialogue.isIdle)
        throw new Stopped("STARTTLS", "the host sent bytes in the clear behind its answer to STARTTLS");
    }
    const context = await this.#contexts.get({ hasTickets: true, caFile: this.#target.caFile, ...trial.terms });
    if (!context.ok) {
      const stage = trial.about === "policy" ? "terms" : "handshake";
      return { ok: false, stage, text: `not tried: ${context.problem}` };
    }
    const anchors = await readAnchors(this.#target.caFile ?? SYSTEM_ANCHORS);
    this.seen.authorities = context.value.problem ?? anchors.origin;
    const handshaken = await this.#engine.connect(raw, {
      deadlineMs: STEP_MS,
      serverName: trial.serverName ?? name,
      context: context.value.context,
      verify: (shown) => {
        this.#shown(shown);
        return verify(shown, { by: "authorities", names: [name] }, systemClock.now());
      },
      ...(trial.about === "usual" || trial.isResuming === true ? { sessionKey: "probe" } : {}),
    });
    if (!handshaken.ok) {
      const { finding } = handshaken;
      return { ok: false, stage: "handshake", text: finding.sentence, finding };
    }
    return await this.#leave(handshaken.connection);
  }

  async #leave(connection: TlsConnection): Promise<Result> {
    const { isImplicit, helo } = this.#target;
    let quitReply: string | undefined;
    let finding: TlsFinding | undefined;
    let isHeard = false;
    // RFC 8446 section 4.4.2.4: a server of TLS 1.3 judges our part of the handshake when for us it is done.
    connection.onFinding((told) => {
      if (!isHeard && connection.facts.version === "TLSv1.3") finding = told;
    });
    connection.socket.once("data", () => {
      isHeard = true;
    });
    try {
      using dialogue = new Dialogue(connection.socket);
      if (isImplicit) this.#greeted(await dialogue.reply("greeting"));
      const extensions = this.#extensions(await dialogue.say(`EHLO ${helo}`, "EHLO"));
      this.seen.offersUnderTls ??= keywordsOf(extensions);
      quitReply = replyText(await dialogue.say("QUIT", "EHLO"));
    } catch (thrown) {
      quitReply = `no orderly end: ${messageOf(thrown)}`;
    }
    const closing = await connection.close(CLOSE_MS);
    if (finding !== undefined) return { ok: false, stage: "handshake", text: finding.sentence, finding };
    return { ok: true, facts: connection.facts, closing, quitReply };
  }

  #greeted(reply: Reply): void {
    this.seen.greeting ??= replyText(reply);
    if (reply.code !== 220) throw new Stopped("greeting", `the host does not want us: ${replyText(reply)}`);
  }

  #extensions(reply: Reply): Extensions {
    if (reply.code !== 250) throw new Stopped("EHLO", `the host refused EHLO: ${replyText(reply)}`);
    return parseExtensions(reply);
  }

  #shown({ certificates }: ShownChain): void {
    if (this.seen.chain.length > 0) return;
    this.seen.chain = certificates.slice(0, 10).flatMap((der) => {
      try {
        return [described(new X509Certificate(der))];
      } catch {
        return [];
      }
    });
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
}

/** Replies of one stream, one after the other, each within its time. */
class Dialogue {
  readonly #stream: Duplex;
  readonly #parser = new ReplyParser();
  readonly #replies: Reply[] = [];
  #ended: string | undefined;
  #wake: (() => void) | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", this.#onData);
    stream.on("end", this.#onEnd);
    stream.on("close", this.#onEnd);
    stream.on("error", this.#onError);
  }

  get isIdle(): boolean {
    return this.#parser.isIdle && this.#replies.length === 0 && this.#stream.readableLength === 0;
  }

  async say(line: string, stage: ProbeStage): Promise<Reply> {
    this.#stream.write(`${line}\r\n`);
    return await this.reply(stage);
  }

  async reply(stage: ProbeStage): Promise<Reply> {
    const untilMs = systemClock.monotonicMs() + STEP_MS;
    for (;;) {
      const reply = this.#replies.shift();
      if (reply !== undefined) return reply;
      if (this.#ended !== undefined) throw new Stopped(stage, this.#ended);
      const leftMs = untilMs - systemClock.monotonicMs();
      if (leftMs <= 0) throw new Stopped(stage, `the host was silent for ${STEP_MS / 1000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The stream is somebody else's from here on; what fails in it until then hurts nobody. */
  [Symbol.dispose](): void {
    this.#stream.pause();
    this.#stream.off("data", this.#onData);
    this.#stream.off("end", this.#onEnd);
    this.#stream.off("close", this.#onEnd);
  }

  readonly #onData = (bytes: Buffer): void => {
    for (const event of this.#parser.push(bytes)) {
      if (event.kind === "reply") this.#replies.push(event.reply);
      else this.#ended = `the host does not speak SMTP: ${event.text}`;
    }
    this.#wake?.();
  };

  readonly #onEnd = (): void => {
    this.#ended ??= "the host closed the connection";
    this.#wake?.();
  };

  readonly #onError = (error: Error): void => {
    this.#ended ??= messageOf(error);
    this.#wake?.();
  };
}

function keywordsOf(extensions: Extensions): readonly string[] {
  return [...extensions.keywords].map(([keyword, parameters]) => [keyword, ...parameters].join(" "));
}

function described(certificate: X509Certificate): ShownCertificate {
  const { asymmetricKeyType = "unknown", asymmetricKeyDetails: details } = certificate.publicKey;
  const size =
    details?.namedCurve ?? (details?.modulusLength === undefined ? undefined : `${details.modulusLength} bits`);
  const oneLine = (text: string | undefined): string => (text ?? "").split("\n").toReversed().join(",");
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    names: dnsNamesOf(certificate),
    notAfterAt: certificate.validToDate.getTime(),
    key: size === undefined ? asymmetricKeyType : `${asymmetricKeyType} ${size}`,
    fingerprint: fingerprintOf(certificate),
  };
}
