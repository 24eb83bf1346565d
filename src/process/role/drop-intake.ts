import type { Socket } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { dropFolder, type DropFolder, type Handed } from "../../mail/connection/drop-folder.io.ts";
import type { DroppedMail } from "../../mail/connection/dropped-mail.ts";
import type { KnownClient } from "../../mail/session/services.ts";
import { parseMailbox, plainestAddress } from "../../protocol/address/mailbox.ts";
import { formatDateTime } from "../../protocol/message/date-time.ts";
import { sanitiseText } from "../../protocol/message/field.ts";
import { submitInside } from "./inner-submission.ts";
import { TRUSTED_ACCOUNT } from "../settings/local-users.ts";

/** Hands what waits in the drop folder to reception, as its users would have over the socket. */
export function dropIntake(parts: {
  readonly folder: string;
  readonly claimer: string;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly mostBytes: () => number;
  readonly hostname: () => string;
  /** The domain of users whom nobody names with one. */
  readonly mailName: () => Promise<string>;
  readonly accountOf: (uid: number) => Promise<string>;
  readonly accept: (socket: Socket, known: KnownClient) => void;
}): DropFolder {
  const hand = async (account: string, mail: DroppedMail, content: Buffer): Promise<Handed> => {
    const { sender, recipients, ...wishes } = mail;
    const known = { account, mechanism: "drop" };
    const message = { sender, recipients, content };
    const injected = await submitInside(parts.accept, known, message, parts.hostname(), wishes);
    switch (injected.kind) {
      case "taken":
        return { kind: "taken" };
      case "broken":
        return { kind: "later", text: injected.text };
      case "refused":
        return injected.isLasting
          ? { kind: "refused", lines: injected.lines }
          : { kind: "later", text: injected.lines.join("; ") };
    }
  };
  return dropFolder({
    ...parts,
    hand,
    async giveBack(account, mail, content, lines) {
      const sender = mail?.sender ?? "";
      const canAnswer = parseMailbox(sender, { isInternational: true }).ok;
      const to = canAnswer ? plainestAddress(sender) : `${account}@${await parts.mailName()}`;
      const notice = noticeOf(to, parts.hostname(), mail, content, lines, parts.clock.now());
      return hand(TRUSTED_ACCOUNT, { sender: "", recipients: [to] }, notice);
    },
  });
}

const MOST_RETURNED_BYTES = 256 * 1024;

/** What a user is told whose mail was refused after his program had ended. */
function noticeOf(
  to: string,
  hostname: string,
  mail: DroppedMail | undefined,
  content: Buffer,
  lines: readonly string[],
  nowAt: number,
): Buffer {
  const boundary = `posthorn-${nowAt.toString(36)}-returned`;
  const recipients = mail?.recipients ?? [];
  const text = [
    "You handed in a mail while the mail server was down. Now it has refused the mail, and sent it to nobody:",
    "",
    ...lines.map((line) => `    ${sanitiseText(line)}`),
    "",
    ...(recipients.length === 0
      ? []
      : [
          `It was for ${recipients.slice(0, 20).map(sanitiseText).join(", ")}${recipients.length > 20 ? " and others" : ""}.`,
        ]),
    content.length > MOST_RETURNED_BYTES ? "Only its beginning follows." : "It follows.",
  ];
  // What is no mail may be anything.
  const returned = content.subarray(0, MOST_RETURNED_BYTES);
  const [type, encoding, body] =
    mail === undefined
      ? ["application/octet-stream", "base64", Buffer.from(returned.toString("base64").replaceAll(/.{76}/g, "$&\r\n"))]
      : ["message/rfc822", "8bit", returned];
  const head = [
    `From: Mail server <MAILER-DAEMON@${hostname}>`,
    `To: <${sanitiseText(to)}>`,
    "Subject: Your mail was not sent",
    `Date: ${formatDateTime(nowAt, 0)}`,
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    ...text,
    "",
    `--${boundary}`,
    `Content-Type: ${type}`,
    `Content-Transfer-Encoding: ${encoding}`,
    "",
    "",
  ];
  return Buffer.concat([Buffer.from(head.join("\r\n")), body, Buffer.from(`\r\n--${boundary}--\r\n`)]);
}
