import type { Clock } from "../../foundation/clock.ts";
import { AuthMasker } from "../../protocol/smtp/auth-masker.ts";
import { Tracer } from "../../service/tls/tracer/tracer.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/** The eye of one process on its TLS connections. `dump` takes decrypted lines to whoever writes their file. */
export function makeTracer(loaded: LoadedSettings, clock: Clock, dump: (file: string, text: string) => void): Tracer {
  return new Tracer({ clock, settings: loaded.settings.tls.trace, newMasker: () => new AuthMasker(), dump });
}
