import type { Socket } from "node:net";
import { duplexPair } from "node:stream";
import { dialledOver } from "../../admin/cli/sendmail/dialled.io.ts";
import { injectMessage, type Injected } from "../../admin/cli/sendmail/inject.ts";
import type { OutgoingMessage } from "../../admin/cli/sendmail/outgoing-message.ts";
import type { SendmailRequest } from "../../admin/cli/sendmail/sendmail-arguments.ts";
import type { KnownClient } from "../../mail/session/services.ts";

/** Hands a mail to reception in this process as a user of this host would over the socket. Never rejects. */
export function submitInside(
  accept: (socket: Socket, known: KnownClient) => void,
  known: KnownClient,
  message: OutgoingMessage,
  hostname: string,
  wishes: Pick<SendmailRequest, "notify" | "dsnReturn" | "envelopeId" | "verp"> = {},
): Promise<Injected> {
  const [ours, theirs] = duplexPair();
  const gone = new AbortController();
  theirs.once("close", () => gone.abort());
  // Reception asks a socket for its address only, and this one has none.
  accept(theirs as unknown as Socket, known);
  const request: SendmailRequest = {
    mode: "mail",
    recipientsFromHeader: false,
    ignoresDots: true,
    recipients: [],
    wantsHelp: false,
    ...wishes,
  };
  return injectMessage(dialledOver(ours, gone.signal), message, request, hostname);
}
