import { channelBinding } from "../../service/tls/bindings.ts";
import type { TlsFinding } from "../../service/tls/finding/finding.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import type { Closing } from "../../service/tls/facts.ts";
import { tlsOnPlaintext } from "../../service/tls/finding/plaintext-hello.ts";
import type { TlsConnection } from "../../service/tls/tls.ts";
import type { SessionServices } from "./services.ts";
import type { Action, Session, Terms } from "./state.ts";
import { standOf, tellClosed, tellTrouble, type Stand } from "./tls-lines.ts";

/** What a driver lends for its TLS connection. */
export interface TlsOwner {
  readonly terms: Terms;
  readonly services: Pick<SessionServices, "clock" | "flights">;
  readonly session: () => Session;
  readonly perform: (action: Action) => void;
  /** The connection is being cut; in words. */
  readonly onTrouble: (sentence: string) => void;
}

/** A session's TLS connection, while there is one: what is told of it, and how it ends. */
export class SessionTls {
  readonly #owner: TlsOwner;
  #connection: TlsConnection | undefined;
  #stood: Stand | undefined;

  constructor(owner: TlsOwner) {
    this.#owner = owner;
  }

  get isUp(): boolean {
    return this.#connection !== undefined;
  }

  take(connection: TlsConnection): void {
    const { terms, session, perform, onTrouble } = this.#owner;
    this.#connection = connection;
    connection.onFinding((finding) => {
      onTrouble(finding.sentence);
      perform(tellTrouble(terms, session().facts.peer, this.bounded(finding)));
    });
    connection.onClosed((closing) => {
      const stand = this.#stood ?? standOf(session());
      perform(tellClosed(terms, session().facts.peer, closing, stand));
    });
  }

  /** The dialogue breaks off here: that decides what the end of TLS means. */
  breaksOff(): void {
    this.#stood ??= standOf(this.#owner.session());
  }

  /** What went over the wire, where it is worth keeping. */
  flight(): Flight | undefined {
    const { services, session } = this.#owner;
    const address = session().facts.peer.address ?? "";
    if (this.#connection === undefined) return undefined;
    return services.flights?.flightOf(this.#connection, address, services.clock.now());
  }

  bounded(finding: TlsFinding): TlsFinding {
    const { flights, clock } = this.#owner.services;
    return flights?.bounded(finding, clock.now()) ?? { ...finding, flight: undefined };
  }

  /** A ClientHello came where plaintext is spoken. */
  strayHello(bytes: Buffer): TlsFinding {
    return this.bounded(tlsOnPlaintext(bytes, this.#owner.services.clock));
  }

  /**
   * What a login can be tied to; undefined for what this connection has not. tls-unique of a resumed session is not: without
   * an extended master secret, which cannot be seen from here, somebody in between can make it the same on both sides.
   */
  binding(kind: string): Buffer | undefined {
    const connection = this.#connection;
    if (connection === undefined || (kind === "tls-unique" && connection.facts.isResumed)) return undefined;
    return channelBinding(kind, connection);
  }

  /** How the client ended it; undefined without TLS. */
  get end(): Closing["peer"] | undefined {
    return this.#connection?.closing().peer;
  }

  /** Our close_notify, the client's, the end of TCP: nobody and nothing waits for it. */
  leave(deadlineMs: number): void {
    void this.#connection?.close(deadlineMs);
  }

  destroy(): void {
    this.#connection?.destroy();
  }
}
