import { escapeControls } from "../../../foundation/escape.ts";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";

/**
 * What an error of Node's TLS says in numbers. Names of OpenSSL's errors differ between versions; the number in the code
 * at the start of the message does not (`0A000410`: library 20, reason 1040; a reason above 1000 is an alert of the peer).
 */
export interface ErrorNumbers {
  /** Of OpenSSL's TLS library; undefined for errors of others that say nothing of TLS. */
  readonly reason?: number | undefined;
  readonly alert?: number | undefined;
  /** Node's or the system's own code: `ECONNRESET`, `ERR_TLS_SESSION_ATTACK`. OpenSSL's names (`ERR_SSL_...`) are not given. */
  readonly code?: string | undefined;
  /** One line for people, without addresses and source lines. */
  readonly text: string;
}

const TLS_LIBRARY = 20;
/** Of OpenSSL's ciphers: in TLS 1.2 with AES-GCM it is they who say that a record does not decrypt. */
const PROVIDER_LIBRARY = 57;
const CIPHER_OPERATION_FAILED = 102;
/** What the TLS library says of such a record by itself. */
const DECRYPTION_FAILED_OR_BAD_RECORD_MAC = 281;

export function errorNumbers(error: unknown): ErrorNumbers {
  const whole = messageOf(error);
  const found = /(?:^|:)error:([0-9A-F]{8}):([^:]*):([^:]*):([^:]*)/i.exec(whole);
  if (found === null) return { code: systemCodeOf(error), text: oneLine(whole) };
  const packed = Number.parseInt(found[1] ?? "", 16);
  const text = oneLine((found[4] ?? "").trim() || whole);
  // OpenSSL 3: the highest bit says "a system error", then 8 bits of library, then 23 of reason.
  const library = (packed >>> 23) & 0xff;
  const reason = packed & 0x7fffff;
  if (packed > 0x7fffffff) return { text };
  if (library === PROVIDER_LIBRARY && reason === CIPHER_OPERATION_FAILED)
    return { reason: DECRYPTION_FAILED_OR_BAD_RECORD_MAC, text };
  if (library !== TLS_LIBRARY) return { text };
  const alert = reason >= 1000 && reason < 1256 ? reason - 1000 : undefined;
  return { reason, alert, text };
}

function oneLine(text: string): string {
  return escapeControls(text.replaceAll(/\s+/g, " ").trim().slice(0, 200)).replace(/\.+$/, "");
}
