import { createHash } from "node:crypto";
import { SPAMC_PING, spamcRequest, type SpamcCommand } from "../../../protocol/spamc/request.ts";
import { spamdReplyReader, type SpamdHead, type SpamdHeard } from "../../../protocol/spamc/reply.ts";
import type { Filter, FilterMail, MailEdit, MailVerdict } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { exchange } from "../scanner/exchange.io.ts";
import { crlfMaker, headerSplitter } from "../scanner/header-splitter.ts";
import { inTurn } from "../scanner/in-turn.ts";
import { judgingFilter } from "../scanner/judging-filter.ts";
import type { ScannerAddress } from "../scanner/scanner-address.ts";
import { userOf } from "./preferences.ts";
import type { SpamcSettings } from "./settings.ts";
import { editsToward, prefaceOf, spamdVerdict, withoutPreface } from "./spamd-verdict.ts";

const COMMANDS: Readonly<Record<SpamcSettings["ask"], SpamcCommand>> = {
  check: "CHECK",
  symbols: "SYMBOLS",
  headers: "HEADERS",
  process: "PROCESS",
};

/** What is kept of an answer that is no mail. */
const MOST_TEXT_BYTES = 1024 * 1024;
/** SpamAssassin's report around a mail. */
const MOST_REPORT_BYTES = 1024 * 1024;

type Take = (bytes: Buffer) => void | Promise<void>;

/** SpamAssassin's daemon judges each mail, in the words of spamc. It gets our Received field too, for it asks where mail came from. */
export function spamdFilter(name: string, settings: SpamcSettings, world: FilterWorld): Filter {
  const { clock } = world;
  const inOrder = inTurn("spamd", settings.servers, clock);
  const limits = { connectMs: settings.connectTimeout, answerMs: settings.answerTimeout };

  const ask = async (
    server: ScannerAddress,
    sends: () => AsyncIterable<Uint8Array>,
    mostBytes: number,
    take: Take,
    signal: AbortSignal,
  ): Promise<SpamdHead> => {
    const reader = spamdReplyReader(mostBytes);
    let head: SpamdHead | undefined;
    const hear = async (heard: readonly SpamdHeard[]): Promise<boolean> => {
      for (const each of heard) {
        if (each.kind === "broken") throw new Error(each.text);
        if (each.kind === "end") return true;
        if (each.kind === "head") {
          head = each.head;
          if (head.code !== 0) throw new Error(`it answered ${head.code} ${JSON.stringify(head.word)}`);
        } else await take(each.bytes);
      }
      return false;
    };
    const what = {
      sends,
      closesOurSide: true,
      onData: (chunk: Buffer) => hear(reader.push(chunk)),
      onEnd: () => hear(reader.end()),
    };
    await exchange(server, what, limits, clock, signal);
    if (head === undefined) throw new Error("it gave no answer");
    return head;
  };

  const scan = async (server: ScannerAddress, mail: FilterMail, signal: AbortSignal): Promise<MailVerdict> => {
    const preface = prefaceOf(mail);
    const question = (): AsyncIterable<Uint8Array> =>
      request(mail, preface, COMMANDS[settings.ask], userOf(settings.user, mail.facts.mail));
    const answer = settings.ask === "process" ? wholeAnswer(mail, preface) : textAnswer(mail, preface, settings.ask);
    try {
      const mostBytes =
        settings.ask === "process" ? 2 * mail.sizeBytes + preface.length + MOST_REPORT_BYTES : MOST_TEXT_BYTES;
      const { spam, contentBytes } = await ask(server, question, mostBytes, answer.take, signal);
      if (spam === undefined) throw new Error("its answer has no score");
      // It takes the mail's place: one that broke off would be kept as it is.
      if (settings.ask === "process" && contentBytes === undefined)
        throw new Error("its answer has no length, so that nobody knows whether the mail in it is whole");
      const { symbols, edits } = await answer.finish();
      return spamdVerdict({ spam, symbols, edits }, settings);
    } catch (thrown) {
      answer.abort();
      throw thrown;
    }
  };

  return judgingFilter(
    name,
    {
      where: `spamd ${settings.servers.map(({ text }) => text).join(", ")}`,
      judge: (mail, signal) => inOrder((server) => scan(server, mail, signal), signal),
      probe: () => {
        const { signal } = new AbortController();
        return inOrder(async (server) => {
          await ask(server, ping, MOST_TEXT_BYTES, () => {}, signal);
        }, signal);
      },
    },
    world,
  );
}

async function* ping(): AsyncGenerator<Uint8Array> {
  yield SPAMC_PING;
}

async function* request(
  mail: FilterMail,
  preface: string,
  command: SpamcCommand,
  user: string | undefined,
): AsyncGenerator<Uint8Array> {
  const before = Buffer.from(preface);
  yield spamcRequest({ command, user, sizeBytes: before.length + mail.sizeBytes });
  yield before;
  yield* mail.content();
}

interface Answer {
  readonly take: Take;
  finish(): Promise<{ readonly symbols: string; readonly edits?: readonly MailEdit[] }>;
  abort(): void;
}

/** Names of rules, or a header section. */
function textAnswer(mail: FilterMail, preface: string, ask: SpamcSettings["ask"]): Answer {
  const pieces: Buffer[] = [];
  return {
    take: (bytes) => void pieces.push(bytes),
    async finish() {
      const bytes = Buffer.concat(pieces);
      if (ask !== "headers") return { symbols: bytes.toString("latin1").trim() };
      const splitter = headerSplitter(MOST_TEXT_BYTES);
      splitter.push(bytes);
      splitter.end();
      const header = withoutPreface(splitter.header() ?? Buffer.alloc(0), preface);
      return { symbols: "", edits: editsToward(header, mail.header) };
    },
    abort: () => {},
  };
}

/** The whole mail: its body is new only where it differs from the old one. */
function wholeAnswer(mail: FilterMail, preface: string): Answer {
  const splitter = headerSplitter(MOST_TEXT_BYTES);
  const toCrlf = crlfMaker();
  const room = mail.room();
  const sum = createHash("sha256");
  /** Binary mail may have a line feed alone, and is the same only as it came. */
  const asItCame = createHash("sha256");
  const keep = async (body: Buffer): Promise<void> => {
    asItCame.update(body);
    const piece = toCrlf(body);
    sum.update(piece);
    await room.write(piece);
  };
  return {
    async take(bytes) {
      const body = splitter.push(bytes);
      if (body !== undefined && body.length > 0) await keep(body);
    },
    async finish() {
      splitter.end();
      const given = splitter.header() ?? Buffer.alloc(0);
      // There would be marks at least, and what was put in front.
      if (given.length === 0) throw new Error("it gave back no mail");
      const header = withoutPreface(given, preface);
      const old = createHash("sha256");
      for await (const piece of mail.body.read()) old.update(piece);
      const oldSum = old.digest();
      if (oldSum.equals(sum.digest()) || oldSum.equals(asItCame.digest())) {
        room.abort();
        return { symbols: "", edits: editsToward(header, mail.header) };
      }
      const body = await room.finish();
      return {
        symbols: "",
        edits: [
          { edit: "replace-header", header },
          { edit: "replace-body", body },
        ],
      };
    },
    abort: () => room.abort(),
  };
}
