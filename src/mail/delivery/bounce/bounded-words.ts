import type { Failure } from "../../envelope/failure.ts";
import type { NoticeAbout } from "./notices.ts";

/** Characters of what other hosts said, in all of a notice, and of one of them at least. Each stands there twice: for people and for programs. */
const MOST_IN_NOTICE = 400_000;
const LEAST_OF_ONE = 200;

/**
 * However many recipients a notice is about, and however much the hosts have said of each: it stays small enough for its addressee's
 * host to take it, and is made at once.
 */
export function withBoundedWords(about: readonly NoticeAbout[]): readonly NoticeAbout[] {
  const most = Math.max(LEAST_OF_ONE, Math.floor(MOST_IN_NOTICE / about.length));
  return about.map((one) => ({
    ...one,
    failure: bounded(one.failure, most),
    before: bounded(one.before, most),
    text: one.text === undefined ? undefined : beginning(one.text, most),
  }));
}

function bounded(failure: Failure | undefined, most: number): Failure | undefined {
  if (failure?.reply === undefined) return failure;
  const { reply } = failure;
  const text = reply.lines.join(" ");
  return text.length <= most ? failure : { ...failure, reply: { ...reply, lines: [beginning(text, most)] } };
}

function beginning(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}...`;
}
