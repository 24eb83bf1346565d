import type { FilterMail } from "../filter.ts";
import type { HookEventJson } from "./event.ts";
import type { HttpHookSettings } from "./settings.ts";

/** What is posted: its type, its length, and its octets, which may be read more than once and are always the same. */
export interface QuestionBody {
  readonly contentType: string;
  readonly sizeBytes: number;
  read(): AsyncIterable<Buffer>;
}

/** An event alone, or with the mail as the settings want it. `boundary`: something that stands in no mail. */
export function questionBody(
  event: HookEventJson,
  mail: FilterMail | undefined,
  form: HttpHookSettings["content"],
  boundary: string,
): QuestionBody {
  const json = JSON.stringify(event);
  if (mail === undefined || form === "header") return plain(Buffer.from(json), undefined, "", "application/json");
  if (form === "base64") {
    // `message` is an object, and the last name of the event.
    const before = `${json.slice(0, -2)},"content":"`;
    return plain(Buffer.from(before), mail, '"}}', "application/json");
  }
  const before = [
    `--${boundary}`,
    'Content-Disposition: form-data; name="event"',
    "Content-Type: application/json",
    "",
    json,
    `--${boundary}`,
    'Content-Disposition: form-data; name="message"; filename="message.eml"',
    "Content-Type: message/rfc822",
    "",
    "",
  ].join("\r\n");
  const after = Buffer.from(`\r\n--${boundary}--\r\n`);
  const start = Buffer.from(before);
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    sizeBytes: start.length + mail.sizeBytes + after.length,
    async *read() {
      yield start;
      yield* mail.content();
      yield after;
    },
  };
}

/** Text around a mail in base64. */
function plain(before: Buffer, mail: FilterMail | undefined, after: string, contentType: string): QuestionBody {
  const end = Buffer.from(after);
  return {
    contentType,
    sizeBytes: before.length + (mail === undefined ? 0 : 4 * Math.ceil(mail.sizeBytes / 3)) + end.length,
    async *read() {
      yield before;
      if (mail !== undefined) yield* base64(mail.content());
      if (end.length > 0) yield end;
    },
  };
}

/** Without line ends. What does not fill three octets waits for the next piece. */
async function* base64(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const piece of pieces) {
    const all = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const whole = all.length - (all.length % 3);
    rest = Buffer.from(all.subarray(whole));
    if (whole > 0) yield Buffer.from(all.toString("base64", 0, whole), "latin1");
  }
  if (rest.length > 0) yield Buffer.from(rest.toString("base64"), "latin1");
}
