import type { ConnectionTrace } from "../../service/tls/tracer/tracer.ts";
import { tlsTrace } from "./events.ts";
import type { SessionServices } from "./services.ts";
import { clientText, type Peer } from "./state.ts";

/** Whose dialogue it is, in front of each line of it. */
export function dialogueName(about: { readonly session: string; readonly listener: string }, peer: Peer): string {
  return `${about.session} ${clientText(peer)} (${about.listener})`;
}

/** What the log is to show of a client's TLS connection, from its handshake on. */
export function traceOf(
  { tracer, emit }: Pick<SessionServices, "tracer" | "emit">,
  about: { readonly session: string; readonly listener: string },
  peer: Peer,
): ConnectionTrace | undefined {
  const { session, listener } = about;
  const names = peer.name === undefined ? [] : [peer.name];
  return tracer?.begin({ role: "server", session, address: peer.address, names, listener, relays: [] }, (line) =>
    emit(tlsTrace, { session, listener, client: clientText(peer), shown: line }),
  );
}
