import { z } from "zod";
import { count, duration, size } from "../../service/config/kinds.ts";

/**
 * What a session may cost: sizes, counts and waits. One common declaration, and each listener may override any field.
 * The waits are those of RFC 5321 section 4.5.3.2 as the server meets them.
 */
const fields = {
  messageSize: size({ min: "64KiB", max: "4GiB" })
    .prefault("50MiB")
    .describe("The largest message accepted, as sent by the client; announced with SIZE."),
  headerSize: size({ min: "8KiB", max: "16MiB" })
    .prefault("256KiB")
    .describe("The largest header section accepted, all fields together."),
  hops: count({ min: 5, max: 10_000 })
    .prefault(100)
    .describe("How many Received fields a message may carry; one with more is taken for a loop."),
  recipients: count({ min: 100, max: 100_000 })
    .prefault(1000)
    .describe("Recipients of one message; those beyond get 452 and may come in another transaction."),
  messagesPerSession: count({ min: 0, max: 1_000_000 })
    .prefault(0)
    .describe("Messages in one session before the client is asked to connect anew; 0 is any number."),
  commandLine: size({ min: "512", max: "64KiB" })
    .prefault("4KiB")
    .describe("The longest command line, its end included. RFC 5321 asks for 512, extensions for some more."),
  contentLine: size({ min: "0", max: "1GiB" })
    .prefault("0")
    .describe("The longest line of content, its end not counted; 0 is any length. RFC 5321 promises no more than 998."),
  errors: count({ min: 1, max: 10_000 }).prefault(20).describe("Refused commands after which the session is ended."),
  idleCommands: count({ min: 10, max: 1_000_000 })
    .prefault(100)
    .describe("Commands that bring no mail forward (NOOP, RSET, VRFY, ...) between two messages."),
  authenticationFailures: count({ min: 1, max: 100 })
    .prefault(3)
    .describe("Wrong passwords after which the session is ended."),
  commandTimeout: duration({ min: "1s", max: "1h" })
    .prefault("5m")
    .describe("How long the client may take for its next command (RFC 5321 section 4.5.3.2.7)."),
  dataTimeout: duration({ min: "1s", max: "1h" })
    .prefault("3m")
    .describe("How long the client may be silent while it sends content (RFC 5321 section 4.5.3.2.5)."),
  replyTimeout: duration({ min: "1s", max: "1h" })
    .prefault("5m")
    .describe("How long the client may leave our replies untaken."),
  handshakeTimeout: duration({ min: "1s", max: "10m" }).prefault("30s").describe("How long a TLS handshake may take."),
  tlsCloseTimeout: duration({ min: "0s", max: "1m" })
    .prefault("3s")
    .describe("How long the end of TLS is waited for after ours. Nothing else waits: the session has ended before."),
  questionTimeout: duration({ min: "100ms", max: "10m" })
    .prefault("1m")
    .describe("How long rules, tables or the password check may take before the client is told to come again."),
  commitTimeout: duration({ min: "1s", max: "10m" })
    .prefault("5m")
    .describe("How long keeping a message may take before the client is told to come again."),
  sessionTimeout: duration({ min: "1m", max: "7d" })
    .prefault("4h")
    .describe("How long a session may last in all; a message being received is finished first."),
  slowestRate: size({ min: "0", max: "1MiB" })
    .prefault("100")
    .describe("Bytes per second below which a sender of content is cut, once the grace is over; 0 cuts nobody."),
  slowGrace: duration({ min: "1s", max: "1h" })
    .prefault("1m")
    .describe("How long a sender of content may stay below the slowest rate."),
  futureRelease: duration({ min: "0s", max: "90d" })
    .prefault("7d")
    .describe("The longest hold that FUTURERELEASE (RFC 4865) may ask for on a submission listener; 0s turns it off."),
} as const;

type Fields = typeof fields;
type Overrides = { [Name in keyof Fields]: z.ZodOptional<ReturnType<Fields[Name]["unwrap"]>> };

export const sessionSettings = z.strictObject(fields).prefault({});
export type SessionSettings = z.output<typeof sessionSettings>;

/** The same fields without defaults, for one listener: a field left out keeps the common value. */
export const sessionOverrides = z.strictObject(
  // Each entry is built from the field of the same name, which is what the mapped type says.
  Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [
      name,
      field
        .unwrap()
        .optional()
        .describe(field.description ?? ""),
    ]),
  ) as Overrides,
);
export type SessionOverrides = z.output<typeof sessionOverrides>;
