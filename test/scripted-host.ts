/**
 * A next host for tests that says what it is told to: SMTP or LMTP, over TCP or a unix socket. It remembers every session
 * with all its lines, and every mail.
 */
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { createServer, type Socket } from "node:net";

export interface HostedSession {
  /** Every command line, without its end. */
  readonly lines: string[];
  readonly socket: Socket;
}

export interface HostedMail {
  readonly mail: string;
  readonly recipients: readonly string[];
  readonly content: string;
}

export interface ScriptedHost extends AsyncDisposable {
  readonly port: number;
  readonly sessions: readonly HostedSession[];
  readonly mails: readonly HostedMail[];
  waitForMails(count: number, withinMs?: number): Promise<readonly HostedMail[]>;
}

/** A reply (lines with `\r\n` between), SILENCE, HANG_UP; `undefined` leaves the answer to the host's good manners. */
export type Said = string | undefined;
export const SILENCE = "(silence)";
export const HANG_UP = "(hang-up)";

export interface ScriptedHostOptions {
  readonly address?: string;
  readonly port?: number;
  /** A unix socket instead of an address. */
  readonly path?: string;
  readonly isLmtp?: boolean;
  readonly greeting?: Said;
  readonly extensions?: readonly string[];
  /** What is said to a line; `.` is the end of the content. */
  readonly answer?: (line: string, session: HostedSession) => Said;
}

export async function startScriptedHost(options: ScriptedHostOptions = {}): Promise<ScriptedHost> {
  const sessions: HostedSession[] = [];
  const mails: HostedMail[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    const session: HostedSession = { lines: [], socket };
    sessions.push(session);
    converse(session, options, (mail) => mails.push(mail));
  });
  if (options.path === undefined) server.listen(options.port ?? 0, options.address ?? "127.0.0.1");
  else server.listen(options.path);
  await once(server, "listening");
  // The workers of a split server are somebody else.
  if (options.path !== undefined) chmodSync(options.path, 0o777);
  const address = server.address();
  return {
    port: address === null || typeof address === "string" ? 0 : address.port,
    sessions,
    mails,
    async waitForMails(count, withinMs = 60_000) {
      const untilAt = Date.now() + withinMs;
      while (mails.length < count) {
        if (Date.now() > untilAt)
          throw new Error(
            `${mails.length} of ${count} mails came; sessions: ${JSON.stringify(sessions.map((one) => one.lines))}`,
          );
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return mails;
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of sessions) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function converse(session: HostedSession, options: ScriptedHostOptions, onMail: (mail: HostedMail) => void): void {
  const { socket } = session;
  const extensions = options.extensions ?? ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"];
  let mail = "";
  let recipients: string[] = [];
  let isContent = false;
  /** Behind its 220 to STARTTLS, of which it understands nothing: one handshake in fifty has the end of a line somewhere in its random octets. */
  let isTls = false;
  let held = "";

  const say = (said: string): void => {
    if (said === HANG_UP) socket.end();
    else if (said !== SILENCE) socket.write(`${said}\r\n`);
  };
  const usual = (line: string): string => {
    const verb = line.slice(0, 4).toUpperCase();
    switch (verb) {
      case "EHLO":
      case "LHLO":
        return ["scripted.test", ...extensions]
          .map((each, at) => `250${at === extensions.length ? " " : "-"}${each}`)
          .join("\r\n");
      case "DATA":
        return recipients.length > 0 ? "354 go on" : "503 5.5.1 no recipients";
      case "QUIT":
        return "221 2.0.0 bye";
      default:
        return "250 2.0.0 ok";
    }
  };
  const onLine = (line: string): void => {
    session.lines.push(line);
    const said = options.answer?.(line, session) ?? usual(line);
    const isYes = /^[23]/.test(said);
    if (/^(?:MAIL|RSET)/i.test(line)) recipients = [];
    if (/^MAIL/i.test(line) && isYes) mail = line;
    if (/^RCPT/i.test(line) && isYes) recipients.push(/<([^>]*)>/.exec(line)?.[1] ?? "");
    if (/^DATA/i.test(line)) isContent = said.startsWith("354");
    if (/^STARTTLS$/i.test(line)) isTls = said.startsWith("220");
    say(said);
    if (/^QUIT/i.test(line)) socket.end();
  };
  const onContent = (content: string): void => {
    session.lines.push(".");
    const said =
      options.answer?.(".", session) ??
      (options.isLmtp === true ? recipients.map(() => "250 2.0.0 taken").join("\r\n") : "250 2.0.0 taken");
    if (said.split("\r\n").some((line) => line.startsWith("2"))) onMail({ mail, recipients, content });
    recipients = [];
    say(said);
  };

  if (options.greeting !== SILENCE) say(options.greeting ?? "220 scripted.test ESMTP");
  socket.on("data", (bytes: Buffer) => {
    held += bytes.toString("latin1");
    for (;;) {
      if (isTls) return void (held = "");
      if (isContent) {
        const end = held.startsWith(".\r\n") ? 0 : held.indexOf("\r\n.\r\n");
        if (end < 0) return;
        isContent = false;
        const content = held.slice(0, end).replace(/^\.\./gm, ".");
        held = held.slice(end + (end === 0 ? 3 : 5));
        onContent(content);
        continue;
      }
      const lineEnd = held.indexOf("\r\n");
      if (lineEnd < 0) return;
      const line = held.slice(0, lineEnd);
      held = held.slice(lineEnd + 2);
      onLine(line);
    }
  });
}
