import { messageOf, systemCodeOf } from "../../foundation/error.ts";

/**
 * Why a handshake failed, in words for the log: OpenSSL's own text without its addresses, codes and source lines, and the
 * number of the alert when the peer sent one. Names of OpenSSL's errors differ between versions; the number of an alert
 * in its code does not.
 */
export function tlsErrorText(error: Error): string {
  const reason = /^[0-9A-F]+:error:[0-9A-F]{2}([0-9A-F]{6}):([^:]*):([^:]*):([^:]*)/i.exec(error.message);
  if (reason !== null) {
    const alert = (Number.parseInt(reason[1] ?? "", 16) & 0x7fffff) - 1000;
    const text = (reason[4] ?? "").trim() || (systemCodeOf(error) ?? "handshake failure");
    return alert > 0 && alert < 256 ? `${text} (alert ${alert} from the peer)` : text;
  }
  // Node's words, with ECONNRESET, for a plain end of the connection.
  if (/socket hang up|socket disconnected before secure/.test(error.message))
    return "the peer closed the connection during the handshake";
  return messageOf(error);
}
