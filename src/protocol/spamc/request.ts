/**
 * What is asked of spamd (the SPAMC protocol, 1.5): a command, fields, an empty line, the mail.
 *
 * | command | answers |
 * |---|---|
 * | `CHECK` | the score |
 * | `SYMBOLS` | the score, and the names of the rules that matched |
 * | `HEADERS` | the header section as SpamAssassin would have it |
 * | `PROCESS` | the whole mail as SpamAssassin would have it |
 */
export const SPAMC_COMMANDS = ["CHECK", "SYMBOLS", "HEADERS", "PROCESS"] as const;
export type SpamcCommand = (typeof SPAMC_COMMANDS)[number];

/** What stands in front of the mail. `user`: whose preferences count; without what no such name has. */
export function spamcRequest(what: {
  readonly command: SpamcCommand;
  readonly sizeBytes: number;
  readonly user?: string | undefined;
}): Buffer {
  const user = what.user?.replace(/[^\x21-\x7e]/g, "").slice(0, MOST_USER) ?? "";
  return Buffer.from(
    `${what.command} SPAMC/1.5\r\nContent-length: ${what.sizeBytes}\r\n${user === "" ? "" : `User: ${user}\r\n`}\r\n`,
    "latin1",
  );
}

/** PING has neither fields nor a mail. */
export const SPAMC_PING: Buffer = Buffer.from("PING SPAMC/1.2\r\n\r\n", "latin1");

const MOST_USER = 256;
