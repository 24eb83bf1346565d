import type { ContentRoom, Filter, FilterMail, KeptContent, MailVerdict } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { authoritiesIn } from "../scanner/authorities.io.ts";
import { crlfMaker } from "../scanner/header-splitter.ts";
import { httpClient, type HttpHead } from "../scanner/http-client.io.ts";
import type { HttpServer } from "../scanner/http-server.ts";
import { inTurn } from "../scanner/in-turn.ts";
import { judgingFilter } from "../scanner/judging-filter.ts";
import { parseRspamdAnswer } from "./answer.ts";
import { questionHeaders } from "./question.ts";
import { rspamdVerdict } from "./rspamd-verdict.ts";
import type { RspamdSettings } from "./settings.ts";

/** The JSON of an answer. Mail with thousands of symbols and links stays far below it. */
const MOST_JSON_BYTES = 1024 * 1024;
/** Asked with GET, without a mail. */
const PING = "/ping";

/**
 * rspamd judges each mail: `/checkv2` of its normal worker, or of its proxy. It gets the mail without our Received field, which
 * it would count with the others; where the mail came from stands in headers of the question.
 */
export async function rspamdFilter(name: string, settings: RspamdSettings, world: FilterWorld): Promise<Filter> {
  const client = httpClient(world.clock, (await authoritiesIn(name, settings.tlsCa)) ?? world.trust);
  const inOrder = inTurn("rspamd", settings.servers, world.clock);
  const limits = { connectMs: settings.connectTimeout, answerMs: settings.answerTimeout };
  const password = world.secrets[name];

  const check = async (server: HttpServer, mail: FilterMail, signal: AbortSignal): Promise<MailVerdict> => {
    const answer = answerTaker(mail);
    try {
      const question = {
        method: "POST",
        headers: questionHeaders(mail, settings, password),
        body: () => mail.content(),
        bodyBytes: mail.sizeBytes,
        onHead: (head: HttpHead) => answer.begin(head),
      } as const;
      await client.ask(server, question, limits, signal);
      const { json, body } = await answer.finish();
      const parsed = parseRspamdAnswer(json);
      if (!parsed.ok) throw new Error(parsed.problem);
      return rspamdVerdict(parsed.value, settings, { header: mail.header, body });
    } catch (thrown) {
      answer.abort();
      throw thrown;
    }
  };

  const ping = async (server: HttpServer, signal: AbortSignal): Promise<void> => {
    const question = {
      method: "GET",
      headers: {},
      body: nothing,
      bodyBytes: undefined,
      onHead: ({ status }: HttpHead) => {
        if (status !== 200) throw new Error(`it answers ${PING} with ${status}`);
        return () => {};
      },
    } as const;
    await client.ask({ ...server, path: PING }, question, limits, signal);
  };

  return judgingFilter(
    name,
    {
      where: `rspamd ${settings.servers.map(({ text }) => text).join(", ")}`,
      judge: (mail, signal) => inOrder((server) => check(server, mail, signal), signal),
      probe: () => {
        const { signal } = new AbortController();
        return inOrder((server) => ping(server, signal), signal);
      },
      close: async () => client.close(),
    },
    world,
  );
}

/** Takes an answer apart: the JSON, and behind `Message-Offset` the body that rspamd wants instead. */
function answerTaker(mail: FilterMail): {
  begin(head: HttpHead): (bytes: Buffer) => Promise<void>;
  finish(): Promise<{ readonly json: string; readonly body?: KeptContent }>;
  abort(): void;
} {
  const toCrlf = crlfMaker();
  let json: Buffer[] = [];
  let jsonBytes = 0;
  let offset = Number.POSITIVE_INFINITY;
  let room: ContentRoom | undefined;
  let status = 0;
  return {
    begin(head) {
      // A kept connection may have broken after the first try.
      json = [];
      jsonBytes = 0;
      if (head.header("content-encoding") !== undefined)
        throw new Error("its answer is compressed, which nobody asked for");
      const given = head.header("message-offset");
      offset = given === undefined ? Number.POSITIVE_INFINITY : Number(given);
      if (!(offset >= 0)) throw new Error(`${JSON.stringify(given?.slice(0, 50))} is no offset of a message`);
      status = head.status;
      return async (bytes) => {
        const own = bytes.subarray(0, Math.max(0, offset - jsonBytes));
        json.push(own);
        jsonBytes += own.length;
        if (jsonBytes > MOST_JSON_BYTES) throw new Error(`its answer is longer than ${MOST_JSON_BYTES} bytes`);
        if (own.length === bytes.length) return;
        room ??= mail.room();
        await room.write(toCrlf(bytes.subarray(own.length)));
      };
    },
    async finish() {
      const text = Buffer.concat(json).toString("utf8");
      // Its errors are JSON too; whatever else a server says is told by its status.
      if (status !== 200 && !text.startsWith("{")) throw new Error(`it answered with HTTP ${status}`);
      const body = await room?.finish();
      room = undefined;
      return { json: text, ...(body === undefined ? {} : { body }) };
    },
    abort() {
      room?.abort();
    },
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // A question without content.
}
