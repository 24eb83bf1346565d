import assert from "node:assert/strict";
import { run } from "./running.ts";

/** A mail as python's mailbox and email modules read it. */
export interface PythonMail {
  /** All of it, as latin1 text. */
  readonly raw: string;
  readonly subject: string | null;
  readonly from: string | null;
  readonly to: string | null;
  readonly returnPath: string | null;
  readonly type: string;
  readonly reportType: string | null;
  /** Of a multipart, the parts. */
  readonly parts: readonly PythonPart[];
  /** What the parser found wrong, here and in the parts. */
  readonly defects: readonly string[];
}

export interface PythonPart {
  readonly type: string;
  /** Decoded text; of message/delivery-status and message/rfc822 the text inside. */
  readonly text: string;
  /** Of message/delivery-status: its blocks of fields, names in lower case. */
  readonly blocks: readonly Readonly<Record<string, string>>[];
}

const READER = String.raw`
import email, email.policy, json, mailbox, sys
def part(p):
    blocks = []
    if p.get_content_type() == "message/delivery-status":
        blocks = [{k.lower(): str(v) for k, v in b.items()} for b in p.get_payload()]
    elif p.get_content_type() == "message/global-delivery-status":
        # RFC 6533, in UTF-8; the email module takes it for one message.
        blocks = [{k.lower(): str(v) for k, v in email.message_from_string(block).items()}
            for block in p.get_payload()[0].as_bytes().decode().strip().split("\n\n")]
    if p.is_multipart():
        text = "".join(b.as_string() for b in p.get_payload())
    else:
        text = p.get_payload(decode=True).decode(p.get_content_charset("utf-8"), "replace")
    return dict(type=p.get_content_type(), text=text, blocks=blocks)
def one(raw):
    m = email.message_from_bytes(raw, policy=email.policy.default)
    isReport = m.get_content_maintype() == "multipart"
    field = lambda name: None if m[name] is None else str(m[name])
    return dict(raw=raw.decode("latin1"), subject=field("Subject"), returnPath=field("Return-Path"),
        type=m.get_content_type(), reportType=m.get_param("report-type"), to=field("To"), **{"from": field("From")},
        parts=[part(p) for p in m.get_payload()] if isReport else [],
        defects=[repr(d) for p in m.walk() for d in p.defects])
if sys.argv[1] == "stdin":
    print(json.dumps([one(sys.stdin.buffer.read())]))
else:
    box = mailbox.Maildir(sys.argv[2], create=False) if sys.argv[1] == "maildir" else mailbox.mbox(sys.argv[2], create=False)
    print(json.dumps([one(box.get_bytes(key)) for key in sorted(box.keys())]))
`;

/** The mails in a mailbox, as python's mailbox module reads them. */
export async function readWithPython(
  python: string,
  kind: "maildir" | "mbox",
  path: string,
): Promise<readonly PythonMail[]> {
  const done = await run(python, ["-c", READER, kind, path]);
  assert.equal(done.status, 0, done.output);
  // What our own program above printed.
  return JSON.parse(done.output) as PythonMail[];
}

/** One mail (latin1 text), as python's email module parses it. */
export async function parseWithPython(python: string, mail: string): Promise<PythonMail> {
  const done = await run(python, ["-c", READER, "stdin"], Buffer.from(mail, "latin1"));
  assert.equal(done.status, 0, done.output);
  const [parsed] = JSON.parse(done.output) as PythonMail[];
  assert.ok(parsed);
  return parsed;
}

const SENDER = String.raw`
import json, smtplib, ssl, sys
o = json.loads(sys.argv[1])
data = sys.stdin.buffer.read()
loose = ssl.create_default_context(); loose.check_hostname = False; loose.verify_mode = ssl.CERT_NONE
kind = {"smtp": smtplib.SMTP, "smtps": smtplib.SMTP_SSL, "lmtp": smtplib.LMTP}[o["protocol"]]
with kind("127.0.0.1", o["port"], timeout=30, **({"context": loose} if o["protocol"] == "smtps" else {})) as s:
    if o["starttls"]:
        s.starttls(context=loose)
    try:
        if o["user"]:
            s.login(o["user"], o["password"])
        refused = s.sendmail(o["from"], o["to"], data, mail_options=o["mail"], rcpt_options=o["rcpt"])
        print(json.dumps({"refused": {k: v[0] for k, v in refused.items()}}))
    except smtplib.SMTPResponseException as e:
        print(json.dumps({"error": type(e).__name__, "code": e.smtp_code}))
`;

export interface SmtplibMail {
  readonly port: number;
  readonly protocol?: "smtp" | "smtps" | "lmtp";
  readonly startsTls?: boolean;
  readonly login?: { readonly user: string; readonly password: string };
  readonly from: string;
  readonly to: readonly string[];
  readonly content: Buffer;
  /** Parameters of MAIL and RCPT. */
  readonly mail?: readonly string[];
  readonly rcpt?: readonly string[];
}

/** Sends one mail with python's smtplib. Gives the refused recipients with their codes, or the error's name and code. */
export async function sendWithPython(
  python: string,
  mail: SmtplibMail,
): Promise<{ refused?: Record<string, number>; error?: string; code?: number }> {
  const options = {
    port: mail.port,
    protocol: mail.protocol ?? "smtp",
    starttls: mail.startsTls === true,
    user: mail.login?.user ?? "",
    password: mail.login?.password ?? "",
    from: mail.from,
    to: mail.to,
    mail: mail.mail ?? [],
    rcpt: mail.rcpt ?? [],
  };
  const done = await run(python, ["-c", SENDER, JSON.stringify(options)], mail.content);
  assert.equal(done.status, 0, done.output);
  return JSON.parse(done.output) as { refused?: Record<string, number>; error?: string; code?: number };
}
