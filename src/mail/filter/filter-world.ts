import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import type { LineTrace } from "../../foundation/line-trace.ts";
import type { Random } from "../../foundation/random.ts";
import type { Resolver } from "../../protocol/dns/resolver.ts";
import type { SigningKeeper } from "../../service/signing/signing-keys.ts";
import type { SystemTrust } from "../../service/table/pool/system-trust.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { DmarcObservation } from "./authentication/dmarc-observation.ts";

/** What the makers of filters are given of the rest of the server. */
export interface FilterWorld {
  readonly clock: Clock;
  readonly random: Random;
  /** For what a filter has to say that is no answer: that it can't be reached, that it can again. See `events.ts`. */
  readonly emit: Emit;
  readonly resolver: Resolver;
  readonly tables: Tables;
  /** For servers that are asked over TLS, where the settings name no authorities. */
  readonly trust: SystemTrust;
  /** The server's name. */
  readonly hostname: string;
  /** For the `X.Y` of programs that ask who we are. */
  readonly version: string;
  /** The dialogues with filters, while somebody wants to see them. */
  readonly trace: LineTrace;
  /** What `passwordFile` and `secretFile` of filters hold, by the filter's name. */
  readonly secrets: Readonly<Record<string, string>>;
  /** The keys that mail is signed with; without it there are none, and nothing is signed. */
  readonly signing?: SigningKeeper | undefined;
  /** Remembers a mail for the report that its domain wants of DMARC. Must not throw and must not wait. */
  readonly observeDmarc?: ((observation: DmarcObservation) => void) | undefined;
}
