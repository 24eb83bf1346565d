import { randomUUID } from "node:crypto";
import type { Filter, FilterDialogue, FilterMail, MailEdit, MailVerdict } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { authoritiesIn } from "../scanner/authorities.io.ts";
import { crlfMaker } from "../scanner/header-splitter.ts";
import { httpClient, type HttpHead } from "../scanner/http-client.io.ts";
import type { HttpServer } from "../scanner/http-server.ts";
import { inTurn } from "../scanner/in-turn.ts";
import { createTally } from "../scanner/judging-filter.ts";
import { mailInWords, stageVerdictInWords, verdictInWords } from "../scanner/trace-words.ts";
import { parseMessageAnswer, parseStageAnswer, type HookMailAnswer } from "./answer.ts";
import { messageEvent, questionEvent, type HookEventJson } from "./event.ts";
import { questionBody } from "./question-body.ts";
import type { HttpHookSettings } from "./settings.ts";
import { signatureHeaders } from "./signature.io.ts";

const MOST_ANSWER_BYTES = 1024 * 1024;
/** An answer may bring a new body, in base64; whatever the mail's size. */
const MOST_BODY_ANSWER_BYTES = 64 * 1024 * 1024;

/** A program behind HTTP is asked: what happens as JSON, its verdict as JSON. */
export async function httpHookFilter(name: string, settings: HttpHookSettings, world: FilterWorld): Promise<Filter> {
  const client = httpClient(world.clock, (await authoritiesIn(name, settings.tlsCa)) ?? world.trust);
  const inOrder = inTurn("the hook at", settings.servers, world.clock);
  const limits = { connectMs: settings.connectTimeout, answerMs: settings.answerTimeout };
  const where = `hook ${settings.servers.map(({ text }) => text).join(", ")}`;
  const tally = createTally(where, world.clock);
  const secret = world.secrets[name];

  /** The text of an answer, made sense of by `read`; what makes none is a failure of that server. */
  const ask = async <Answer>(
    server: HttpServer,
    event: HookEventJson,
    mail: FilterMail | undefined,
    read: (
      text: string,
    ) => { readonly ok: true; readonly value: Answer } | { readonly ok: false; readonly problem: string },
    signal: AbortSignal,
  ): Promise<Answer> => {
    const id = randomUUID();
    const body = questionBody(event, mail, settings.content, `posthorn-${id}`);
    const signed = secret === undefined ? {} : await signatureHeaders(secret, { id, at: world.clock.now(), body });
    const most =
      mail === undefined ? MOST_ANSWER_BYTES : Math.min(MOST_BODY_ANSWER_BYTES, MOST_ANSWER_BYTES + 3 * mail.sizeBytes);
    let pieces: Buffer[] = [];
    const onHead = (head: HttpHead): ((bytes: Buffer) => void) => {
      if (head.status !== 200 && head.status !== 204) throw new Error(`it answered with HTTP ${head.status}`);
      if (head.header("content-encoding") !== undefined)
        throw new Error("its answer is compressed, which nobody asked for");
      pieces = [];
      let total = 0;
      return (bytes) => {
        pieces.push(bytes);
        total += bytes.length;
        if (total > most) throw new Error(`its answer is longer than ${most} bytes`);
      };
    };
    const headers = {
      accept: "application/json",
      "accept-encoding": "identity",
      "content-type": body.contentType,
      "user-agent": `posthorn/${world.version}`,
      ...signed,
    };
    const question = { method: "POST", headers, body: () => body.read(), bodyBytes: body.sizeBytes, onHead } as const;
    await client.ask(server, question, limits, signal);
    const answer = read(Buffer.concat(pieces).toString("utf8"));
    if (!answer.ok) throw new Error(answer.problem);
    return answer.value;
  };

  const { trace } = world;
  const dialogue: FilterDialogue = {
    ask: (question, signal) =>
      tally.count(async () => {
        if (trace.isOn) trace.show(`${name} > ${question.stage}`);
        const event = questionEvent(name, question);
        const read = (text: string) => parseStageAnswer(text, question.stage);
        const verdict = await inOrder((server) => ask(server, event, undefined, read, signal), signal);
        if (trace.isOn) trace.show(`${name} < ${stageVerdictInWords(verdict)}`);
        return verdict;
      }),
    judge: (mail, signal) =>
      tally.count(async () => {
        if (trace.isOn) trace.show(`${name} > ${mailInWords(mail)}`);
        const event = messageEvent(name, mail);
        const answer = await inOrder((server) => ask(server, event, mail, parseMessageAnswer, signal), signal);
        const verdict = await withBodies(answer, mail);
        if (trace.isOn) trace.show(`${name} < ${verdictInWords(verdict)}`);
        return verdict;
      }),
    end: () => {},
  };
  return {
    name,
    stages: new Set(settings.stages),
    open: () => dialogue,
    health: () => tally.health(),
    close: async () => client.close(),
  };
}

async function withBodies({ edits: given, ...answer }: HookMailAnswer, mail: FilterMail): Promise<MailVerdict> {
  const edits: MailEdit[] = [];
  for (const edit of given) {
    if (edit.edit !== "new-body") {
      edits.push(edit);
      continue;
    }
    const room = mail.room();
    try {
      await room.write(crlfMaker()(edit.body));
      edits.push({ edit: "replace-body", body: await room.finish() });
    } catch (thrown) {
      room.abort();
      throw thrown;
    }
  }
  return edits.length === 0 ? answer : { ...answer, edits };
}
