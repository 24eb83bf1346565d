import { ok, refused, type Problem, type Result } from "../../../foundation/result.ts";
import {
  envelopeIdOf,
  numberOfMessageId,
  partsOfEnvelopeId,
  type EnvelopeId,
  type MessageId,
} from "../../../foundation/ids.ts";
import type { Envelope, EnvelopeProgress, Message } from "../../envelope/envelope.ts";
import type { AttemptRecord, Body, NewEnvelope, Note, Operation } from "../store.ts";

/**
 * What the server and a queue program say to each other: a JSON object on each line (docs/manual/queue-process.md).
 *
 *     > {"hello":"posthorn-queue","version":1,"directory":"/var/lib/posthorn/queue"}
 *     < {"hello":"posthorn-queue","version":1,"program":"sqlite 1","messages":0,"envelopes":0}
 *     > {"id":1,"do":"apply","operations":[...]}
 *     < {"id":1,"ok":{"messages":1,"envelopes":2,"files":[]}}
 *
 * To the program messages, envelopes, progress and attempts are objects that it keeps and gives back; what is looked for in
 * them is looked for here. So a program is a durable map and nothing more, and what people ask of lists means the same in
 * every store.
 */
export const QUEUE_PROTOCOL = "posthorn-queue";
export const QUEUE_PROTOCOL_VERSION = 1;

export type Question =
  | { readonly do: "apply"; readonly operations: readonly unknown[] }
  | {
      readonly do: "scan";
      readonly behind?: ProgramPlace | undefined;
      readonly message?: MessageId;
      readonly limit: number;
    }
  | { readonly do: "message" | "body"; readonly message: MessageId }
  | { readonly do: "envelopes"; readonly ids: readonly ProgramPlace[] }
  | { readonly do: "attempts"; readonly message: MessageId; readonly n: number }
  | { readonly do: "notes"; readonly prefix: string; readonly behind?: string | undefined; readonly limit: number }
  | { readonly do: "files"; readonly names: readonly string[] };

/** Message and number of an envelope. */
export type ProgramPlace = readonly [message: MessageId, n: number];

/** A batch as the program gets it. Its operations must make sense (`refuseNonsense`). */
export function applyQuestion(batch: readonly Operation[]): Question {
  return { do: "apply", operations: batch.map(operationOf) };
}

function operationOf(operation: Operation): unknown {
  switch (operation.do) {
    case "commit":
      return {
        do: "commit",
        message: operation.message,
        body: bodyToldOf(operation.body),
        envelopes: operation.envelopes.map(envelopeToldOf),
      };
    case "add":
      return { do: "add", message: operation.message, envelopes: operation.envelopes.map(envelopeToldOf) };
    case "update": {
      const { progress, attempt } = operation;
      const [message, n] = placeOfEnvelope(operation.envelope);
      return { do: "update", message, n, progress, ...(attempt === undefined ? {} : { attempt }) };
    }
    case "remove": {
      const [message, n] = placeOfEnvelope(operation.envelope);
      return { do: "remove", message, n };
    }
    case "note":
      return { do: "note", key: operation.key, text: operation.text ?? null };
  }
}

function envelopeToldOf({ envelope, progress }: NewEnvelope): unknown {
  const { id, message: _message, ...rest } = envelope;
  return { n: placeOfEnvelope(id)[1], envelope: rest, progress };
}

function bodyToldOf(body: Body): unknown {
  if (body.kind === "file") return { file: body.name, bytes: body.sizeBytes };
  const { buffer, byteOffset, length } = body.bytes;
  return { base64: Buffer.from(buffer, byteOffset, length).toString("base64"), bytes: length };
}

export function placeOfEnvelope(id: EnvelopeId): ProgramPlace {
  const parts = partsOfEnvelopeId(id);
  return parts === undefined ? ["", 0] : [parts.message, parts.index];
}

/** What a program says first. */
export interface Hello {
  readonly program: string;
  readonly messages: number;
  readonly envelopes: number;
}

export function parseHello(line: string): Result<Hello, Problem> {
  const value = objectOf(line);
  if (value === undefined) return refused({ at: 0, expected: `a hello, not ${shown(line)}` });
  const { hello, version, program, messages, envelopes, error } = value;
  if (typeof error === "string") return refused({ at: 0, expected: `that the program opens its store: ${error}` });
  if (hello !== QUEUE_PROTOCOL) return refused({ at: 0, expected: `hello ${QUEUE_PROTOCOL}, not ${shown(line)}` });
  if (version !== QUEUE_PROTOCOL_VERSION)
    return refused({
      at: 0,
      expected: `version ${QUEUE_PROTOCOL_VERSION} of the protocol, not ${shown(JSON.stringify(version) ?? "none")}`,
    });
  if (!isCount(messages) || !isCount(envelopes))
    return refused({ at: 0, expected: "how many messages and envelopes there are" });
  return ok({ program: typeof program === "string" ? program.slice(0, 100) : "unnamed", messages, envelopes });
}

export type Answer =
  | { readonly kind: "ok"; readonly value: unknown }
  /** Surely not done; the store goes on. */
  | { readonly kind: "refused" | "full"; readonly text: string }
  /** Not known to be done; the program is of no use any more. */
  | { readonly kind: "failed"; readonly text: string };

export function parseAnswer(line: string): Result<{ readonly id: number; readonly answer: Answer }, Problem> {
  const value = objectOf(line);
  const id = value?.["id"];
  if (value === undefined || !isCount(id))
    return refused({ at: 0, expected: `an answer with an id, not ${shown(line)}` });
  if ("ok" in value) return ok({ id, answer: { kind: "ok", value: value["ok"] } });
  for (const kind of ["refused", "full", "failed"] as const) {
    const text = value[kind];
    if (typeof text === "string") return ok({ id, answer: { kind, text: text.slice(0, MOST_TEXT) } });
  }
  return refused({ at: 0, expected: `ok, refused, full or failed in ${shown(line)}` });
}

const MOST_TEXT = 500;

/** What became of a batch. */
export interface Applied {
  readonly messages: number;
  readonly envelopes: number;
  /** Body files that no message names any more. */
  readonly files: readonly string[];
}

export function appliedOf(value: unknown): Applied | undefined {
  if (!isObject(value)) return undefined;
  const { messages, envelopes, files = [] } = value;
  if (!isCount(messages) || !isCount(envelopes) || !isTexts(files)) return undefined;
  return { messages, envelopes, files };
}

/** A message as the program keeps it. */
export interface ProgramMessage {
  readonly message: Message;
  /** The highest number that an envelope of it ever had. */
  readonly numbered: number;
  readonly body: { readonly file: string; readonly sizeBytes: number } | undefined;
}

export interface ProgramEnvelope {
  readonly envelope: Envelope;
  readonly progress: EnvelopeProgress;
}

export type ProgramRow = ProgramMessage & ProgramEnvelope & { readonly relay: string | undefined };

export function messageOf(value: unknown): ProgramMessage | undefined {
  if (!isObject(value)) return undefined;
  const { message, numbered, body } = value;
  if (!isObject(message) || !isCount(numbered) || !isObject(body)) return undefined;
  const { id, sender, receivedAt, sizeBytes } = message;
  if (typeof id !== "string" || numberOfMessageId(id) === undefined) return undefined;
  if (typeof sender !== "string" || typeof receivedAt !== "number" || typeof sizeBytes !== "number") return undefined;
  const { file, bytes } = body;
  const isFile = typeof file === "string" && isCount(bytes);
  return {
    // We gave it to the program, which keeps it as it is.
    message: message as unknown as Message,
    numbered,
    body: isFile ? { file, sizeBytes: bytes } : undefined,
  };
}

function envelopeOf(value: unknown, message: unknown): ProgramEnvelope | undefined {
  if (!isObject(value) || typeof message !== "string") return undefined;
  const { n, envelope, progress } = value;
  if (!isCount(n) || !isObject(envelope) || !isObject(progress)) return undefined;
  const { recipient, action, notify } = envelope;
  if (typeof recipient !== "string" || typeof action !== "string" || !isTexts(notify)) return undefined;
  const { state, dueAt, expiresAt, attempts } = progress;
  if (typeof state !== "string" || [dueAt, expiresAt, attempts].some((each) => typeof each !== "number"))
    return undefined;
  return {
    // As above: these are what we had it keep.
    envelope: { ...envelope, id: envelopeIdOf(message, n), message } as unknown as Envelope,
    progress: progress as unknown as EnvelopeProgress,
  };
}

/** The rows of a scan, and whether there are more behind them. */
export function scannedOf(value: unknown): { rows: readonly ProgramRow[]; isLast: boolean } | undefined {
  if (!isObject(value) || !Array.isArray(value["rows"])) return undefined;
  const rows: ProgramRow[] = [];
  for (const row of value["rows"] as readonly unknown[]) {
    const message = messageOf(row);
    const envelope = message === undefined ? undefined : envelopeOf(row, message.message.id);
    if (message === undefined || envelope === undefined) return undefined;
    const relay = isObject(row) ? row["relay"] : undefined;
    rows.push({ ...message, ...envelope, relay: typeof relay === "string" ? relay : undefined });
  }
  return { rows, isLast: value["more"] !== true };
}

export function envelopesOf(value: unknown): readonly ProgramEnvelope[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = value.map((each: unknown) => (isObject(each) ? envelopeOf(each, each["message"]) : undefined));
  return found.every((each) => each !== undefined) ? found : undefined;
}

export function bodyOf(value: unknown): Body | undefined {
  if (!isObject(value)) return undefined;
  const { base64, file, bytes } = value;
  if (typeof base64 === "string") return { kind: "inline", bytes: Buffer.from(base64, "base64") };
  return typeof file === "string" && isCount(bytes) ? { kind: "file", name: file, sizeBytes: bytes } : undefined;
}

export function notesOf(value: unknown): readonly Note[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const notes = value.map((each: unknown): Note | undefined => {
    const { key, text } = isObject(each) ? each : {};
    return typeof key === "string" && typeof text === "string" ? { key, text } : undefined;
  });
  return notes.every((each) => each !== undefined) ? notes : undefined;
}

export function attemptsOf(value: unknown): readonly AttemptRecord[] | undefined {
  if (!Array.isArray(value) || !value.every((each) => isObject(each) && typeof each["startedAt"] === "number"))
    return undefined;
  return value as readonly AttemptRecord[];
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectOf(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const SHOWN_CHARACTERS = 100;

function shown(text: string): string {
  return text.length <= SHOWN_CHARACTERS
    ? JSON.stringify(text)
    : `${JSON.stringify(text.slice(0, SHOWN_CHARACTERS))}...`;
}
