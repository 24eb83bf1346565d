import { isAscii } from "node:buffer";
import { messageOf } from "../../../foundation/error.ts";
import { HeaderScanner } from "../../../protocol/message/header-scanner.ts";
import { loopThrough, markReceived, ownTraces } from "../../../protocol/message/own-received.ts";
import { DotStuffer } from "../../../protocol/smtp/dot-stuffer.ts";
import { reply, type Reply } from "../../../protocol/smtp/reply.ts";
import { ReplyParser } from "../../../protocol/smtp/reply-parser.ts";
import { filterFailed } from "../failed.ts";
import type { Filter, FilterMail, MailVerdict } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { exchange } from "../scanner/exchange.io.ts";
import { judgingFilter } from "../scanner/judging-filter.ts";
import { ProxyTalk, type ProxyAction } from "./proxy-talk.ts";
import type { SmtpProxySettings } from "./settings.ts";

/**
 * A program that speaks SMTP on both sides, between two listeners of ours (spampd, amavis): it gets each mail when all of it
 * has come, and passes it on to the second listener, which makes it durable. Its reply is the client's, and nothing is
 * committed here. One connection a mail, as Postfix has it.
 */
export function smtpProxyFilter(name: string, settings: SmtpProxySettings, world: FilterWorld): Filter {
  const where = `smtp ${settings.to.text}`;
  const mark = `proxy-filter:${name}`;
  return judgingFilter(
    name,
    {
      where,
      handsOver: true,
      async judge(mail, signal) {
        const left = leftAs(mail, mark, new Set([world.hostname, mail.facts.hostname]));
        if (left !== undefined) {
          const text =
            "Mail loop: this came back to where it was handed to a filter, which has to hand it to another listener";
          return {
            fate: { kind: "refuse", reply: reply(554, "5.4.6", text) },
            because: `it left for this filter as ${left}`,
          };
        }
        try {
          return handedOver(await handOver(mail, mark, settings, world, signal));
        } catch (thrown) {
          throw filterFailed(
            `${where}: ${messageOf(thrown)}`,
            "see whether the program runs, and whether the listener behind it takes its mail",
            thrown,
          );
        }
      },
    },
    world,
  );
}

function handedOver(answer: Reply): MailVerdict {
  return { fate: { kind: "handed-over", reply: answer } };
}

function leftAs({ header }: FilterMail, mark: string, ownNames: ReadonlySet<string>): string | undefined {
  const scanner = new HeaderScanner({ maxHeaderBytes: header.length + 2, wanted: ["received"] });
  scanner.push(header);
  return loopThrough(ownTraces(scanner.end().values.get("received") ?? [], ownNames), [mark]);
}

/** Settles with the answer; the goodbye behind it is nobody's matter. */
function handOver(
  mail: FilterMail,
  mark: string,
  settings: SmtpProxySettings,
  { clock, hostname }: FilterWorld,
  signal: AbortSignal,
): Promise<Reply> {
  const { facts } = mail;
  const talk = new ProxyTalk({
    hostname,
    client: {
      ...facts.client,
      protocol: facts.greeting === "HELO" ? "SMTP" : facts.greeting === "LHLO" ? "LMTP" : "ESMTP",
      helo: facts.helo,
      account: facts.account,
    },
    ident: facts.mail.message ?? "",
    facts: facts.mail,
    headerIsAscii: isAscii(mail.header),
    sizeBytes: mail.sizeBytes + mail.trace.length,
    nowAt: clock.now(),
  });
  const parser = new ReplyParser();
  const outgoing = new Outgoing();
  return new Promise((resolve, reject) => {
    let isAnswered = false;
    const obey = (action: ProxyAction): void => {
      switch (action.do) {
        case "send":
          outgoing.push(action.text);
          return;
        case "content":
          outgoing.push("content");
          return;
        case "answer":
          isAnswered = true;
          resolve(action.reply);
          return;
        case "fail":
          throw new Error(action.text);
        case "over":
          outgoing.end();
      }
    };
    const hear = (chunk: Buffer): boolean => {
      for (const event of parser.push(chunk)) {
        if (event.kind === "broken") throw new Error(`it says what is no reply: ${event.text}`);
        for (const action of talk.onReply(event.reply)) obey(action);
      }
      return outgoing.isEnded;
    };
    const exchanged = exchange(
      settings.to,
      {
        async *sends() {
          for await (const piece of outgoing) {
            if (piece !== "content") yield Buffer.from(piece);
            else yield* contentOf(mail, mark, talk);
          }
        },
        closesOurSide: false,
        onData: hear,
        onEnd() {
          if (!isAnswered)
            throw new Error(`it closed the connection while the answer to ${talk.awaits} was waited for`);
          return true;
        },
      },
      { connectMs: settings.connectTimeout, answerMs: settings.answerTimeout },
      clock,
      signal,
    );
    // Whoever was answered does not care what comes of the goodbye.
    exchanged.then(() => reject(new Error("it ended without an answer")), reject).finally(() => outgoing.end());
  });
}

async function* contentOf(mail: FilterMail, mark: string, talk: ProxyTalk): AsyncGenerator<Uint8Array> {
  const stuffer = new DotStuffer();
  yield* stuffer.push(Buffer.from(markReceived(mail.trace, [mark])));
  for await (const piece of mail.content()) yield* stuffer.push(piece);
  const rest = stuffer.end();
  // From here on an answer is an answer to the whole.
  talk.contentSent();
  yield* rest;
}

/** What is to be sent, in the order in which the machine said so, for whoever sends it when it can. */
class Outgoing implements AsyncIterable<string> {
  readonly #waiting: string[] = [];
  #wake: (() => void) | undefined;
  isEnded = false;

  push(text: string): void {
    this.#waiting.push(text);
    this.#wake?.();
  }

  end(): void {
    this.isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    while (!this.isEnded || this.#waiting.length > 0) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        yield next;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
