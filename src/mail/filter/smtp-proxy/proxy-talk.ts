import { parseRfc3339 } from "../../../protocol/message/date-time.ts";
import { noExtensions, offers, parseExtensions, type Extensions } from "../../../protocol/smtp/extensions.ts";
import { reply as replyOf, replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import { formatXforward, type ForwardedClient } from "../../../protocol/smtp/xforward.ts";
import { aboutRecipient } from "../about-recipient.ts";
import type { FilterRecipient, MailFacts } from "../filter.ts";

/**
 * The client's side of a whole mail with a filter that speaks SMTP (RFC 5321) and passes on what it likes: greeting to the
 * answer to the content, as a machine. What came in, and what is to be done next.
 *
 * What the filter says from MAIL on is the answer to our own client, for behind it stands a listener of ours. One answer is
 * for all recipients: content goes only to a filter that takes every one of them, and DATA is not said before that is known.
 */
export interface ProxyMail {
  /** Our name, for EHLO. */
  readonly hostname: string;
  readonly client: ForwardedClient;
  /** The message's id. */
  readonly ident: string;
  readonly facts: MailFacts;
  readonly headerIsAscii: boolean;
  readonly sizeBytes: number;
  readonly nowAt: number;
}

export type ProxyAction =
  | { readonly do: "send"; readonly text: string }
  /** Hand over the content and the end mark, then tell `contentSent`. */
  | { readonly do: "content" }
  /** What our client is to hear. More may follow, for the filter only. */
  | { readonly do: "answer"; readonly reply: Reply }
  /** The filter says nothing that makes sense, or nothing of the mail. */
  | { readonly do: "fail"; readonly text: string }
  /** The dialogue is over: close. */
  | { readonly do: "over" };

type Awaited =
  | { readonly is: "greeting" | "EHLO" | "HELO" | "XFORWARD" | "MAIL" | "DATA" | "content" | "end of DATA" | "QUIT" }
  | { readonly is: "RCPT"; readonly recipient: FilterRecipient };

export class ProxyTalk {
  readonly #mail: ProxyMail;
  /** Whose answers are still to come, in their order. */
  #awaited: Awaited[] = [{ is: "greeting" }];
  /** Commands that wait for the answers before them, where nothing is pipelined. */
  #later: (readonly [text: string, awaited: Awaited])[] = [];
  #refusals: Reply[] = [];
  #isOver = false;

  constructor(mail: ProxyMail) {
    this.#mail = mail;
  }

  /** What is waited for, in words for people. */
  get awaits(): string {
    return this.#awaited[0]?.is ?? "nothing";
  }

  contentSent(): void {
    if (this.#awaited[0]?.is === "content") this.#awaited = [{ is: "end of DATA" }];
  }

  onReply(reply: Reply): readonly ProxyAction[] {
    const awaited = this.#awaited.shift();
    if (this.#isOver || awaited === undefined) return [];
    switch (awaited.is) {
      case "greeting":
        return reply.code === 220
          ? this.#send(`EHLO ${this.#mail.hostname}\r\n`, { is: "EHLO" })
          : this.#fail("greets", reply);
      case "EHLO":
        if (isPositive(reply)) return this.#begin(parseExtensions(reply));
        return reply.code >= 500
          ? this.#send(`HELO ${this.#mail.hostname}\r\n`, { is: "HELO" })
          : this.#fail("answers EHLO", reply);
      case "HELO":
        return isPositive(reply) ? this.#begin(noExtensions) : this.#fail("answers HELO", reply);
      case "XFORWARD":
        return reply.code === 421 ? this.#fail("answers XFORWARD", reply) : this.#next();
      case "MAIL":
        if (!isPositive(reply)) this.#refusals.push(reply);
        return this.#next(reply);
      case "RCPT":
        if (!isPositive(reply)) this.#refusals.push(aboutRecipient(awaited.recipient.address, reply));
        return this.#next(reply);
      case "DATA":
        if (reply.code === 354) {
          this.#awaited = [{ is: "content" }];
          return [{ do: "content" }];
        }
        return reply.code >= 400 ? this.#answer(reply) : this.#fail("answers DATA", reply);
      case "content":
        // A refusal that would not wait; whatever else this is, it is no answer to what was not sent yet.
        this.#isOver = true;
        if (reply.code >= 400) return [{ do: "answer", reply: passedOn(reply) }, { do: "over" }];
        return [{ do: "fail", text: `it says ${replyText(reply)} in the middle of the content` }];
      case "end of DATA":
        return reply.code < 300 || reply.code >= 400 ? this.#answer(reply) : this.#fail("answers the content", reply);
      case "QUIT":
        this.#isOver = true;
        return [{ do: "over" }];
    }
  }

  /** From MAIL on; what the filter does not offer is not asked of it. */
  #begin(extensions: Extensions): readonly ProxyAction[] {
    const { facts, client, ident, sizeBytes, nowAt } = this.#mail;
    // Nothing is converted on the way (RFC 6152 section 3, RFC 6531 section 3.2).
    if (facts.body === "BINARYMIME")
      return this.#answer(replyOf(550, "5.6.3", "Binary content cannot pass the content filter here"));
    if (isInternational(this.#mail) && !offers(extensions, "SMTPUTF8"))
      return this.#answer(replyOf(550, "5.6.7", "Internationalised mail cannot pass the content filter here"));
    const parameters = parametersAt(nowAt, facts);
    const lost = parameters.find((one) => isBinding(one) && !isOffered(one, extensions));
    if (lost !== undefined)
      return this.#answer(replyOf(550, "5.3.3", `What ${lost} asks for cannot pass the content filter here`));
    const size = offers(extensions, "SIZE") ? [`SIZE=${sizeBytes}`] : [];
    const commands: (readonly [string, Awaited])[] = [
      ...formatXforward(client, ident, extensions.keywords.get("XFORWARD") ?? []).map(
        (text) => [text, { is: "XFORWARD" }] as const,
      ),
      [command(`MAIL FROM:<${facts.sender}>`, [...size, ...offered(parameters, extensions)]), { is: "MAIL" }],
      ...facts.recipients.map(
        (recipient) =>
          [
            command(`RCPT TO:<${recipient.address}>`, offered(recipient.parameters, extensions)),
            { is: "RCPT", recipient },
          ] as const,
      ),
    ];
    if (commands.some(([text]) => /[\r\n]/.test(text.slice(0, -2)))) {
      this.#isOver = true;
      return [{ do: "fail", text: "an address or a parameter has a line end in it" }];
    }
    if (!offers(extensions, "PIPELINING")) {
      this.#later = commands;
      return this.#next();
    }
    this.#awaited = commands.map(([, awaited]) => awaited);
    return [{ do: "send", text: commands.map(([text]) => text).join("") }];
  }

  /** The next command, when it is its turn; after the last, DATA, if the filter takes all. */
  #next(heard?: Reply): readonly ProxyAction[] {
    // Behind a 421 it closes (RFC 5321 section 3.8), and the commands that were sent ahead have no answer.
    if (this.#awaited.length > 0 && heard?.code !== 421) return [];
    // One that is refused is refused for all: nothing more is asked.
    const next = this.#refusals.length === 0 ? this.#later.shift() : undefined;
    if (next !== undefined) return this.#send(...next);
    const [first] = this.#refusals;
    if (first === undefined) return this.#send("DATA\r\n", { is: "DATA" });
    // Who comes again finds the others accepted, perhaps.
    return this.#answer(this.#refusals.find(({ code }) => code < 500) ?? first);
  }

  #answer(reply: Reply): readonly ProxyAction[] {
    const isLeaving = reply.code === 421;
    if (isLeaving) this.#isOver = true;
    else this.#awaited = [{ is: "QUIT" }];
    return [{ do: "answer", reply: passedOn(reply) }, isLeaving ? { do: "over" } : { do: "send", text: "QUIT\r\n" }];
  }

  #send(text: string, awaited: Awaited): readonly ProxyAction[] {
    this.#awaited.push(awaited);
    return [{ do: "send", text }];
  }

  #fail(does: string, reply: Reply): readonly ProxyAction[] {
    this.#isOver = true;
    return [{ do: "fail", text: `it ${does} with ${replyText(reply)}` }];
  }
}

/** Which extension has each parameter that a client may give; SIZE is said anew. */
const EXTENSION_OF: Readonly<Record<string, string>> = {
  BODY: "8BITMIME",
  SMTPUTF8: "SMTPUTF8",
  RET: "DSN",
  ENVID: "DSN",
  NOTIFY: "DSN",
  ORCPT: "DSN",
  BY: "DELIVERBY",
  HOLDFOR: "FUTURERELEASE",
  HOLDUNTIL: "FUTURERELEASE",
  "MT-PRIORITY": "MT-PRIORITY",
  XVERP: "XVERP",
};

/**
 * The parameters of MAIL for now: what they give in seconds has run since our client said it, and the listener behind the
 * filter counts from when it hears of it (RFC 2852 section 4.1.4). A hold that is over is none, and would be refused there.
 */
function parametersAt(nowAt: number, { parameters, startedAt = nowAt }: MailFacts): readonly string[] {
  const past = Math.floor((nowAt - startedAt) / 1000);
  return parameters.flatMap((parameter) => {
    const [, name = "", value = ""] = /^([^=]+)=(.*)$/s.exec(parameter) ?? [];
    switch (name.toUpperCase()) {
      case "HOLDFOR":
        return Number(value) > past ? `${name}=${Number(value) - past}` : [];
      case "HOLDUNTIL": {
        const at = parseRfc3339(value);
        return at.ok && at.value <= nowAt ? [] : parameter;
      }
      case "BY": {
        const left = Number.parseInt(value, 10) - past;
        const rest = value.slice(value.indexOf(";"));
        // Nothing else may be asked of a mail to be returned: it is returned then, a second later.
        return `${name}=${/^;R/i.test(rest) ? Math.max(1, left) : left}${rest}`;
      }
      default:
        return parameter;
    }
  });
}

/** A client may ask for SMTPUTF8 for what does not need it: that may go where nobody knows it (RFC 6531 section 3.2). */
function isInternational({ facts, headerIsAscii }: ProxyMail): boolean {
  if (!facts.isInternational) return false;
  const envelope = [facts.sender, ...facts.recipients.flatMap(({ address, parameters }) => [address, ...parameters])];
  return !headerIsAscii || envelope.some((text) => /[^\x00-\x7f]/.test(text));
}

function offered(parameters: readonly string[], extensions: Extensions): readonly string[] {
  return parameters.filter((parameter) => isOffered(parameter, extensions));
}

function isOffered(parameter: string, extensions: Extensions): boolean {
  const extension = EXTENSION_OF[parameter.replace(/=.*$/s, "").toUpperCase()];
  return extension !== undefined && offers(extensions, extension);
}

/**
 * Whether mail must not go on without this. What is to be held would be sent at once (RFC 4865), and nobody would return what
 * is to be returned when its time is over (RFC 2852 section 4.1.4).
 */
function isBinding(parameter: string): boolean {
  return /^(HOLDFOR=|HOLDUNTIL=|BY=[^;]*;R)/i.test(parameter);
}

function command(verb: string, parameters: readonly string[]): string {
  return `${[verb, ...parameters].join(" ")}\r\n`;
}

/** The filter's words are our client's answer; but it is not ours to close the connection because the filter does. */
function passedOn(reply: Reply): Reply {
  const code = reply.code === 421 ? 451 : reply.code;
  const status = reply.status ?? `${String(code).charAt(0)}.0.0`;
  return { code, status, lines: reply.lines };
}

function isPositive({ code }: Reply): boolean {
  return code >= 200 && code < 300;
}
