import { readFile } from "node:fs/promises";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import { formatDateTime } from "../../protocol/message/date-time.ts";
import { formatField } from "../../protocol/message/field.ts";
import { encodeWords } from "../../protocol/message/encoded-word.ts";
import type { Trial } from "./case.ts";

/** The mail of a trial, as it goes over the wire behind DATA: CRLF, dots doubled, the final dot. */
export async function trialContent(trial: Trial, now: number): Promise<Buffer> {
  const text = trial.message ?? (trial.file === undefined ? madeUp(trial, now) : await readMail(trial.file));
  const lines = (typeof text === "string" ? Buffer.from(text, "utf8") : text).toString("latin1").split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const stuffed = lines.map((line) => (line.startsWith(".") ? `.${line}` : line));
  return Buffer.from(`${stuffed.join("\r\n")}${stuffed.length === 0 ? "" : "\r\n"}.\r\n`, "latin1");
}

async function readMail(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (thrown) {
    throw new PosthornError("USAGE", {
      message: `the mail ${file} cannot be read: ${messageOf(thrown)}`,
      advice: "name a file with a whole mail, header and body",
    });
  }
}

function madeUp({ fields, body, from, to }: Trial, now: number): string {
  const usual: Record<string, string> = {
    From: from === "" || from === "<>" ? "MAILER-DAEMON@example.com" : from,
    To: to.join(", "),
    Subject: "A trial",
    Date: formatDateTime(now, 0),
    "Message-ID": "<trial@client.example>",
  };
  const own = new Set(Object.keys(fields).map((name) => name.toLowerCase()));
  const all = [
    ...Object.entries(usual).filter(([name]) => !own.has(name.toLowerCase())),
    ...Object.entries(fields).flatMap(([name, value]) => [value].flat().map((one) => [name, one] as const)),
  ];
  return `${all.map(([name, value]) => formatField(name, encodeWords(value))).join("")}\r\n${body}`;
}
