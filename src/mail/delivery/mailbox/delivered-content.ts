import { messageOf } from "../../../foundation/error.ts";
import type { Body } from "../../queue/store.ts";
import type { LocalRequest } from "../delivery.ts";
import { deliveryFields, MailboxContent } from "./mailbox-content.ts";

/** The content from its beginning. Rejects when it cannot be read. */
export type OpenBody = (body: Body) => Promise<AsyncIterable<Uint8Array>>;

/** The body could not be read: that is about the queue, not about the mailbox. */
export class BodyUnreadable extends Error {
  override readonly name = "BodyUnreadable";
}

const PORTION_BYTES = 64 * 1024;

/**
 * What final delivery hands over: our fields, then the content in the mailbox's line ends. Rejects with `BodyUnreadable`
 * before its end when the queue's copy is not whole.
 */
export async function* deliveredContent(
  request: LocalRequest,
  quotesFromLines: boolean,
  openBody: OpenBody,
): AsyncGenerator<Buffer> {
  const { message, envelope, body } = request;
  const content = new MailboxContent({ isBinary: message.content === "binary", quotesFromLines });
  // Collected into large portions: each one costs a trip to the disk's thread.
  let portion: Buffer[] = [Buffer.from(deliveryFields(message, envelope))];
  let portionBytes = 0;
  let sizeBytes = 0;
  try {
    for await (const chunk of await openBody(body)) {
      sizeBytes += chunk.length;
      const converted = content.push(chunk);
      portion.push(converted);
      portionBytes += converted.length;
      if (portionBytes < PORTION_BYTES) continue;
      yield Buffer.concat(portion);
      portion = [];
      portionBytes = 0;
    }
  } catch (thrown) {
    throw new BodyUnreadable(`the queued content could not be read: ${messageOf(thrown)}`, { cause: thrown });
  }
  const expected = body.kind === "inline" ? body.bytes.length : body.sizeBytes;
  if (sizeBytes !== expected)
    throw new BodyUnreadable(`the queued content has ${sizeBytes} bytes where ${expected} were stored`);
  yield Buffer.concat([...portion, content.end()]);
}
