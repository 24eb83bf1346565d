import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExtensions } from "../../../protocol/smtp/extensions.ts";
import type { Envelope, Message } from "../../envelope/envelope.ts";
import { failureText } from "../../envelope/failure-text.ts";
import { sentenceFor } from "../bounce/sentence.ts";
import { smtpClientSettings } from "../settings.ts";
import { commandsOf, needsScan, offerOf } from "./requirements.ts";

const HOST = "mx.example[192.0.2.1]:25";
const message: Message = {
  id: "M1",
  sender: "a@us.example",
  receivedAt: 0,
  sizeBytes: 100,
  content: "binary",
  isInternational: false,
  origin: { listener: "l", protocol: "ESMTP", session: "x" },
};
const envelopes: readonly Envelope[] = [
  { id: "M1.1", message: "M1", recipient: "b@x.example", notify: [], action: "relay" },
];

function offer(written: object, isContentFilter = false, keywords = ["CHUNKING", "BINARYMIME", "PIPELINING"]) {
  const extensions = parseExtensions({ code: 250, lines: ["mx.example", ...keywords] });
  return offerOf(extensions, { host: HOST }, smtpClientSettings.parse(written), isContentFilter);
}

test("with `chunking: never`, and to content filters, binary content is not sent, and whose wish that is is said", () => {
  for (const kept of [offer({ chunking: "never" }), offer({}, true)]) {
    assert.ok(needsScan(message, kept));
    const failure = commandsOf(message, envelopes, kept, 0, { content: "binary", headerIsAscii: true });
    assert.ok("cause" in failure);
    assert.deepEqual(failure.cause, { kind: "unsupported", extension: "BINARYMIME", isWithheld: true });
    for (const text of [failureText(failure), sentenceFor(failure)])
      assert.match(text, /needs BINARYMIME, which this server does not use/);
    // What only claimed to be binary goes as what it is.
    const commands = commandsOf(message, envelopes, kept, 0, { content: "7bit", headerIsAscii: true });
    assert.ok("mail" in commands && !commands.isBinary);
  }
});

test("binary content goes to who takes it, and is refused by who does not", () => {
  const commands = commandsOf(message, envelopes, offer({ chunking: "needed" }), 0);
  assert.ok("mail" in commands && commands.isBinary);
  const lacking = commandsOf(message, envelopes, offer({ chunking: "never" }, false, ["CHUNKING"]), 0);
  assert.ok("cause" in lacking);
  assert.deepEqual(lacking.cause, { kind: "unsupported", extension: "BINARYMIME" });
  assert.match(failureText(lacking), /does not offer BINARYMIME/);
});

test("ENVID and RET go with whom they are for, and not with a list's members", () => {
  const wished: Message = { ...message, content: "7bit", dsnReturn: "HDRS", dsnEnvelopeId: "QQ1" };
  const mailTo = (...members: readonly (true | undefined)[]): string => {
    const to = members.flatMap((isListMember) => envelopes.map((one) => ({ ...one, isListMember })));
    const commands = commandsOf(wished, to, offer({}, false, ["DSN"]), 0);
    assert.ok("mail" in commands);
    return commands.mail;
  };
  assert.equal(mailTo(undefined), "MAIL FROM:<a@us.example> RET=HDRS ENVID=QQ1\r\n");
  assert.equal(mailTo(true, true), "MAIL FROM:<a@us.example>\r\n");
  // Of one sender, so the list's owner wrote it: they are his own wishes.
  assert.equal(mailTo(true, undefined), "MAIL FROM:<a@us.example> RET=HDRS ENVID=QQ1\r\n");
});
