import type { TlsRole } from "../facts.ts";
import type { TlsFinding, TlsReason } from "./finding.ts";
import { explain } from "./reasons.ts";

/** A failure that the driver knows outright, before a byte of TLS was there to show it. `detail` is one clause. */
export function knownFinding(
  known: Extract<TlsReason, "injection" | "too-many-handshakes">,
  about: { readonly role: TlsRole; readonly startedAt: number; readonly detail?: string | undefined },
): TlsFinding {
  const { role, startedAt, detail } = about;
  const flight = { role, startedAt, events: [], omitted: 0, bytes: { in: 0, out: 0 }, wire: [] } as const;
  const finding = explain({
    role,
    flight,
    end: "local",
    phase: "plaintext",
    afterMs: 0,
    context: { known, detail },
  });
  return { ...finding, flight: undefined };
}
