import { chunkReceived, greeting, queued, replies, stopping, timeout } from "../../src/mail/session/replies.ts";
import { replyText, type Reply } from "../../src/protocol/smtp/reply.ts";

/** docs/reference/replies.md: everything the server side says by itself. */
export function repliesReference(): string {
  const host = "mail.example.org";
  const all: readonly Reply[] = [
    greeting(host, "smtp"),
    timeout(host),
    stopping(host),
    queued("06XT4VVCG40"),
    chunkReceived(65_536),
    ...Object.values(replies),
  ];
  const rows = [...new Set(all.map(replyText))].toSorted().map((text) => {
    const [, code = "", status = "", words = ""] = /^(\d{3})(?: (\d\.\d+\.\d+))?(?: (.*))?$/.exec(text) ?? [];
    return `| ${code} | ${status} | ${words.replaceAll("|", "\\|").replaceAll("<", "&lt;")} |\n`;
  });
  return `${INTRODUCTION}\n| code | status | words |\n|---|---|---|\n${rows.join("")}`;
}

const INTRODUCTION = `# Replies

What the server says to clients by itself (RFC 5321 section 4.2, statuses of RFC 3463). Rules add their own: an action
\`reject\` sends the code, status and text of the settings. A malformed command is answered 501 5.5.4, a malformed address
501 5.1.7 (sender) or 5.1.3 (recipient), with what was expected there. What each is about is told in
[the manual](../manual/receiving.md). This page is generated from the code.
`;
