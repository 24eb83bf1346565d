import { reply, type Reply } from "../../protocol/smtp/reply.ts";
import type { Host } from "./host.ts";

/** What a host does with a command: answers after a time, stays silent for ever, or cuts the connection. */
export type Answer =
  | { readonly does: "reply"; readonly reply: Reply; readonly afterMs: number; readonly closes?: boolean }
  | { readonly does: "hang" }
  | { readonly does: "cut"; readonly afterMs: number };

/** A host's side of one connection: commands in, answers out. It knows as much of SMTP as a peer needs. */
export class HostSession {
  readonly host: Host;
  readonly client: string;
  readonly #welcome: "works" | "421" | "554";
  #isOpen = true;
  #sender: string | undefined;
  #accepted = 0;
  #mails = 0;

  constructor(host: Host, client: string, welcome: "works" | "421" | "554") {
    this.host = host;
    this.client = client;
    this.#welcome = welcome;
  }

  greet(now: number): Answer {
    const { host } = this;
    const afterMs = host.model.slow.greeting;
    if (host.cuts("connect", now) || host.cuts("greeting", now)) return { does: "cut", afterMs };
    if (this.#welcome === "421") return said(TOO_MANY, afterMs, true);
    if (this.#welcome === "554") return said(UNWANTED, afterMs, true);
    const storm = host.storm("greeting", now);
    return storm === undefined ? said(GREETING, afterMs) : said(storm, afterMs, true);
  }

  /** `line` is without its end. BDAT's content has come with it. */
  command(line: string, now: number): Answer {
    const { host } = this;
    const afterMs = host.model.slow.command;
    switch (line.slice(0, 4)) {
      case "EHLO":
      case "LHLO":
      case "HELO":
        if (host.cuts("EHLO", now)) return { does: "cut", afterMs };
        return said(host.storm("EHLO", now) ?? (line.startsWith("HELO") ? OK : host.hello), afterMs);
      case "STAR":
        return said(GO_AHEAD, afterMs);
      case "MAIL":
        return this.#mail(line, now, afterMs);
      case "RCPT":
        return this.#rcpt(line, now, afterMs + host.model.slow.recipient);
      case "DATA":
        if (this.#accepted === 0) return said(NO_RECIPIENTS, afterMs);
        if (host.cuts("DATA", now)) return { does: "cut", afterMs };
        return said(host.storm("DATA", now) ?? SEND_IT, afterMs);
      case "BDAT":
        return this.content(now);
      case "RSET":
        this.#sender = undefined;
        this.#accepted = 0;
        return said(OK, afterMs);
      default:
        return said(UNKNOWN_COMMAND, afterMs);
    }
  }

  /** The whole of the content is there. */
  content(now: number): Answer {
    const { host } = this;
    const afterMs = host.model.slow.command + host.model.slow.end;
    const accepted = this.#accepted;
    this.#sender = undefined;
    this.#accepted = 0;
    if (accepted === 0) return said(NO_RECIPIENTS, afterMs);
    if (host.cuts("end", now)) return { does: "cut", afterMs };
    const storm = host.storm("end", now);
    host.counts.mails++;
    this.#mails++;
    if (storm !== undefined) {
      host.counts.deferred += accepted;
      return said(storm, afterMs);
    }
    host.counts.taken += accepted;
    return said(QUEUED, afterMs);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.host.disconnect(this.client);
  }

  #mail(line: string, now: number, afterMs: number): Answer {
    const { host } = this;
    if (host.cuts("MAIL", now)) return { does: "cut", afterMs };
    if (host.model.closesAfter !== undefined && this.#mails >= host.model.closesAfter)
      return said(ENOUGH, afterMs, true);
    const storm = host.storm("MAIL", now);
    if (storm !== undefined) return said(storm, afterMs);
    this.#sender = pathOf(line);
    this.#accepted = 0;
    return said(OK, afterMs);
  }

  #rcpt(line: string, now: number, afterMs: number): Answer {
    const { host } = this;
    host.counts.recipients++;
    if (host.cuts("RCPT", now)) return { does: "cut", afterMs };
    if (this.#sender === undefined) return said(MAIL_FIRST, afterMs);
    const { takesRecipients } = host.model;
    const isFull = takesRecipients !== undefined && this.#accepted >= takesRecipients;
    const refusal = isFull
      ? FULL_MAIL
      : (host.storm("RCPT", now) ?? host.judge(this.client, this.#sender, pathOf(line), now));
    if (refusal === undefined) {
      this.#accepted++;
      return said(OK, afterMs);
    }
    if (refusal.code < 500) host.counts.deferred++;
    else host.counts.refused++;
    return said(refusal, afterMs);
  }
}

const GREETING = reply(220, undefined, "ready");
const OK = reply(250, "2.0.0", "Ok");
const QUEUED = reply(250, "2.0.0", "Ok: queued");
const SEND_IT = reply(354, undefined, "End data with <CR><LF>.<CR><LF>");
const GO_AHEAD = reply(220, "2.0.0", "Ready to start TLS");
const TOO_MANY = reply(421, "4.7.0", "Too many connections");
const UNWANTED = reply(554, "5.7.1", "No mail from your address");
const ENOUGH = reply(421, "4.7.0", "Too many mails in this session, closing");
const FULL_MAIL = reply(452, "4.5.3", "Too many recipients");
const MAIL_FIRST = reply(503, "5.5.1", "MAIL first");
const NO_RECIPIENTS = reply(554, "5.5.1", "No valid recipients");
const UNKNOWN_COMMAND = reply(500, "5.5.2", "Unknown command");

/** RFC 5321 section 3.8: behind a 421 the host closes. */
function said(of: Reply, afterMs: number, closes = of.code === 421): Answer {
  return { does: "reply", reply: of, afterMs, closes };
}

function pathOf(line: string): string {
  return line.slice(line.indexOf("<") + 1, line.indexOf(">"));
}
