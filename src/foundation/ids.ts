import type { Clock } from "./clock.ts";
import { assert } from "./assert.ts";

/**
 * Message ids: 53 bits, so that the store keeps them as plain integers, shown as eleven characters of Crockford's
 * base 32. 41 bits of milliseconds since 2025 (until 2094), 5 bits of the process that made it, 7 bits of sequence.
 * Ids of one maker rise; two makers with different numbers never meet. An id that meets another all the same (a clock
 * set back over a restart) is refused by the store's primary key, so the client is asked to come again.
 */
/** 2025-01-01T00:00:00Z. */
const EPOCH_MS = 1_735_689_600_000;
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
export const MESSAGE_ID_LENGTH = 11;
export const MOST_MAKERS = 32;
const SEQUENCES = 128;

export type MessageId = string;
/** `MESSAGEID.n`, n counting from 1 within the message. */
export type EnvelopeId = string;

export function messageIdMaker(clock: Clock, maker: number): () => MessageId {
  assert(Number.isInteger(maker) && maker >= 0 && maker < MOST_MAKERS, "a maker of ids has a number below 32");
  let lastMs = 0;
  let sequence = 0;
  return () => {
    const nowMs = Math.max(0, Math.floor(clock.now()) - EPOCH_MS);
    if (nowMs > lastMs) {
      lastMs = nowMs;
      sequence = 0;
    } else if (++sequence === SEQUENCES) {
      // More than a millisecond holds, or a clock that went back: borrow from the future rather than repeat.
      lastMs++;
      sequence = 0;
    }
    return messageIdOf((lastMs * MOST_MAKERS + maker) * SEQUENCES + sequence);
  };
}

export function messageIdOf(number: number): MessageId {
  // Two digits at a time, and in integers of 32 bits: long lists make hundreds of thousands of them.
  const low = number % LOW;
  const high = (number - low) / LOW;
  const first = DIGITS.charAt(Math.floor(high / 2 ** 20) % 32);
  return first + pairOf(high >>> 10) + pairOf(high) + pairOf(low >>> 20) + pairOf(low >>> 10) + pairOf(low);
}

/** Six digits' worth. */
const LOW = 2 ** 30;
const PAIRS = Array.from({ length: 1024 }, (_, pair) => DIGITS.charAt(pair >>> 5) + DIGITS.charAt(pair & 31));
/** What each character of ASCII is worth as a digit; -1 where it is none. */
const VALUES = Array.from({ length: 128 }, (_, code) => DIGITS.indexOf(String.fromCharCode(code)));

function pairOf(number: number): string {
  return PAIRS[number & 1023] ?? "";
}

/** The integer behind an id; undefined for text that is no message id. */
export function numberOfMessageId(id: string): number | undefined {
  if (id.length !== MESSAGE_ID_LENGTH) return undefined;
  let number = 0;
  for (let at = 0; at < MESSAGE_ID_LENGTH; at++) {
    const value = VALUES[id.charCodeAt(at)] ?? -1;
    if (value < 0) return undefined;
    number = number * 32 + value;
  }
  return Number.isSafeInteger(number) ? number : undefined;
}

export function envelopeIdOf(message: MessageId, index: number): EnvelopeId {
  return `${message}.${index}`;
}

/** The message's part of an envelope's id. */
export function messageOfEnvelope(id: EnvelopeId): MessageId {
  return id.slice(0, MESSAGE_ID_LENGTH);
}

/** Splits `MESSAGEID.n`; undefined for text that is no envelope id. */
export function partsOfEnvelopeId(id: string): { message: MessageId; index: number } | undefined {
  const dot = id.indexOf(".");
  if (dot !== MESSAGE_ID_LENGTH) return undefined;
  const index = Number(id.slice(dot + 1));
  if (!Number.isInteger(index) || index < 1 || numberOfMessageId(id.slice(0, dot)) === undefined) return undefined;
  return { message: id.slice(0, dot), index };
}

/** Ids that need only be unique in one process's life: connections, sessions, attempts. */
export function shortIdMaker(prefix: string): () => string {
  let count = 0;
  return () => `${prefix}${(++count).toString(36)}`;
}
