import type { Socket } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { LineTrace } from "../../foundation/line-trace.ts";
import type { Logins } from "../../service/account/logins.ts";
import type { CertificateIdentifier } from "../../service/account/client-certificate.ts";
import type { FlightSampler } from "../../service/tls/flight/flight-sampler.ts";
import type { Tracer } from "../../service/tls/tracer/tracer.ts";
import type { TlsConnection, TlsServer } from "../../service/tls/tls.ts";
import type { ChosenTargets } from "../envelope/rules.ts";
import type { Filters } from "../filter/filters.ts";
import type { EnvelopePolicy } from "../envelope/policy.ts";
import type { DomainWaker, Intake, QueuePort } from "../queue/queue.ts";
import type { Allowance } from "./allowance.ts";
import type { Peer, Terms } from "./state.ts";

/** What sessions ask of the rest of the server, and what runs one is given and gives back. */
export interface SessionServices {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly newMessageId: () => MessageId;
  readonly intake: Intake;
  readonly queue: QueuePort;
  readonly policy: EnvelopePolicy;
  /** For ETRN at a listener; absent: nobody's mail is woken. */
  readonly waker?: ((listener: string) => DomainWaker) | undefined;
  /** Who else has a say; absent: nobody. */
  readonly filters?: Pick<Filters, "open"> | undefined;
  /** Rules alone, for mail that filters tagged, or gave another sender, when it had come whole; absent: neither matters. */
  readonly judgeAgain?: EnvelopePolicy["judgeRecipient"] | undefined;
  /** A rule asks for tags. */
  readonly rulesAskTags?: boolean | undefined;
  /** What an address stands for that a filter added; absent: none is added. */
  readonly chooseTargets?: ((recipient: string) => Promise<ChosenTargets>) | undefined;
  readonly logins: Logins;
  /** Who clients are by their certificates; absent: nobody. */
  readonly certificates?: CertificateIdentifier | undefined;
  readonly tls: TlsServer;
  /** What of TLS connections the log shows besides; absent: nothing. */
  readonly tracer?: Tracer | undefined;
  /** Shows dialogues while somebody wants to see them. */
  readonly trace?: LineTrace | undefined;
  /** Which handshakes are worth keeping in the journal; absent: none. */
  readonly flights?: FlightSampler | undefined;
}

export interface KnownClient {
  readonly account: string;
  /** By what it is known, for the log: `PEERCRED`. */
  readonly mechanism: string;
}

export interface SessionOptions {
  readonly socket: Socket;
  readonly terms: Terms;
  readonly peer: Peer;
  /** Implicit TLS is up. */
  readonly tls?: TlsConnection | undefined;
  readonly allowance: Allowance;
  /** Who the client is, where that is known without a login: a user of this host at a socket of ours. */
  readonly known?: KnownClient | undefined;
  readonly services: SessionServices;
  /** What the client sent before it was greeted. */
  readonly early?: Buffer | undefined;
  /** The session is over. Its socket is closed, or, under TLS, its end is being waited for and is no longer anybody's matter. */
  readonly onEnd: (summary: SessionSummary) => void;
}

export interface SessionSummary {
  /** As the session knew it in the end: XCLIENT may have changed it. */
  readonly peer: Peer;
  /** `ehlo=1 mail=1 … commands=5` */
  readonly commands: string;
}

export interface RunningSession {
  /** No new transaction; an idle session ends at once with 421, others when their transaction is done. */
  stop(): void;
  /** At once, without a word. */
  destroy(): void;
}
