import type { Clock } from "../../../foundation/clock.ts";
import type { TlsFinding } from "./finding.ts";
import { FlightRecorder } from "../flight/flight-recorder.ts";
import { explain } from "./reasons.ts";

/** TLS came to a port, or at a moment, where plaintext is spoken: a finding with what the ClientHello said, if it was one. */
export function tlsOnPlaintext(bytes: Uint8Array, clock: Clock): TlsFinding {
  const recorder = new FlightRecorder({ role: "server", clock });
  recorder.feed("in", bytes);
  const known = "tls-on-plaintext-port";
  return explain({
    role: "server",
    flight: recorder.flight(),
    end: "local",
    phase: "plaintext",
    afterMs: recorder.elapsedMs,
    context: { known },
  });
}
