import { z } from "zod";
import { size } from "../../config/kinds.ts";
import type { TraceLevel } from "./trace-switches.ts";

const level = z
  .number()
  .int()
  .min(0)
  .max(4)
  // The check above has left these five.
  .transform((number) => number as TraceLevel);

const levels = (says: string) => z.record(z.string().min(1).max(255), level).prefault({}).describe(says);

/** `tls.trace`: how much the log shows of TLS connections, until `posthorn trace tls` says otherwise. */
export const traceSettings = z
  .strictObject({
    level: level
      .prefault(1)
      .describe(
        "For all that nothing below names. 0: nothing but failures; 1: one line a handshake and one at its end; 2: the steps; 3: hex and ASCII of the handshake; 4: of everything, as on the wire.",
      ),
    listeners: levels("Levels of listeners, by name."),
    relays: levels(
      "Levels of connections to next hosts, by the relay, the host's name, host:port, or, where MX records decide, the domain.",
    ),
    peers: levels("Levels of peers, by address, network, host name or domain; these go before the others."),
    most: size({ min: "1KiB", max: "16MiB" })
      .prefault("64KiB")
      .describe("Of one connection at most this many bytes are shown (levels 3 and 4)."),
  })
  .prefault({});
