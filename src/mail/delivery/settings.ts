import { z } from "zod";
import { count, duration, path, size } from "../../service/config/kinds.ts";
import { tlsClientSettings } from "./tls-policy/settings.ts";

const atMost = { min: "1s", max: "1h" } as const;

/** Delivery over SMTP and LMTP. The waits are those of RFC 5321 section 4.5.3.2. */
export const smtpClientSettings = z
  .strictObject({
    addressFamilies: z
      .enum(["any", "ipv4", "ipv6"])
      .default("any")
      .describe("Which addresses of a next host are tried."),
    connectTimeout: duration(atMost).prefault("30s").describe("How long a connection may take to be made."),
    greetingTimeout: duration(atMost).prefault("5m").describe("How long the next host may take to greet."),
    tlsTimeout: duration(atMost).prefault("30s").describe("How long a TLS handshake may take."),
    commandTimeout: duration(atMost)
      .prefault("5m")
      .describe("How long the answer to EHLO, AUTH, MAIL, RCPT or RSET may take."),
    dataTimeout: duration(atMost).prefault("2m").describe("How long the answer to DATA may take."),
    blockTimeout: duration(atMost)
      .prefault("3m")
      .describe("How long the next host may take to read a block of content."),
    endOfDataTimeout: duration(atMost)
      .prefault("10m")
      .describe("How long the answer to the end of the content may take. Giving up here risks a duplicate (RFC 1047)."),
    tlsCloseTimeout: duration({ min: "0s", max: "1m" })
      .prefault("3s")
      .describe(
        "How long the end of TLS is waited for after ours. Nothing else waits: what became of the mail is known.",
      ),
    quitTimeout: duration({ min: "100ms", max: "5m" })
      .prefault("5s")
      .describe("How long QUIT and the end of the connection may take."),
    transactionTimeout: duration({ min: "1m", max: "1d" })
      .prefault("3h")
      .describe("How long one transaction may take in all, however diligently the next host goes on."),
    idleTimeout: duration({ min: "1s", max: "1h" })
      .prefault("2m")
      .describe("A session without work is left after this time."),
    chunking: z
      .enum(["offered", "needed", "never"])
      .default("offered")
      .describe(
        "When BDAT is used instead of DATA: whenever the next host offers CHUNKING and PIPELINING, only for BINARYMIME, or never; then binary content is returned to its sender.",
      ),
    eagerBody: size({ max: "1MiB" })
      .prefault("16KiB")
      .describe(
        "With BDAT, content up to this size goes out together with MAIL and RCPT, without waiting for their answers; 0 never.",
      ),
    eightBit: z
      .enum(["bounce", "send"])
      .default("bounce")
      .describe(
        "What happens to 8-bit content for a next host without 8BITMIME: returned (RFC 6152 section 3) or sent all the same.",
      ),
    mostRecipients: count({ min: 1, max: 10_000 }).default(100).describe("Most recipients in one transaction."),
    caFile: path()
      .optional()
      .describe("A PEM file with the certificate authorities that are trusted. Without it: those of the system."),
    tlsFailuresKept: duration({ max: "1d" })
      .prefault("1h")
      .describe(
        "Where plaintext is allowed, a host whose handshake failed gets plaintext at once for this long; 0s never.",
      ),
    tls: tlsClientSettings,
  })
  .prefault({})
  .describe("Delivery over SMTP and LMTP.");

export type SmtpClientSettings = z.output<typeof smtpClientSettings>;
